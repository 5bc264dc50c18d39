"""What a call of a LangChain model asks, as the prompt whose key its answer is kept under."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage
from pydantic import BaseModel, SecretStr

from headwater.prompt import Message, MessageToolCall, Prompt, ProviderPart

_ROLES: Mapping[str, Any] = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}

_OF_NO_ANSWER = frozenset(
    {
        *("cache", "callbacks", "custom_get_token_ids", "metadata", "name", "profile"),
        *("rate_limiter", "tags", "verbose"),
        *("disable_streaming", "max_retries", "request_timeout", "stream_chunk_timeout", "streaming", "timeout"),
    }
)
"""Fields of models that say how to ask, and not what."""


def question(asked: Sequence[BaseMessage] | str, model: str, extra: Mapping[str, Any]) -> Prompt:
    """The prompt of a call: the messages or the text, and everything else that decides the answer.

    Metadata of earlier answers does not count, so that conversations hit.
    """
    if isinstance(asked, str):
        return Prompt(kind="completion", model=model, messages=[Message("user", asked)], extra=plain(extra))
    return Prompt(model=model, messages=[_message(message) for message in asked], extra=plain(extra))


def plain(value: Any) -> Any:
    """What decides an answer, as plain data. An object that has no such form counts as its `repr`: rather two keys for
    one question than one for two."""
    return msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)


def deciding(model: BaseModel) -> dict[str, Any]:
    """The fields of a model that decide its answers, and its class; of other objects in it, such as clients, theirs."""
    fields = {name: getattr(model, name, None) for name in type(model).model_fields if name not in _OF_NO_ANSWER}
    fields = {name: value for name, value in fields.items() if value is not None}
    return msgspec.to_builtins({"class": _path(type(model)), **fields}, enc_hook=_field, str_keys=True)


def _message(message: BaseMessage) -> Message:
    role: Any = message.role if isinstance(message, ChatMessage) else _ROLES.get(message.type, message.type)
    content = message.content
    parts = content if isinstance(content, str) else [ProviderPart(_block(block)) for block in content]
    calls: list[MessageToolCall] | None = None
    beside: dict[str, Any] = {}
    if isinstance(message, AIMessage):
        calls = [
            MessageToolCall(str(call["id"]), str(call["name"]), json.dumps(call["args"], sort_keys=True, default=str))
            for call in [*message.tool_calls, *message.invalid_tool_calls]
        ] or None
    else:
        beside = plain(message.additional_kwargs)
    answered = message.tool_call_id if isinstance(message, ToolMessage) else None
    if isinstance(message, ToolMessage) and message.status == "error":
        beside = {**beside, "status": "error"}
    return Message(role, cast("Any", parts), message.name, calls, answered, beside)


def _block(block: Any) -> dict[str, Any]:
    known = plain(block)
    return known if isinstance(known, dict) else {"text": known}  # pyright: ignore[reportUnknownVariableType]


def _field(value: Any) -> Any:
    known = _known(value)
    return _path(type(value)) if known is None else known


def _plain(value: Any) -> Any:
    known = _known(value)
    return repr(value) if known is None else known


def _known(value: Any) -> Any:
    for kind in (str, int, float):
        if isinstance(value, kind):  # of a class of its own, such as a number of numpy's
            return kind(value)
    if isinstance(value, SecretStr):  # two accounts are two models
        return hashlib.sha256(value.get_secret_value().encode()).hexdigest()
    if isinstance(value, BaseModel):
        return deciding(value)
    if hasattr(value, "model_json_schema"):  # a class of structured output
        return [_path(value), value.model_json_schema()]
    return _path(value) if hasattr(value, "__qualname__") else None


def _path(named: Any) -> str:
    return f"{named.__module__}.{named.__qualname__}"

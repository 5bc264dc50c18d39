"""A prompt as the JSON body of OpenAI's chat and completion APIs, word for word as LangChain's models would write it.

What these bodies have no place for, or LangChain would rewrite first, `is_plain` says: built-in tools, which live in
the Responses API, and parts of messages in other providers' shapes.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from headwater.errors import ModelError
from headwater.models.openai.names import Kind
from headwater.prompt import Message, Parameters, Prompt, text_of

_PARAMETERS = frozenset(field.name for field in msgspec.structs.fields(Parameters))
_OURS = frozenset({"model", "messages", "prompt", "stream", "stream_options", "tools", "n", "best_of"})
# What LangChain's completion class sends where nobody says otherwise.
_COMPLETION = {"max_tokens": 256, "temperature": 0.7, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0, "n": 1}
_PARTS: dict[Any, frozenset[str]] = {
    "text": frozenset({"type", "text"}),
    "image_url": frozenset({"type", "image_url"}),
    "input_audio": frozenset({"type", "input_audio"}),
    "file": frozenset({"type", "file"}),
}
_SPEAKERS = {"system": "System", "user": "Human", "assistant": "AI", "tool": "Tool"}


def is_plain(prompt: Prompt, kind: Kind) -> bool:
    """Whether the body can say this prompt, so that nobody has to rewrite it."""
    if kind == "completion":
        return not any(message.tool_calls for message in prompt.messages)
    if any(tool.get("type", "function") != "function" for tool in prompt.tools):
        return False
    return prompt.kind == "completion" or all(_is_plain(message) for message in prompt.messages)


def _is_plain(message: Message) -> bool:
    if message.role == "tool" and not message.tool_call_id:
        return False
    for call in message.tool_calls or ():
        function: Any = call.get("function")
        if not (isinstance(function, dict) and {"name", "arguments"} <= function.keys() and call.get("id")):
            return False
    parts = message.content if isinstance(message.content, list) else []
    return all(part.keys() == _PARTS.get(part.get("type")) for part in parts)


def body(prompt: Prompt, kind: Kind, model: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The request's body. Raises `ModelError` for fields that would ask for something else than one answer.

    `defaults` hold where the prompt says nothing; what is in their `extra_body` holds always.
    """
    said = {name: value for name, value in msgspec.structs.asdict(prompt.parameters).items() if value is not None}
    asked: dict[str, Any] = {"model": model, "stream": True, "stream_options": {"include_usage": True}}
    said = {**defaults, **said}
    always: Mapping[str, Any] = said.pop("extra_body", {})
    if kind == "completion":
        asked |= {"prompt": _text(prompt), **_COMPLETION, **said}
    else:
        if "max_tokens" in said:
            said["max_completion_tokens"] = said.pop("max_tokens")
        asked |= {"messages": _messages(prompt, model), **said}
        if prompt.tools:
            asked["tools"] = prompt.tools
    return {**asked, **extra(prompt), **always}


def extra(prompt: Prompt) -> dict[str, Any]:
    """The unknown fields of the request, without those that would overrule what Headwater itself says.

    Whoever sends them lets them win over its own fields: `model` would reach a model that the operator does not offer.
    Raises `ModelError`.
    """
    for name in ("n", "best_of"):
        if prompt.extra.get(name) not in (None, 1):
            # Several answers come interleaved in one stream, and LangChain reads them as a single one.
            raise ModelError(f"{name} must be 1: one request, one answer", code="provider_refused", status=422)
    for name in ("functions", "function_call"):
        if prompt.extra.get(name) is not None:
            # The call would come in a form of its own, which LangChain's classes do not stream whole either.
            raise ModelError(f"{name} is not read any more: use tools", code="provider_refused", status=422)
    taken = _OURS | {name for name in _PARAMETERS if getattr(prompt.parameters, name) is not None}
    if "max_tokens" in taken:
        taken |= {"max_completion_tokens", "max_output_tokens"}  # other names of the same limit
    return {name: value for name, value in prompt.extra.items() if name not in taken}


def _messages(prompt: Prompt, model: str) -> list[dict[str, Any]]:
    if prompt.kind == "completion":
        return [{"role": "user", "content": _text(prompt)}]
    # OpenAI's reasoning models call the system "developer".
    system = "developer" if re.match(r"o\d", model) else "system"
    return [_message(message, system) for message in prompt.messages]


def _message(message: Message, system: str) -> dict[str, Any]:
    said: dict[str, Any] = {"role": system if message.role == "system" else message.role, "content": message.content}
    if message.role == "tool":
        return {**said, "tool_call_id": message.tool_call_id}
    if message.name is not None:
        said["name"] = message.name
    if message.tool_calls and message.role == "assistant":
        calls = [{"type": "function", "id": call["id"], "function": call["function"]} for call in message.tool_calls]
        said |= {"content": message.content or None, "tool_calls": calls}
    return said


def _text(prompt: Prompt) -> str:
    if prompt.kind == "completion":
        return "\n".join(text_of(message) for message in prompt.messages)
    return "\n".join(f"{_SPEAKERS[message.role]}: {text_of(message)}" for message in prompt.messages)

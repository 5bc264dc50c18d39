"""A prompt as the JSON body of OpenAI's chat and completion APIs, word for word as LangChain's models would write it.

`is_plain` says which prompts these bodies have no place for, or LangChain would rewrite first: those with built-in
tools, which live in the Responses API, and with parts in other providers' shapes.
"""

import re
from collections.abc import Mapping
from typing import Any, assert_never

import msgspec

from headwater.errors import ModelError
from headwater.models.openai.names import Kind
from headwater.prompt import (
    Audio,
    File,
    Image,
    Message,
    MessageToolCall,
    Parameters,
    Part,
    Prompt,
    ProviderPart,
    ProviderTool,
    Text,
    Tool,
    text_of,
)

_PARAMETERS = frozenset(field.name for field in msgspec.structs.fields(Parameters))
_OURS = frozenset({"model", "messages", "prompt", "stream", "stream_options", "tools", "n", "best_of"})
LIMIT = 256
"""The tokens of a completion where the request sets no limit."""
# What LangChain's completion class sends by default.
_DEFAULTS = {"max_tokens": LIMIT, "temperature": 0.7, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0, "n": 1}
# The fields of OpenAI's own parts, whose contents may hold more than a neutral part has a place for.
_PARTS: dict[Any, frozenset[str]] = {
    name: frozenset({"type", name}) for name in ("text", "image_url", "input_audio", "file")
}
_SPEAKERS = {"system": "System", "user": "Human", "assistant": "AI", "tool": "Tool"}


def is_plain(prompt: Prompt, kind: Kind) -> bool:
    """Whether the body can say this prompt, so that nobody has to rewrite it."""
    if kind == "completion":
        return not any(message.tool_calls for message in prompt.messages)
    for tool in prompt.tools:
        if isinstance(tool, ProviderTool) and tool.data.get("type", "function") != "function":
            return False
    return prompt.kind == "completion" or all(_is_plain(message) for message in prompt.messages)


def _is_plain(message: Message) -> bool:
    if message.role == "tool" and not message.tool_call_id:
        return False
    if message.tool_calls and not all(call.id for call in message.tool_calls):
        return False
    if isinstance(message.content, str):
        return True
    foreign = [part.data for part in message.content if isinstance(part, ProviderPart)]
    return all(data.keys() == _PARTS.get(data.get("type")) for data in foreign)


def body(
    prompt: Prompt, kind: Kind, model: str, defaults: Mapping[str, Any], *, at_openai: bool = False
) -> dict[str, Any]:
    """The request's body. Raises `ModelError` for fields that would ask for something else than one answer.

    `defaults` hold where the prompt leaves a parameter open; the fields in their `extra_body` always win. What may vary
    between two turns of a conversation follows the messages, so that the later body begins as the earlier one does.
    """
    sampling = {name: value for name, value in msgspec.structs.asdict(prompt.parameters).items() if value is not None}
    sampling = {**defaults, **sampling}
    always: Mapping[str, Any] = sampling.pop("extra_body", {})
    fields: dict[str, Any] = {"model": model}
    if kind == "completion":
        fields |= {"prompt": _text(prompt), **_DEFAULTS}
    else:
        if "max_tokens" in sampling:
            sampling["max_completion_tokens"] = sampling.pop("max_tokens")
        fields["messages"] = _messages(prompt, model)
    fields |= {"stream": True, "stream_options": {"include_usage": True}, **sampling}
    if prompt.tools and kind == "chat":
        fields["tools"] = [tool_field(tool) for tool in prompt.tools]
    return fields | extra(prompt, always, at_openai=at_openai)


def extra(prompt: Prompt, always: Mapping[str, Any], *, at_openai: bool) -> dict[str, Any]:
    """The unknown and the carried fields of the request that override none of Headwater's own, and then `always`.

    An unknown field is sent beside Headwater's own fields and would replace one of the same name: `model`, for example,
    would reach a model that the operator does not offer. Raises `ModelError`.
    """
    for name in ("n", "best_of"):
        if prompt.extra.get(name) not in (None, 1):
            # Several answers come interleaved in one stream, and LangChain reads them as a single one.
            reason = f"the field {name} must be 1: one request, one answer"
            raise ModelError(reason, code="provider_refused", status=422)
    for name in ("functions", "function_call"):
        if prompt.extra.get(name) is not None:
            # The call would come in a form of its own, which LangChain's classes do not stream whole either.
            raise ModelError(f"the field {name} is not read any more: use tools", code="provider_refused", status=422)
    taken = _OURS | {name for name in _PARAMETERS if getattr(prompt.parameters, name) is not None}
    if "max_tokens" in taken:
        taken |= {"max_completion_tokens", "max_output_tokens"}  # other names of the same limit
    if at_openai and {**prompt.carried, **always}.get("store") is not True:
        taken |= {"metadata"}  # refused there without `store`
    fields = {**prompt.carried, **prompt.extra}
    return {name: value for name, value in fields.items() if name not in taken} | {**always}


def _messages(prompt: Prompt, model: str) -> list[dict[str, Any]]:
    if prompt.kind == "completion":
        return [{"role": "user", "content": _text(prompt)}]
    # OpenAI's reasoning models call the system "developer".
    system = "developer" if re.match(r"o\d", model) else "system"
    return [_message(message, system) for message in prompt.messages]


def _message(message: Message, system: str) -> dict[str, Any]:
    content = content_field(message)
    fields: dict[str, Any] = {"role": system if message.role == "system" else message.role, "content": content}
    if message.role == "tool":
        return {**fields, "tool_call_id": message.tool_call_id}
    if message.name is not None:
        fields["name"] = message.name
    if message.role == "assistant":
        fields = {**message.provider, **fields}
    if message.tool_calls and message.role == "assistant":
        fields |= {"content": content or None, "tool_calls": [tool_call_field(call) for call in message.tool_calls]}
    return fields


def content_field(message: Message) -> str | list[dict[str, Any]]:
    """A message's content as OpenAI's APIs write it."""
    return message.content if isinstance(message.content, str) else [_part(part) for part in message.content]


def tool_call_field(call: MessageToolCall) -> dict[str, Any]:
    """A tool call as OpenAI's APIs write it."""
    function = {"name": call.name, "arguments": call.arguments}
    return {**call.provider, "type": "function", "id": call.id, "function": function}


def tool_field(tool: Tool | ProviderTool) -> dict[str, Any]:
    """A tool as OpenAI's APIs write it, or as the client wrote it."""
    if isinstance(tool, ProviderTool):
        return tool.data
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {"type": "function", "function": _present(function)}


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Image():
            return {"type": "image_url", "image_url": _present({"url": part.address, "detail": part.detail})}
        case Audio(data=data, media_type=media_type):
            subtype = media_type.rpartition("/")[2]
            return {"type": "input_audio", "input_audio": {"data": data, "format": _FORMATS.get(subtype, subtype)}}
        case File():
            file = {"file_data": part.address, "file_id": part.id, "filename": part.name}
            return {"type": "file", "file": _present(file)}
        case ProviderPart(data):
            return data
        case _:
            assert_never(part)


_FORMATS = {"mpeg": "mp3"}
"""OpenAI's names of audio formats, where they are not the subtype of the media type."""


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _text(prompt: Prompt) -> str:
    if prompt.kind == "completion":
        return "\n".join(text_of(message) for message in prompt.messages)
    return "\n".join(f"{_SPEAKERS[message.role]}: {text_of(message)}" for message in prompt.messages)

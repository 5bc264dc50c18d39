"""A prompt as the JSON body of OpenAI's Responses API. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, assert_never, cast

import msgspec

from headwater.models.openai.request import content_field, extra, tool_field
from headwater.prompt import Audio, File, Image, Message, Part, Prompt, ProviderPart, ProviderTool, Text, Tool, text_of

Fields = dict[str, Any]

_OURS = frozenset({"input", "background", "conversation", "previous_response_id", "logprobs"})
"""Fields that a request cannot set: Headwater's own, and those that name what is kept of other requests."""


def body(prompt: Prompt, model: str, *, keeps: bool) -> Fields:
    """The request's body. Raises `ModelError` for fields that would ask for something else than one answer.

    With `keeps` the provider goes on with the run by itself, and keeps it for some minutes; unless the prompt says
    `"store": false`.
    """
    sampling = {name: value for name, value in msgspec.structs.asdict(prompt.parameters).items() if value is not None}
    limit = sampling.pop("max_tokens", None)
    fields: Fields = {"model": model, "input": _input(prompt), "stream": True, **sampling}
    if limit is not None:
        fields["max_output_tokens"] = limit
    if prompt.tools:
        fields["tools"] = [_tool(tool) for tool in prompt.tools]
    own = {name: value for name, value in extra(prompt, {}, at_openai=False).items() if name not in _OURS}
    store = own.pop("store", None)
    kept = {"background": True, "store": True} if keeps and store is not False else {"store": store is True}
    return {**fields, **_translated(own), **kept}


def _translated(own: Fields) -> Fields:
    """Unknown fields of a request, where the chat API has other words for them."""
    effort, verbosity, form = (own.pop(name, None) for name in ("reasoning_effort", "verbosity", "response_format"))
    if effort is not None:
        own["reasoning"] = {"effort": effort, **_object(own.get("reasoning"))}
    text = {} if verbosity is None else {"verbosity": verbosity}
    if form := _object(form):
        text["format"] = {"type": form.get("type"), **_object(form.get("json_schema"))}
    if text:
        own["text"] = {**text, **_object(own.get("text"))}
    if named := _object(_object(own.get("tool_choice")).get("function")):
        own["tool_choice"] = {"type": "function", "name": named.get("name")}
    return own


def _input(prompt: Prompt) -> list[Fields]:
    if prompt.kind == "completion":
        return [{"role": "user", "content": "\n".join(text_of(message) for message in prompt.messages)}]
    return [item for message in prompt.messages for item in _items(message)]


def _items(message: Message) -> Iterator[Fields]:
    if message.role == "tool":
        yield {"type": "function_call_output", "call_id": message.tool_call_id, "output": _content(message)}
        return
    if message.role == "assistant":  # whose content has parts of other types
        content: object = text_of(message)
    else:
        content = _content(message)
    if content or not message.tool_calls:
        yield {"role": message.role, "content": content}
    for call in message.tool_calls or ():
        yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}


def _content(message: Message) -> str | list[Fields]:
    return message.content if isinstance(message.content, str) else [_part(part) for part in message.content]


def _part(part: Part) -> Fields:
    match part:
        case Text(text):
            return {"type": "input_text", "text": text}
        case Image():
            image = {"type": "input_image", "image_url": part.address}
            return image | ({"detail": part.detail} if part.detail else {})
        case File():
            name = "file_url" if part.url is not None else "file_data"
            fields = {"type": "input_file", name: part.address, "file_id": part.id, "filename": part.name}
            return {name: value for name, value in fields.items() if value is not None}
        case Audio():
            return cast("list[Fields]", content_field(Message("user", [part])))[0]
        case ProviderPart(data):
            return {"type": "input_text", "text": data.get("text")} if data.get("type") == "text" else data
        case _:
            assert_never(part)


def _tool(tool: Tool | ProviderTool) -> Fields:
    """A tool, its function's fields beside its type. As in the chat API, it is strict only if it says so."""
    fields = tool_field(tool)
    function = _object(fields.get("function"))
    return {"type": "function", "strict": False, "parameters": None, **function} if function else fields


def _object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}

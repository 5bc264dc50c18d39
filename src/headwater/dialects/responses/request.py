"""Requests of OpenAI's Responses API: bytes → what is asked, in the shapes of the chat API. Pure."""

from typing import Any, NamedTuple, cast

from headwater.dialects import shapes
from headwater.dialects.body import json_object
from headwater.dialects.dialect import Ask
from headwater.dialects.fields import asked
from headwater.errors import InvalidPrompt, RequestError

Fields = dict[str, Any]

ECHOED: Fields = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "background": False,
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
}
"""What a response repeats of its request, with what stands there if the request is silent."""
_UNKNOWN_HERE = ("conversation", "prompt", "context_management")
"""Fields that name what OpenAI's own servers keep."""
_LEFT_OUT = ("include", "truncation", "max_tool_calls", "stream_options", "background", "store")


class Unserved(RequestError):
    """The request asks for what only OpenAI's own servers have, such as a hosted tool."""

    code = "unsupported_value"


class Wanted(NamedTuple):
    """A request for a response."""

    fields: Fields
    """The prompt's fields, in the shapes of the chat API, but for its messages."""
    input: list[Any]
    """The items as the client sent them."""
    echo: Fields

    @property
    def previous(self) -> str | None:
        """The response whose conversation goes on."""
        return self.echo["previous_response_id"]

    @property
    def background(self) -> bool:
        """Whether the answer goes on without a reader."""
        return self.echo["background"] is True

    @property
    def stored(self) -> bool:
        """Whether the response can be asked for later."""
        return self.echo["store"] is not False

    @property
    def streamed(self) -> bool:
        """Whether the answer is to be streamed."""
        return self.fields.get("stream") is True

    def ask(self, before: list[Any]) -> Ask:
        """What is asked, after the messages of earlier turns. Raises `InvalidPrompt`."""
        system = self.echo["instructions"]
        told = [{"role": "system", "content": system}] if system else []
        fields = {name: value for name, value in self.fields.items() if name != "stream"}
        return asked("chat", [*told, *before, *messages(self.input)], fields)._replace(whole=not self.streamed)


def read(body: bytes) -> Wanted:
    """`{"input", "model"?, "instructions"?, "tools"?, …}`. Raises `RequestError`, `InvalidPrompt` or `Unserved`."""
    fields = {name: value for name, value in json_object(body).items() if value is not None}
    for name in _UNKNOWN_HERE:
        if name in fields:
            raise Unserved(f"the field {name} names what this server does not keep; send the input itself")
    if fields.pop("top_logprobs", None):
        raise Unserved("the field top_logprobs is not supported, since a log holds no probabilities; leave it out")
    echo = {name: fields.get(name, silent) for name, silent in ECHOED.items()}
    given = fields.pop("input", None)
    if isinstance(given, str):
        given = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    if not isinstance(given, list):
        raise InvalidPrompt('the field input must be a text or a list of items: send {"input": "Hi"}')
    if not isinstance(echo["previous_response_id"], str | None):
        raise InvalidPrompt("the field previous_response_id is not a text")
    if echo["background"] is True and echo["store"] is False:
        raise InvalidPrompt("the field store is false, so a response in the background would be lost; leave it out")
    for name in ("instructions", "previous_response_id", *_LEFT_OUT):
        fields.pop(name, None)
    if "max_output_tokens" in fields:
        fields["max_tokens"] = fields.pop("max_output_tokens")
    fields |= _reasoning(fields.pop("reasoning", None)) | _text(fields.pop("text", None))
    fields["tools"] = [_tool(each) for each in _list(fields, "tools")]
    if isinstance(choice := fields.get("tool_choice"), dict) and "name" in choice:
        fields["tool_choice"] = {"type": "function", "function": {"name": cast("Fields", choice)["name"]}}
    return Wanted(fields, cast("list[Any]", given), echo)


def messages(items: list[Any]) -> list[Any]:
    """Items of a conversation as messages. Calls that follow each other, or a text, are one turn of the model."""
    told: list[Fields] = []
    for raw in items:
        if not isinstance(raw, dict):
            raise InvalidPrompt("an item of the field input is not an object")
        item = cast("Fields", raw)
        match item.get("type", "message"):
            case "message":
                told.append(shapes.message({"role": item.get("role"), "content": _content(item.get("content"))}))
            case "function_call":
                call = shapes.tool_call({"id": item.get("call_id"), "function": item})
                if told and told[-1]["role"] == "assistant":
                    told[-1] = {**told[-1], "tool_calls": [*(told[-1].get("tool_calls") or []), call]}
                else:
                    told.append({"role": "assistant", "content": "", "tool_calls": [call]})
            case "function_call_output":
                output = _content(item.get("output"))
                told.append(shapes.message({"role": "tool", "tool_call_id": item.get("call_id"), "content": output}))
            case "reasoning":
                pass  # a model's thoughts are its own, and no part of the question
            case kind:
                named = str(kind)[:40]
                raise Unserved(f"an item of type {named} cannot be read here; send messages and function calls")
    return told


def _content(content: Any) -> Any:
    """The content of a message; one text alone is what other clients write as a string."""
    if not isinstance(content, list):
        return content
    parts = [_part(part) for part in cast("list[Any]", content)]
    match parts:
        case [{"type": "text", "text": str(text)}]:
            return text
        case _:
            return parts


def _part(raw: Any) -> Any:
    if not isinstance(raw, dict):
        return raw
    part = cast("Fields", raw)
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": part.get("text", "")}
        case "refusal":
            return {"type": "text", "text": part.get("refusal", "")}
        case "input_image" if part.get("image_url"):
            image = {"url": part["image_url"]}
            if part.get("detail"):
                image["detail"] = part["detail"]
            return {"type": "image_url", "image_url": image}
        case "input_file" if part.get("file_url"):
            named = {"name": part["filename"]} if part.get("filename") else {}
            return {"type": "file", "url": part["file_url"], **named}
        case "input_file":
            names = ("file_data", "file_id", "filename")
            return {"type": "file", "file": {name: part[name] for name in names if part.get(name)}}
        case _:
            return part


def _list(fields: Fields, name: str) -> list[Any]:
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise InvalidPrompt(f"the field {name} is not a list")
    return cast("list[Any]", value)


def _tool(raw: Any) -> Fields:
    tool = cast("Fields", raw if isinstance(raw, dict) else {})
    if tool.get("type") != "function":
        raise Unserved(f"tools of type {str(tool.get('type'))[:40]} run on OpenAI's servers only; send functions")
    return tool


def _reasoning(given: Any) -> Fields:
    reasoning = cast("Fields", given if isinstance(given, dict) else {})
    return {"reasoning_effort": reasoning["effort"]} if reasoning.get("effort") is not None else {}


def _text(given: Any) -> Fields:
    """The form of the answer, as chat completions ask for it."""
    text = cast("Fields", given if isinstance(given, dict) else {})
    form: Any = text.get("format") or {}
    if not isinstance(form, dict):
        raise InvalidPrompt("the field text.format is not an object")
    form = cast("Fields", form)
    told: Fields = {} if text.get("verbosity") is None else {"verbosity": text["verbosity"]}
    if form.get("type") == "json_schema":
        schema = {name: value for name, value in form.items() if name != "type"}
        told["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form.get("type") == "json_object":
        told["response_format"] = {"type": "json_object"}
    return told

"""Request bodies of the native routes: bytes → Ask."""

from typing import Any, cast

import msgspec

from headwater.dialects import shapes
from headwater.dialects.body import json_object
from headwater.dialects.dialect import Ask
from headwater.dialects.fields import sorted_out
from headwater.errors import InvalidPrompt
from headwater.prompt import Parameters, Prompt, check

_PARAMETERS = frozenset(Parameters.__struct_fields__)


def chat(body: bytes) -> Ask:
    """`{"messages": [{"role", "content"}], "model"?, "temperature"?, …}` → a chat prompt, whole with `"stream": false`.

    Messages, their parts and tools may be in OpenAI's shape or in the neutral one. The other fields of the body go
    into `extra`, `carried` or nowhere, as `fields` sorts them. Raises `RequestError` for a body that is not a JSON
    object, and `InvalidPrompt`, which names the place of the mistake, for an object that is not a prompt.
    """
    fields = json_object(body)
    messages = fields.pop("messages", None)
    if not isinstance(messages, list):
        wrong = "is missing" if messages is None else "is not a list"
        raise InvalidPrompt(f'the field messages {wrong}: send {{"messages": [{{"role": "user", "content": "Hi"}}]}}')
    return _ask("chat", [shapes.message(message) for message in cast("list[Any]", messages)], fields)


def completion(body: bytes) -> Ask:
    """`{"message": …}` or `{"prompt": …}` → a completion prompt. Raises as `chat` does."""
    fields = json_object(body)
    message, prompt = fields.pop("message", None), fields.pop("prompt", None)
    text = prompt if message is None else message
    if not isinstance(text, str) or not text:
        wrong = "is missing" if text is None else "is empty" if text == "" else "is not a string"
        raise InvalidPrompt(f'the field message {wrong}: send {{"message": "Once upon a time"}}')
    return _ask("completion", [{"role": "user", "content": text}], fields)


def _ask(kind: str, messages: list[Any], fields: dict[str, Any]) -> Ask:
    whole = fields.get("stream") is False
    parameters = {name: fields.pop(name) for name in list(fields) if name in _PARAMETERS}
    if isinstance(parameters.get("stop"), str):
        parameters["stop"] = [parameters["stop"]]
    model = fields.pop("model", None) or ""
    tools: Any = fields.pop("tools", None) or []
    if isinstance(tools, list):
        tools = [shapes.tool(tool) for tool in cast("list[Any]", tools)]
    rest = sorted_out(fields)
    prompt = {
        "kind": kind,
        "model": model,
        "messages": messages,
        "parameters": parameters,
        "tools": tools,
        "extra": rest.extra,
        "carried": rest.carried,
    }
    try:
        return Ask(check(msgspec.convert(prompt, Prompt)), whole, bypass=rest.bypass)
    except msgspec.ValidationError as error:
        raise InvalidPrompt(str(error).replace("$.parameters.", "$.")) from error

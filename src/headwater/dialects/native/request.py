"""Request bodies of the native routes: bytes → Ask."""

from typing import Any, cast

from headwater.dialects import shapes
from headwater.dialects.body import json_object
from headwater.dialects.dialect import Ask
from headwater.dialects.fields import ask
from headwater.errors import InvalidPrompt


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
    return ask("chat", [shapes.message(message) for message in cast("list[Any]", messages)], fields)


def completion(body: bytes) -> Ask:
    """`{"message": …}` or `{"prompt": …}` → a completion prompt. Raises as `chat` does."""
    fields = json_object(body)
    message, prompt = fields.pop("message", None), fields.pop("prompt", None)
    text = prompt if message is None else message
    if not isinstance(text, str) or not text:
        wrong = "is missing" if text is None else "is empty" if text == "" else "is not a string"
        raise InvalidPrompt(f'the field message {wrong}: send {{"message": "Once upon a time"}}')
    return ask("completion", [{"role": "user", "content": text}], fields)

"""Request bodies of the native routes: bytes → Ask."""

from typing import Any

from headwater.dialects.body import json_object
from headwater.dialects.dialect import Ask
from headwater.dialects.fields import asked, chat_messages
from headwater.errors import InvalidPrompt


def chat(body: bytes) -> Ask:
    """`{"messages": [{"role", "content"}], "model"?, "temperature"?, …}` → a chat prompt, whole with `"stream": false`.

    Messages, their parts and tools may be in OpenAI's shape or in the neutral one. The other fields of the body go
    into `extra`, `carried` or nowhere, as `fields` sorts them. Raises `RequestError` for a body that is not a JSON
    object, and `InvalidPrompt`, which names the place of the mistake, for an object that is not a prompt.
    """
    fields = json_object(body)
    return _ask("chat", chat_messages(fields), fields)


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
    return asked(kind, messages, fields)._replace(whole=fields.get("stream") is False)

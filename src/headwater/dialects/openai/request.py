"""Request bodies of OpenAI's chat completions and completions: bytes → what is asked, and how to answer."""

from typing import Any, Literal, NamedTuple, cast

from headwater.dialects.body import json_object
from headwater.dialects.dialect import Ask
from headwater.dialects.fields import asked, chat_messages
from headwater.errors import InvalidPrompt

Kind = Literal["chat", "completion"]
"""Which API: `/v1/chat/completions` or `/v1/completions`."""


class Request(NamedTuple):
    """What is asked, and whether the stream is to end with the token counts."""

    ask: Ask
    usage: bool


def read(body: bytes, kind: Kind) -> Request:
    """The prompt of a body, whole unless it says `"stream": true`.

    `max_completion_tokens` and `max_tokens` are one limit. Raises `RequestError` for a body that is not a JSON object,
    and `InvalidPrompt`, which names the field, for an object that is not a prompt or asks for more than one answer.
    """
    fields = json_object(body)
    messages = chat_messages(fields) if kind == "chat" else _completion(fields)
    options: Any = fields.get("stream_options")
    usage = isinstance(options, dict) and cast("dict[str, Any]", options).get("include_usage") is True
    for name in ("n", "best_of"):
        if fields.pop(name, None) not in (None, 1):
            raise InvalidPrompt(f"the field {name} must be 1, since a log holds one answer; ask several times instead")
    for name in ("logprobs", "top_logprobs"):
        if fields.pop(name, None):
            raise InvalidPrompt(f"the field {name} is not supported, since a log holds no probabilities; leave it out")
    if (limit := fields.pop("max_completion_tokens", None)) is not None:
        fields["max_tokens"] = limit
    whole = fields.get("stream") is not True
    return Request(asked(kind, messages, fields)._replace(whole=whole), usage)


def _completion(fields: dict[str, Any]) -> list[Any]:
    prompt = fields.pop("prompt", None)
    if isinstance(prompt, list) and len(cast("list[Any]", prompt)) == 1:  # as LangChain wraps the one text
        prompt = cast("list[Any]", prompt)[0]
    if not isinstance(prompt, str) or not prompt:
        raise InvalidPrompt('the field prompt must be one text: send {"prompt": "Once upon a time"}')
    return [{"role": "user", "content": prompt}]

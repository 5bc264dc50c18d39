"""Whole answers as OpenAI's objects `chat.completion` and `text_completion`."""

from typing import Any

import msgspec

from headwater.answer import Answer, ToolCall
from headwater.dialects import shapes
from headwater.dialects.dialect import Unspeakable
from headwater.dialects.openai.chunks import OBJECTS, counts
from headwater.dialects.openai.request import Kind
from headwater.dialects.openai_error import STOPPED
from headwater.events import Finish


def whole(answer: Answer, kind: Kind) -> bytes:
    """The answer as one object. Raises `Unspeakable` for one that did not finish, which has no form of its own."""
    if not isinstance(answer.ending, Finish):
        raise Unspeakable(instead=STOPPED)
    said: dict[str, Any] = {"message": _message(answer)} if kind == "chat" else {"text": answer.text}
    choice = {"index": 0, **said, "logprobs": None, "finish_reason": answer.ending.reason}
    fields: dict[str, Any] = {
        "id": answer.id,
        "object": OBJECTS[kind],
        "created": answer.created,
        "model": answer.model,
        "choices": [choice],
    }
    return msgspec.json.encode(fields | ({"usage": counts(answer.usage)} if answer.usage else {}))


def _message(answer: Answer) -> dict[str, Any]:
    again = (answer.id or "").partition("~")[2]
    own, of_calls = shapes.needed_back(answer.metadata)
    message: dict[str, Any] = {**own, "role": "assistant", "content": answer.text, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.tools:
        message["content"] = answer.text or None
        message["tool_calls"] = [
            of_calls.get(call.id, {}) | _call(call, f"_{again}" if again else "") for call in answer.tools
        ]
    return message


def _call(call: ToolCall, again: str) -> dict[str, Any]:
    """A tool call under an id of this message's own: no two messages of a chat may share one."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id + again, "type": "function", "function": function}

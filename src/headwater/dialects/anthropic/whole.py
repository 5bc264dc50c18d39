"""Whole answers as Anthropic's `message`, and the words that its streams share. Pure."""

import re
from typing import Any

import msgspec

from headwater.answer import Answer, ToolCall
from headwater.dialects.dialect import Unspeakable
from headwater.dialects.openai_error import STOPPED
from headwater.events import Error, Finish, Usage

REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
"""Finish reasons. Any other is said as it is; which stop sequence ended an answer is not known."""
SIGNATURE = "headwater"
"""Signs every block of reasoning, since clients want a signature. Nobody checks it: reasoning is not sent back."""
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    499: "api_error",
    503: "overloaded_error",
    529: "overloaded_error",
    504: "timeout_error",
}
_FOREIGN = re.compile("[^a-zA-Z0-9_-]")


def error_object(error: Error) -> dict[str, Any]:
    """`{"type": "error", "error": {"type", "message"}}`."""
    kind = _TYPES.get(error.status) or ("invalid_request_error" if error.status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}}


def tool_id(id: str) -> str:
    """The id of a tool call in the characters that Anthropic allows; another one is spelled in them.

    A follow-up has the same id in its call and in its result, so the two find each other.
    """
    return _FOREIGN.sub(lambda match: f"_{ord(match[0]):x}", id) or "call"


def counts(usage: Usage | None) -> dict[str, Any]:
    """Token counts in Anthropic's words: its `input_tokens` are those that no prompt cache had or took."""
    usage = usage or Usage()
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def whole(answer: Answer) -> bytes:
    """The answer as one object. Raises `Unspeakable` for one that did not finish, or whose tool calls are not JSON."""
    if not isinstance(answer.ending, Finish):
        raise Unspeakable(instead=STOPPED)
    reason = answer.ending.reason
    again = (answer.id or "").partition("~")[2]
    content: list[dict[str, Any]] = []
    if answer.reasoning:
        content.append({"type": "thinking", "thinking": answer.reasoning, "signature": SIGNATURE})
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    for call in answer.tools:
        id = tool_id(call.id) + (f"_{again}" if again else "")
        content.append({"type": "tool_use", "id": id, "name": call.name, "input": _input(call, reason)})
    message: dict[str, Any] = {"id": answer.id, "type": "message", "role": "assistant", "model": answer.model}
    ending = {"stop_reason": REASONS.get(reason, reason), "stop_sequence": None}
    return msgspec.json.encode({**message, "content": content, **ending, "usage": counts(answer.usage)})


def _input(call: ToolCall, reason: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError) as error:
        if reason == "length":
            return {}  # truncated, as the reason says
        wrong = f"The model's arguments for the tool {call.name} are not a JSON object."
        raise Unspeakable(instead=Error("provider_garbled", wrong, retryable=True)) from error

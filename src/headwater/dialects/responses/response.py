"""The response object, and the items of its output."""

from typing import Any

import msgspec

from headwater.answer import Answer
from headwater.dialects.responses.request import ECHOED
from headwater.events import Error, Finish, Stop, Usage

Fields = dict[str, Any]

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Reasons of a finish that leave a response incomplete."""


def response_id(message_id: str) -> str:
    """The id of a response."""
    return f"resp_{message_id}"


def message(id: str, text: str, status: str) -> Fields:
    """A message of the model; while it is in progress it has no content."""
    part: Fields = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [] if status == "in_progress" else [part],
    }


def reasoning(id: str, text: str) -> Fields:
    """A summary of the model's reasoning."""
    return {"id": id, "type": "reasoning", "summary": [{"type": "summary_text", "text": text}] if text else []}


def usage(counts: Usage | None) -> Fields | None:
    """Token counts under this API's names."""
    if counts is None:
        return None
    return {
        "input_tokens": counts.input_tokens,
        "input_tokens_details": {"cached_tokens": counts.cached_tokens},
        "output_tokens": counts.output_tokens,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning_tokens},
        "total_tokens": counts.input_tokens + counts.output_tokens,
    }


def ended(ending: Finish | Stop | Error | None) -> Fields:
    """The fields of a response that say how it stands."""
    told: Fields = {"status": "in_progress", "error": None, "incomplete_details": None}
    match ending:
        case Finish(reason) if reason in INCOMPLETE:
            return {**told, "status": "incomplete", "incomplete_details": {"reason": INCOMPLETE[reason]}}
        case Finish():
            return {**told, "status": "completed"}
        case Stop():
            return {**told, "status": "cancelled"}
        case Error(code, why):
            return {**told, "status": "failed", "error": {"code": code, "message": why}}
        case None:
            return told


def response(answer: Answer, echo: Fields, *, status: str | None = None) -> bytes:
    """An answer as one response object, whole or as far as it has come."""
    own = answer.id or ""
    again = own.partition("~")[2]
    items: list[Fields] = []
    if answer.reasoning:
        items.append(reasoning(f"rs_{own}_0", answer.reasoning))
    if answer.text or not answer.tools:
        standing = "completed" if isinstance(answer.ending, Finish) else "incomplete"
        if answer.text or answer.ending is not None:
            items.append(message(f"msg_{own}_{len(items)}", answer.text, standing))
    for call in answer.tools:
        items.append(
            {
                "id": f"fc_{own}_{len(items)}",
                "type": "function_call",
                "status": "completed" if call.complete else "incomplete",
                "call_id": f"{call.id}_{again}" if again else call.id,
                "name": call.name,
                "arguments": call.arguments,
            }
        )
    told = ended(answer.ending)
    if status is not None:
        told["status"] = status
    fields: Fields = {
        "id": response_id(own),
        "object": "response",
        "created_at": answer.created,
        **told,
        "model": answer.model,
        "output": items,
        "usage": usage(answer.usage),
        **ECHOED,
        **echo,
    }
    return msgspec.json.encode(fields)

"""The fields of a response and of its output's items."""

from typing import Any

from headwater.events import Ending, Error, Finish, Stop, Usage

Fields = dict[str, Any]

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Reasons of a finish that leave a response incomplete."""


def part(kind: str, text: str) -> Fields:
    """The only part of a message (`msg`), or of a summary of the model's reasoning (`rs`)."""
    if kind == "rs":
        return {"type": "summary_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def item(kind: str, text: str, status: str) -> Fields:
    """A message or a summary of reasoning, but for its id; it has no part before its first text."""
    parts = [part(kind, text)] if text or status != "in_progress" else []
    if kind == "rs":
        return {"type": "reasoning", "summary": parts}
    return {"type": "message", "status": status, "role": "assistant", "content": parts}


def usage(counts: Usage | None) -> Fields | None:
    """Token counts under this API's names."""
    if counts is None:
        return None
    return {
        "input_tokens": counts.input_tokens,
        "input_tokens_details": counts.of_cache(),
        "output_tokens": counts.output_tokens,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning_tokens},
        "total_tokens": counts.input_tokens + counts.output_tokens,
    }


def ended(ending: Ending | None) -> Fields:
    """The fields of a response that say how it stands."""
    told: Fields = {"status": "in_progress", "error": None, "incomplete_details": None, "usage": None}
    match ending:
        case Finish(reason, counts) if reason in INCOMPLETE:
            why = {"reason": INCOMPLETE[reason]}
            return {**told, "status": "incomplete", "incomplete_details": why, "usage": usage(counts)}
        case Finish(_, counts):
            return {**told, "status": "completed", "usage": usage(counts)}
        case Stop():
            return {**told, "status": "cancelled"}
        case Error(code, why):
            return {**told, "status": "failed", "error": {"code": code, "message": why}}
        case None:
            return told

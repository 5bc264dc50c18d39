"""Whether an answer that broke off goes on, and how. Pure: the generation and the successor do what it says."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from headwater.answer import Answer
from headwater.entries import Entry
from headwater.events import Continued, Ending, Error, Finish, ReasoningDelta, TextDelta, Usage
from headwater.log.store import LOST
from headwater.models.model import RUN, Continues, Model, Reattaches, Shown
from headwater.offsets import Offset
from headwater.prompt import Prompt

FIRST = str(Offset(1, 1))
"""The offset of `start`."""
PROGRESS = 20
"""Pieces of the answer between two breaks, at least: a request that breaks off sooner each time is not worth more."""

Cause = Literal["provider", "truncated", "stalled", "server"]
Way = Literal["reattach", "prefill", "prompt", "restart"]

_BINDING = ("response_format", "n", "logprobs", "text")
"""Fields that bind the whole answer to a form, which a part and its continuation cannot be known to keep together."""


class Continuing(msgspec.Struct, frozen=True):
    """What the operator decides about answers that break off."""

    mode: Literal["off", "provider", "all"] = "all"
    """Which breaks are mended: none, those of a provider, or also the death of the server."""
    limit: int = 2
    """Seams in one answer, at most."""
    ways: tuple[str, ...] = ("reattach", "prefill")
    """Ways that may be gone; `restart` needs no leave, since it repeats nothing that was shown."""


def cause_of(ending: Ending) -> Cause | None:
    """Why an answer broke off, if a further request may mend that; None for an ending that stands.

    A provider's filter or refusal stands, since it must not be walked round, and so does everything that is no failure.
    """
    if not isinstance(ending, Error) or not ending.retryable:
        return None
    match ending.code:
        case "truncated":
            return "truncated"
        case "timeout":
            return "stalled"
        case "lost" | "store" | "shutdown" | "log_limit":
            return None
        case _:
            return "provider"


def refusal(entries: Sequence[Entry], answer: Answer, limit: int) -> str | None:
    """Why this answer must not go on, whatever its model can do; None if it may."""
    if len(answer.continued) >= limit:
        return f"it has been continued {len(answer.continued)} times"
    if answer.continued and _since_seam(entries) < PROGRESS:
        return "it broke off again at once"
    return None


def ways(answer: Answer, prompt: Prompt, model: Model, allowed: Sequence[str]) -> Sequence[Way]:
    """The ways in which this model may go on with this answer, best first."""
    found: list[Way] = []
    if "reattach" in allowed and isinstance(model, Reattaches) and RUN in answer.metadata:
        found.append("reattach")
    if not (answer.text or answer.tools):
        return (*found, "restart")
    # A part does not say whether the model would have called a tool, or how its form goes on; only the same run does.
    if answer.tools or prompt.tools or any(prompt.extra.get(name) not in (None, 1, False) for name in _BINDING):
        return found
    if "prefill" in allowed and isinstance(model, Continues) and model.continues(prompt):
        found.append("prefill")
    if "prompt" in allowed and prompt.kind == "chat":
        found.append("prompt")
    return found


def shown(entries: Sequence[Entry], answer: Answer) -> Shown:
    """What the model is to go on behind."""
    pieces = sum(isinstance(entry.event, TextDelta | ReasoningDelta) for entry in entries)
    return Shown(answer.text, answer.reasoning, pieces, answer.tools)


def closing(ending: Ending, seams: Sequence[Continued]) -> Ending:
    """The ending of an answer with these seams: what its usage leaves out, and whether the cache may replay it."""
    if not seams or not isinstance(ending, Finish):
        return ending
    usage = ending.usage or Usage()
    # A part that broke off has told no usage; what it had shown is input of the request that went on.
    uncounted = {"uncounted": True} if any(map(_is_uncounted, seams)) else {}
    usage = msgspec.structs.replace(usage, details={**usage.details, "continued": len(seams), **uncounted})
    whole = all(seam.way != "prompt" and not seam.model for seam in seams)
    return msgspec.structs.replace(ending, usage=usage, replayable=ending.replayable and whole)


def _is_uncounted(seam: Continued) -> bool:
    """Whether the request before this seam has used tokens of which its provider has told nothing."""
    refused = seam.cause == "provider" and seam.after == FIRST  # before it said anything, and so for nothing
    return seam.way != "reattach" and not refused


def lost() -> Error:
    """The ending of an answer whose server is gone, where nobody can go on."""
    return Error("lost", LOST, retryable=True, status=502)


def _since_seam(entries: Sequence[Entry]) -> int:
    count = 0
    for entry in reversed(entries):
        if isinstance(entry.event, Continued):
            break
        count += isinstance(entry.event, TextDelta | ReasoningDelta)
    return count

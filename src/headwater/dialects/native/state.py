"""An answer as one JSON object: what `GET /api/streams/{id}` returns for `Accept: application/json`."""

from typing import Any

from headwater.answer import Answer
from headwater.dialects.native.response import spoken


def whole(answer: Answer) -> dict[str, Any]:
    """The fields of the answer so far. Times are in seconds, rounded to a tenth of a millisecond.

    `ending` has the form of the last event in the stream, so a client reads both in the same way.
    """
    return {
        "id": answer.id,
        "state": answer.state,
        "text": answer.text,
        "ending": None if answer.ending is None else spoken(answer.ending, answer.id or ""),
        "offset": str(answer.offset),
        "model": answer.model,
        "usage": answer.usage,
        "timing": {
            "first_token": _rounded(answer.timing.first_token),
            "duration": _rounded(answer.timing.duration),
        },
        "reasoning": answer.reasoning,
        "tools": list(answer.tools),
        "metadata": answer.metadata,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)

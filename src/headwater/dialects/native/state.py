"""A log as one JSON object: what is known of the answer so far."""

from collections.abc import Sequence
from typing import Any

from headwater.dialects.native.response import spoken
from headwater.events import Ending, Entry, Finish, Start, TextDelta, state_after
from headwater.offsets import ORIGIN


def fold(entries: Sequence[Entry], message_id: str) -> dict[str, Any]:
    """The answer so far: its text, its ending, the offset to continue from, and the timing of the original run.

    `timing` is in seconds by the clock of the server that wrote the log, so it is true of replays too.
    """
    last = entries[-1] if entries else None
    ending = last.event if last is not None and isinstance(last.event, Ending) else None
    deltas = [entry for entry in entries if isinstance(entry.event, TextDelta)]
    return {
        "id": message_id,
        "state": "open" if ending is None else state_after(ending),
        "text": "".join(entry.event.text for entry in deltas if isinstance(entry.event, TextDelta)),
        "ending": None if ending is None else spoken(ending, message_id),
        "offset": str(last.offset if last is not None else ORIGIN),
        "model": next((entry.event.model for entry in entries if isinstance(entry.event, Start)), None),
        "usage": ending.usage if isinstance(ending, Finish) else None,
        "timing": {
            "first_token": round(deltas[0].at, 4) if deltas else None,
            "duration": round(last.at, 4) if last is not None else None,
        },
    }

"""An answer as one JSON object: what `GET /api/streams/{id}` returns for `Accept: application/json`."""

from typing import Any, cast

import msgspec

from headwater.answer import Answer, Timing, ToolCall
from headwater.dialects.native.reader import SentError, as_sent
from headwater.events import Continued, Finish, Saved, Stop, Usage
from headwater.events import State as StateName
from headwater.offsets import JOINED, write


class State(msgspec.Struct, frozen=True):
    """An answer, whole or as far as it has come."""

    id: str | None
    """The message id of the request."""
    state: StateName
    text: str
    ending: Finish | Stop | SentError | None
    """The last event of the log, in the form of the stream, so that a client reads both in the same way."""
    offset: str
    """Where to go on reading."""
    model: str | None
    usage: Usage | None
    timing: Timing
    """Seconds since the log was opened, rounded to a tenth of a millisecond."""
    reasoning: str
    tools: tuple[ToolCall, ...]
    metadata: dict[str, Any]
    continued: tuple[Continued, ...]
    """The seams, as the stream has them."""
    saved: Saved | None
    """What the cache has saved this request, of a replay that has ended."""


def whole(answer: Answer) -> State:
    """The answer as this dialect's JSON object."""
    replay = (answer.id or "").partition("~")[2]
    ending = None if answer.ending is None else as_sent(answer.ending, answer.id or "")
    return State(
        id=answer.id,
        state=answer.state,
        text=answer.text,
        ending=cast("Finish | Stop | SentError | None", ending),
        offset=write(answer.offset, answer.id or ""),
        model=answer.model,
        usage=answer.usage,
        timing=Timing(
            *(None if seconds is None else round(seconds, 4) for seconds in msgspec.structs.astuple(answer.timing))
        ),
        reasoning=answer.reasoning,
        tools=answer.tools,
        metadata=answer.metadata,
        continued=answer.continued,
        saved=saved(answer, joined=replay.startswith(JOINED)) if replay else None,
    )


def saved(answer: Answer, *, joined: bool) -> Saved | None:
    """What a replay of this answer has saved; None before its ending."""
    seconds = 0.0 if joined else answer.timing.duration or 0.0
    return None if answer.ending is None else Saved.of(answer.usage, seconds)

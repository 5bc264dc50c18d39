"""A place in a log: `(epoch, sequence)`, written `<epoch>-<sequence>.<run>`, opaque to everyone outside.

The sequence is dense from 1. The epoch rises when somebody other than the writer seals the log, so an offset that a
dead writer handed out beyond what was stored still compares lower than the ending that replaced its tail: plain tuple
order is all a reader needs.

The run is the second half of the log's id, whose first half is the question's. With it, a client that repeats its
question can be told the rest of the very answer that it has begun to read.
"""

import re
from typing import NamedTuple

from headwater.errors import RequestError

_WRITTEN = re.compile(r"(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})(?:\.([a-z0-9]{1,64}))?", re.ASCII)


class Offset(NamedTuple):
    """A place in a log; compares in reading order."""

    epoch: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"


ORIGIN = Offset(0, 0)
"""Before the first entry of any log."""

JOINED = "j"
"""What begins the random part of a message id, `<log>~j<random>`, if the log was still running; no hex digit."""

TAG = 12
"""Bytes of a name with which the ids of its logs begin. A store that is spread over several servers keeps everything
with the same tag on one of them, because a claim changes the name and the log in one step."""


def run_of(message_id: str) -> str:
    """The run of the log that a message id names: its id's last part."""
    return message_id.partition("~")[0].rpartition("-")[2]


def write(offset: Offset, message_id: str) -> str:
    """An offset of the log that a message id names, as clients get it."""
    run = run_of(message_id)
    return f"{offset}.{run}" if run else str(offset)


def parse(written: str) -> Offset:
    """The offset in what a client sends back. Raises as `parse_with_run` does."""
    return parse_with_run(written)[0]


def parse_with_run(written: str) -> tuple[Offset, str]:
    """Read an offset as a client sends it back, and its run, or "" without one; only the exact form is accepted.

    Strict, because it arrives in a header or a URL from strangers and ends in store queries.
    Raises `RequestError` for what is not an offset.
    """
    match = _WRITTEN.fullmatch(written)
    if match is None:
        raise RequestError(
            f'the id "{written[:40]}" is not an offset; send back the id of the last event as it came, e.g. 1-12'
        )
    return Offset(int(match[1]), int(match[2])), match[3] or ""

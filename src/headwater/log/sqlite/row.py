"""A log as a row of the file, and what can be seen of it without looking at its entries."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headwater.entries import Entry
from headwater.events import State
from headwater.offsets import ORIGIN, Offset

RELEASED = -1
"""The owner of a log whose writer has given it up."""


class Row(NamedTuple):
    """A log as its row in the table `logs`."""

    key: int
    id: str
    tenant: str
    name: str | None
    ttl: float
    state: State
    epoch: int
    last: int
    size: int
    beat: int
    stop: str | None
    opened: float
    sealed: float
    expires: float | None
    owner: int
    """The process that writes it, as `owners.py` numbers them; 0 for unknown."""

    @property
    def end(self) -> Offset:
        """The offset of the last entry."""
        return Offset(self.epoch, self.last) if self.last else ORIGIN


class Pulse(NamedTuple):
    """What changes about an open log; the tailer watches it."""

    epoch: int
    beat: int
    last: int
    stop: str | None
    owner: int = 0
    read: bool = False
    """Whether another process reads the log."""


Lapsed = Mapping[str, tuple[int, int]]
"""Logs whose lease has lapsed, with their epoch and beat: one that has neither kept is not dead."""


class Page(NamedTuple):
    """Some entries of a log, and whether the log was sealed when they were read."""

    entries: Sequence[Entry]
    sealed: bool

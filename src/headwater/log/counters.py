"""Counters: what an owner has used up in a window of time, and how many slots it holds. Clause 14 of the contract.

Windows are fixed: one of 60 s begins with each minute of the store's clock, one of a day at midnight UTC. So an owner
can use two windows' worth around the moment where one ends. A slot is held until it is given back, or until its time is
over because its holder died.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

SLOTS = "slots"
"""The name by which a refusal names the slots."""


class Count(NamedTuple):
    """An amount to be added to a counter; with `most`, only while the counter's window has that much left."""

    name: str
    amount: float
    """0 asks whether the window is exhausted."""
    window: float
    """Seconds. A name always comes with the same window."""
    most: float | None = None


class Slots(NamedTuple):
    """Slots to be held for `ttl` seconds from now, one for each holder; 0 gives them back.

    A holder who has a slot renews it, and is never refused. With `most`, the slots of new holders are refused where the
    owner would hold more.
    """

    holders: Sequence[str]
    ttl: float
    most: int | None = None


class Taken(NamedTuple):
    """How counters stand after a `take`, in the order of its counts."""

    refused: str
    """The name of the count that was refused, or `SLOTS`; empty if nothing was."""
    used: Sequence[float]
    resets: Sequence[float]
    """Seconds until each window ends."""
    held: int
    """Slots of the owner; 0 where none were asked about."""


class Counters(Protocol):
    """Keeps counters."""

    async def take(self, owner: str, counts: Sequence[Count] = (), slots: Slots | None = None) -> Taken:
        """In one step, add to counters in their order, then hold or give back slots, up to the first that is refused.

        Nothing is added for what is refused, nor for what comes after it. A step whose answer was lost may be done
        twice. Raises `StoreError`.
        """
        ...


def refuses(count: Count, used: float) -> bool:
    """Whether a window that has been used so far has too little left."""
    return count.most is not None and (used >= count.most or used + count.amount > count.most)


def end_of(window: float, now: float) -> float:
    """When the window that has begun last ends."""
    return (now // window + 1) * window


class Tally:
    """Counters in memory; the reference implementation. `clock` gives wall time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._used: dict[tuple[str, str], tuple[float, float]] = {}  # by owner and name: until when, and how much
        self._held: dict[str, dict[str, float]] = {}  # by owner and holder: until when
        self._swept = 0.0

    async def take(self, owner: str, counts: Sequence[Count] = (), slots: Slots | None = None) -> Taken:
        """As `Counters.take`."""
        now, refused = self._clock(), ""
        self._sweep(now)
        used: list[float] = []
        ends = [end_of(count.window, now) for count in counts]
        for count, end in zip(counts, ends, strict=True):
            until, so_far = self._used.get((owner, count.name), (0.0, 0.0))
            so_far = so_far if until > now else 0.0
            refused = refused or (count.name if refuses(count, so_far) else "")
            if not refused and count.amount:
                so_far += count.amount
                self._used[owner, count.name] = (end, so_far)
            used.append(so_far)
        held: dict[str, float] = {}
        if slots is not None:
            held = {holder: until for holder, until in self._held.get(owner, {}).items() if until > now}
            wanted = held | dict.fromkeys(slots.holders, now + slots.ttl)
            if slots.most is not None and len(wanted) > max(len(held), slots.most):
                refused = refused or SLOTS
            elif not refused:
                held = self._held[owner] = {holder: until for holder, until in wanted.items() if until > now}
        return Taken(refused, used, [end - now for end in ends], len(held))

    def _sweep(self, now: float) -> None:
        """Forget what is over; at most once a minute, because it looks at everything."""
        if not 0 <= now - self._swept < 60:
            self._swept = now
            self._used = {key: kept for key, kept in self._used.items() if kept[0] > now}
            self._held = {owner: held for owner, held in self._held.items() if max(held.values(), default=0) > now}

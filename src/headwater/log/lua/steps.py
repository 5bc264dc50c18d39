"""Typed callers of the Lua steps: arguments in, results out, and one error for each refusal.

Steps do not know how a script reaches Redis. `run` does: it runs the script completely, or raises `StoreError`. Every
step may run twice, because it finds what was done already.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn, cast

from headwater.entries import Entry
from headwater.errors import Expired, Fenced, LogFull, NoSuchLog, OutOfSequence, Sealed, StoreError, Torn
from headwater.events import Ending, Event, State, is_admissible, state_after
from headwater.log.lua.packs import opened
from headwater.log.lua.script import Argument, Run, encoded, key, ms, script
from headwater.log.names import names_in
from headwater.log.packs import PACK, Pack
from headwater.log.store import PAGE, Abandoned, Claim, Description, Lease, Limits, Terms, lost_ending
from headwater.offsets import ORIGIN, Offset
from headwater.principal import LEAVES, Principal

CONSTANT_TTL = 366 * 86_400.0
"""Seconds for which a constant is kept after its last use; every start of a server uses it."""

_CLAIM = script("claim", "log", "name")
_FIND = script("find", "log", "name")
_OPEN = script("open", "log", "name")
_APPEND = script("append", "quick", "log", "pack", "write", lane="flush")
_SEAL = script("seal", "log", "pack", "write")
_READ = script("read", "log", "pack", lane="large")
_WATCH = script("watch", "log")
_STOP = script("stop", "log")
_DESCRIBE = script("describe", "log")
_RELEASE = script("release", "log", "pack", "write")
_ABANDONED = script("abandoned", "log", lane="large")
_TAKE_OVER = script("take_over", "log")
_FORGET = script("forget", "log")
_CONSTANT = script("constant")
_CHECK = script("check")

# The `lost` ending, cut in two at its time, which only the step that finds the log lapsed knows.
_LOST = lost_ending(0, 0, 0.0).data.split(b"0.0", 1)
assert len(_LOST) == 2


class Page(NamedTuple):
    """Some entries of a log, and how the log stood when they were read."""

    entries: Sequence[Entry]
    state: State
    epoch: int
    series: int
    """The series of the last pack; `log.lua` explains it."""
    last: int

    @property
    def end(self) -> Offset:
        """The offset of the log's last entry."""
        return Offset(self.epoch, self.last) if self.last else ORIGIN

    def parts(self) -> Iterator[Sequence[Entry]]:
        """The entries in pages as a reader gets them."""
        return (self.entries[i : i + PAGE] for i in range(0, len(self.entries), PAGE))


class Standing(NamedTuple):
    """How a log stands after an append; `stop` is the subject who requested its end."""

    stop: str | None
    series: int
    last: int
    size: int
    packs: int
    readers: bool = True
    """Whether another process reads the log, as far as that is known."""


class Sight(NamedTuple):
    """What a look at a log shows; a log that is gone is not `open`."""

    open: bool
    last: int
    stop: bool
    read: bool


class Steps:
    """The store contract over keys in any server that speaks Redis.

    `skew` gives the seconds by which a test's clock is ahead of the server's; 0 outside of tests.
    """

    def __init__(self, run: Run, limits: Limits, skew: Callable[[], float]) -> None:
        self._run = run
        self._limits = limits
        self._skew = skew
        self.found_abandoned: Callable[[str], None] = lambda log: None
        """Called with each log that is found abandoned."""

    async def claim(self, name: str, log: str, principal: Principal, ttl: float, terms: Terms) -> Claim:
        """Bind a name to a new log and open it, or return the log that will do."""
        arguments = _encoded(name, log, *principal, ms(ttl), *_ages(terms), terms.binds or "")
        arguments += _given(terms.recovery)
        answer = await self._run(_CLAIM, [*keys_of_names(name), *keys_of(log)], [*self._lapsing(), *arguments])
        return Claim(log, won=True, lease=Lease(log)) if answer[0] == b"won" else self._found(log, answer)

    async def find(self, name: str, principal: Principal, terms: Terms) -> Claim | None:
        """The log that will do for a name."""
        arguments = _encoded(name, principal.subject, *_ages(terms))
        answer = await self._run(_FIND, keys_of_names(name), [*self._lapsing(), *arguments])
        return None if answer[0] == b"unbound" else self._found(name, answer)

    async def open(self, log: str, principal: Principal, ttl: float, name: str | None, recovery: bytes | None) -> None:
        """Open a log that no request can join."""
        arguments = _encoded(log, *principal, ms(ttl), name or "", *_given(recovery))
        self._check(log, await self._run(_OPEN, keys_of(log), [*self._times(), *arguments]))

    async def append(self, packs: Sequence[Pack], lease: Lease) -> Standing:
        """Append what is not stored yet, and renew the lease."""
        bounds = (self._limits.entries, self._limits.bytes)
        arguments = _encoded(lease.log, lease.epoch, *bounds, *_flattened(packs))
        answer = await self._run(_APPEND, keys_of(lease.log), [*self._times(), *arguments])
        return self._standing(lease.log, answer)

    async def seal(self, packs: Sequence[Pack], ending: Ending, lease: Lease) -> None:
        """Append the last entries and close the log; the last of them is the ending."""
        arguments = _encoded(lease.log, lease.epoch, *_closing(ending), *_flattened(packs))
        self._check(lease.log, await self._run(_SEAL, keys_of(lease.log), [*self._times(), *arguments]))

    async def release(self, lease: Lease) -> None:
        """Give up a lease."""
        arguments = [*self._lapsing(), *_encoded(lease.log, lease.epoch)]
        self._check(lease.log, await self._run(_RELEASE, keys_of(lease.log), arguments))

    async def abandoned(self, log: str) -> Abandoned | None:
        """What a successor of the log's writer needs."""
        answer = self._check(log, await self._run(_ABANDONED, keys_of(log), [*self._lapsing(), *_encoded(log)]))
        if len(answer) == 1:
            return None
        _, epoch, last, recovery, stop, age = answer
        return Abandoned(log, epoch, last, recovery, stop.decode() or None, age / 1000)

    async def take_over(self, packs: Sequence[Pack], last: Event, lease: Lease) -> Standing:
        """Append the first entries of an abandoned log's next epoch, `last` being the last of them."""
        closing = _closing(last) if isinstance(last, Ending) else ("", 0)
        arguments = _encoded(lease.log, lease.epoch, secrets.token_hex(8), *closing, *_flattened(packs))
        answer = await self._run(_TAKE_OVER, keys_of(lease.log), [*self._lapsing(), *arguments])
        return self._standing(lease.log, answer)

    async def read(self, log: str, after: Offset, mark: float = 0) -> Page:
        """The next entries after an offset, about `PACK` bytes; marks the log as read for `mark` seconds."""
        arguments = _encoded(log, *after, PACK, ms(mark))
        answer = await self._run(_READ, keys_of(log), [*self._lapsing(), *arguments])
        _, state, epoch, series, last, begin, packs = self._check(log, answer)
        page = Page(opened(log, packs, begin).entries, self._state(log, state), epoch, series, last)
        if begin < last and not page.entries:
            raise Torn.of(log)
        return page

    async def watch(self, logs: Sequence[tuple[str, bool]], mark: float) -> list[Sight]:
        """Look at logs of one shard; those with True are marked as read for `mark` seconds."""
        arguments = _encoded(*(each for log, read in logs for each in (log, int(read))))
        keys = [each for log, _ in logs for each in keys_of(log)]
        answer = await self._run(_WATCH, keys, [*self._lapsing(), ms(mark), *arguments])
        return [
            Sight(self._state(log, state) == "open", last, stop == 1, read == 1)
            for (log, _), (state, last, stop, read) in zip(logs, answer, strict=True)
        ]

    async def stop(self, log: str, subject: str) -> bool:
        """Take a subject off a log; returns whether it has ended or its writer was asked to stop."""
        answer = await self._run(_STOP, keys_of(log), [*self._times(), *_encoded(log, subject, LEAVES)])
        return self._check(log, answer)[1] == 1

    async def describe(self, log: str) -> Description:
        """What is known of a log."""
        answer = await self._run(_DESCRIBE, keys_of(log), [*self._lapsing(), *_encoded(log)])
        _, tenant, state, epoch, last, age = self._check(log, answer)
        end = Offset(epoch, last) if last else ORIGIN
        return Description(log, tenant.decode(), self._state(log, state), end, age / 1000)

    async def forget(self, log: str) -> None:
        """Delete a log and free its names."""
        arguments = _encoded(log, secrets.token_hex(8))
        self._check(log, await self._run(_FORGET, keys_of(log), [*self._times(), *arguments]))

    async def constant(self, name: str, value: bytes) -> bytes:
        """Keep a value unless one is kept already; returns the one that is kept."""
        answer = await self._run(_CONSTANT, [key("constant", name)], [value, ms(CONSTANT_TTL)])
        kept: bytes = answer[1]
        return kept

    async def check(self) -> None:
        """Return if a server takes writes: the only one, or in a cluster one of them."""
        await self._run(_CHECK, [key("constant", "check")], [])

    def _times(self) -> list[int]:
        limits = self._limits
        return [ms(self._skew()), ms(limits.lease), ms(limits.grace), ms(limits.tombstone)]

    def _lapsing(self) -> list[Argument]:
        return [*self._times(), *_LOST, ms(self._limits.takeover)]

    def _state(self, log: str, state: bytes) -> State:
        if state == b"abandoned":
            self.found_abandoned(log)
            return "open"
        return cast("State", state.decode())

    def _standing(self, log: str, answer: list[Any]) -> Standing:
        _, stop, series, last, size, count, readers = self._check(log, answer)
        return Standing(stop_of(stop), series, last, size, count, readers == 1)

    def _found(self, what: str, answer: list[Any]) -> Claim:
        _, found, state, age, ttl, place = self._check(what, answer)
        log = found.decode()
        return Claim(log, won=False, state=self._state(log, state), age=age / 1000, ttl=ttl / 1000, place=place)

    def _check(self, log: str, answer: list[Any]) -> list[Any]:
        if answer[0] != b"ok":
            self._refuse(log, answer[0].decode(), *answer[1:])
        return answer

    def _refuse(self, log: str, why: str, detail: Any = None) -> NoReturn:
        match why:
            case "none":
                raise NoSuchLog.of(log)
            case "gone":
                raise Expired.of(log)
            case "torn":
                raise Torn.of(log)
            case "fenced":
                raise Fenced.of(log, detail)
            case "sealed":
                raise Sealed.of(log, detail.decode())
            case "gap":
                raise OutOfSequence.gap(log, detail)
            case "full":
                raise LogFull.of(log, self._limits.entries, self._limits.bytes)
            case _:
                raise StoreError(f"Redis gave an answer that this version does not know: {why}")


def keys_of(log: str) -> list[bytes]:
    """The keys of a log, all of which exist while it is written."""
    return [key("log", log), key("packs", log), key("lease", log)]


def keys_of_names(name: str) -> list[bytes]:
    """The keys of the names that are given as one."""
    return [key("name", each) for each in names_in(name)]


def stop_of(lease: bytes) -> str | None:
    """The subject who requested a stop, by the value of a log's lease; None if nobody did."""
    return lease.removeprefix(b"by:").decode() if lease else None


def _given(recovery: bytes | None) -> list[Argument]:
    return [recovery] if recovery else []


def _closing(ending: Ending) -> tuple[State, int]:
    return state_after(ending), 1 if is_admissible(ending) else 0


def _ages(terms: Terms) -> tuple[int, int]:
    return -1 if terms.newer_than is None else ms(terms.newer_than), ms(terms.stale)


def _encoded(*arguments: Argument) -> list[Argument]:
    return [encoded(each) if isinstance(each, str) else each for each in arguments]


def _flattened(packs: Sequence[Pack]) -> list[Argument]:
    """Packs as the scripts take them: the first sequence, then the last sequence and the lines of each pack."""
    return [packs[0].first if packs else 0, *(each for pack in packs for each in (pack.last, pack.data))]

"""The typed face of the Lua steps: what goes in, what comes out, and which refusal is which error.

It does not know how a script gets to Redis: `run` does, once and to the end or not at all, and says so with a
`StoreError`. Every step may be run twice: what was done already is found done.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

from headwater.errors import Expired, Fenced, LogFull, NoSuchLog, OutOfSequence, Sealed, StoreError
from headwater.events import Ending, Entry, State, is_admissible, state_after
from headwater.log.lua.packs import opened
from headwater.log.lua.script import Argument, Script, key, script
from headwater.log.packs import Pack
from headwater.log.store import Claim, Description, Lease, Limits, lost_ending
from headwater.offsets import ORIGIN, Offset
from headwater.principal import Principal

PAGE = 512
"""Entries handed on at once; a reply holds more."""
ROOM = 256 * 1024
"""Bytes of entries in a reply, about; or one pack, if that is larger."""
CONSTANT = 366 * 86_400.0
"""Seconds for which a constant is kept since somebody last asked for it; every start of a server does."""

Run = Callable[[Script, Sequence[bytes], Sequence[Argument]], Awaitable[Any]]

_CLAIM = script("claim", "log", "name")
_FIND = script("find", "log", "name")
_OPEN = script("open", "log", "name")
_APPEND = script("append", "log", "pack", "write")
_SEAL = script("seal", "log", "pack", "write")
_READ = script("read", "log", "pack", large=True)
_WATCH = script("watch", "log")
_STOP = script("stop", "log")
_DESCRIBE = script("describe", "log")
_FORGET = script("forget", "log")
_CONSTANT = script("constant")
_CHECK = script("check")

# The `lost` ending, cut where its time stands, which is known only to whoever finds the log lapsed.
_LOST = lost_ending(0, 0, 0.0).data.split(b"0.0", 1)
assert len(_LOST) == 2


class Page(NamedTuple):
    """Some entries of a log, and how the log stood when they were read."""

    entries: Sequence[Entry]
    state: State
    epoch: int
    turn: int
    last: int

    @property
    def end(self) -> Offset:
        """The offset of the log's last entry."""
        return Offset(self.epoch, self.last) if self.last else ORIGIN

    def parts(self) -> Iterator[Sequence[Entry]]:
        """The entries, as many at a time as a reader is given."""
        return (self.entries[i : i + PAGE] for i in range(0, len(self.entries), PAGE))


class Standing(NamedTuple):
    """How a log stands after an append; `stop` is who asked for its end."""

    stop: str | None
    turn: int
    last: int
    size: int
    packs: int


class Sight(NamedTuple):
    """What a look at a log from afar shows; `open` is False also for a log that is gone."""

    open: bool
    last: int
    stop: bool


class Steps:
    """The store contract over keys that any server which speaks Redis keeps."""

    def __init__(self, run: Run, limits: Limits, skew: Callable[[], float]) -> None:
        self._run = run
        self._limits = limits
        self._skew = skew  # seconds by which the wall time here is ahead of the server's; nobody but a test has any

    async def claim(
        self, name: str, log: str, principal: Principal, ttl: float, newer_than: float | None, binds: str | None
    ) -> Claim:
        """Bind a name to a new log and open it, or say which log will do."""
        asked = (name, log, *principal, _ms(ttl), _age(newer_than), binds or "")
        answer = await self._run(_CLAIM, [key("name", name), *keys_of(log)], [*self._times(), *_LOST, *_flat(asked)])
        return Claim(log, won=True, lease=Lease(log)) if answer[0] == b"won" else self._found(log, answer)

    async def find(self, name: str, principal: Principal, newer_than: float | None) -> Claim | None:
        """Say which log will do for a name."""
        asked = (name, principal.subject, _age(newer_than))
        answer = await self._run(_FIND, [key("name", name)], [*self._times(), *_LOST, *_flat(asked)])
        return None if answer[0] == b"unbound" else self._found(name, answer)

    async def open(self, log: str, principal: Principal, ttl: float, name: str | None) -> None:
        """Open a log under no name."""
        asked = (log, *principal, _ms(ttl), name or "")
        self._check(log, await self._run(_OPEN, keys_of(log), [*self._times(), *_flat(asked)]))

    async def append(self, packs: Sequence[Pack], lease: Lease) -> Standing:
        """Append what is not stored yet and renew the lease."""
        asked = (lease.log, lease.epoch, self._limits.entries, self._limits.bytes, *_written(packs))
        answer = await self._run(_APPEND, keys_of(lease.log), [*self._times(), *_flat(asked)])
        _, stop, turn, last, size, count = self._check(lease.log, answer)
        return Standing(asked_by(stop), turn, last, size, count)

    async def seal(self, packs: Sequence[Pack], ending: Ending, lease: Lease) -> None:
        """Append the last entries and close the log; the last of them is the ending."""
        admissible = 1 if is_admissible(ending) else 0
        asked = (lease.log, lease.epoch, state_after(ending), admissible, *_written(packs))
        self._check(lease.log, await self._run(_SEAL, keys_of(lease.log), [*self._times(), *_flat(asked)]))

    async def read(self, log: str, after: Offset, mark: float = 0) -> Page:
        """The next entries after an offset, about `ROOM` bytes; for `mark` seconds the log then counts as read."""
        asked = (log, *after, ROOM, _ms(mark))
        answer = await self._run(_READ, keys_of(log), [*self._times(), *_LOST, *_flat(asked)])
        _, state, epoch, turn, last, begin, packs = self._check(log, answer)
        page = Page(opened(log, packs, begin).entries, state.decode(), epoch, turn, last)
        if begin < last and not page.entries:
            self._refuse(log, "torn")
        return page

    async def watch(self, logs: Sequence[tuple[str, bool]], mark: float) -> list[Sight]:
        """How some logs of one shard stand; a log with True counts as read for `mark` seconds."""
        asked = [each for log, read in logs for each in (log, int(read))]
        keys = [each for log, _ in logs for each in keys_of(log)]
        answer = await self._run(_WATCH, keys, [*self._times(), *_LOST, _ms(mark), *_flat(asked)])
        return [Sight(state == b"open", last, stop == 1) for state, last, stop in answer]

    async def stop(self, log: str, subject: str) -> bool:
        """Take a subject off a log; whether it has ended or was asked to."""
        answer = await self._run(_STOP, keys_of(log), [*self._times(), *_flat((log, subject))])
        return self._check(log, answer)[1] == 1

    async def describe(self, log: str) -> Description:
        """What is known of a log."""
        answer = await self._run(_DESCRIBE, keys_of(log), [*self._times(), *_LOST, *_flat((log,))])
        _, tenant, state, epoch, last, age = self._check(log, answer)
        end = Offset(epoch, last) if last else ORIGIN
        return Description(log, tenant.decode(), state.decode(), end, age / 1000)

    async def forget(self, log: str) -> None:
        """Delete a log and free its names."""
        asked = (log, secrets.token_hex(8))
        self._check(log, await self._run(_FORGET, keys_of(log), [*self._times(), *_flat(asked)]))

    async def constant(self, name: str, value: bytes) -> bytes:
        """Keep a value unless one is kept; tell which."""
        answer = await self._run(_CONSTANT, [key("constant", name)], [value, _ms(CONSTANT)])
        kept: bytes = answer[1]
        return kept

    async def check(self) -> None:
        """Ask whether the server takes writes; in a cluster, one of its servers."""
        await self._run(_CHECK, [key("constant", "check")], [])

    def _times(self) -> list[int]:
        limits = self._limits
        return [_ms(self._skew()), _ms(limits.lease), _ms(limits.grace), _ms(limits.tombstone)]

    def _found(self, what: str, answer: list[Any]) -> Claim:
        _, log, state, age, ttl = self._check(what, answer)
        return Claim(log.decode(), won=False, state=state.decode(), age=age / 1000, ttl=ttl / 1000)

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
                raise Expired.torn(log)
            case "fenced":
                raise Fenced.of(log, detail)
            case "sealed":
                raise Sealed.of(log, detail.decode())
            case "gap":
                raise OutOfSequence.gap(log, detail)
            case "full":
                raise LogFull.of(log, self._limits.entries, self._limits.bytes)
            case _:
                raise StoreError(f"Redis gave an answer that is not known here: {why}")


def keys_of(log: str) -> list[bytes]:
    """The keys of a log, all of which exist as long as it is written."""
    return [key("log", log), key("packs", log), key("lease", log)]


def asked_by(lease: bytes) -> str | None:
    """Who asked for the end of a log, if somebody did: its lease says so."""
    return lease.removeprefix(b"by:").decode() if lease else None


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _age(newer_than: float | None) -> int:
    return -1 if newer_than is None else _ms(newer_than)


def _flat(asked: Sequence[Argument]) -> list[Argument]:
    return [each.encode("utf-8", "surrogatepass") if isinstance(each, str) else each for each in asked]


def _written(packs: Sequence[Pack]) -> list[Argument]:
    """Packs as the scripts take them: where the first begins, then where each ends and what is in it."""
    return [packs[0].first if packs else 0, *(each for pack in packs for each in (pack.last, pack.data))]

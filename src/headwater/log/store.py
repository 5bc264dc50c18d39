"""The contract every store keeps, in prose; `memory.py` is the simplest implementation of it.

A log is append-only and sealed exactly once. A name is bound to at most one log: that binding makes a sealed log the
cache entry of the name, and a live one the place where identical requests meet. `headwater.testing.contract` tests
every clause below over every store:

1.  Sequences are dense from 1. A retried append is acknowledged again; an append that would leave a gap is refused.
2.  One writer: every append carries the epoch of its lease. Once another has sealed the log, the writer is `Fenced`.
3.  One ending: `open → finished | stopped | failed | lost`, with a single winner, durable and monotonic.
4.  A dead writer strands nobody: a log whose lease has lapsed is sealed `lost` by whoever notices, at
    `(epoch + 1, n + 1)`. Leases run on the store's clock or a monotonic one: a clock that jumps seals nothing live.
    Where the log cannot be sealed, its readers get an ending that is in no store or an error, and no claim joins it.
5.  `read` is a pull with a position: no join of history to live entries, no gap, no duplicate.
6.  An offset of another life of the log is `Expired`, never a silent partial answer.
7.  Everything expires: a name its TTL after the seal, the log `Limits.grace` later, its tombstone a day after that.
    In between the log is *stale*: only claims and finds whose terms allow its age still find it by its name.
8.  A store that cannot be reached raises `StoreError`; it never looks empty. `check` finds out and changes nothing.
9.  A log is bounded in entries and bytes; at the bound it takes its ending and nothing else.
10. `stop` ends the log when no other subject remains on it, and wakes the writer wherever it runs. A subject that ends
    in `LEAVES` is on the log only while it reads: `stop` takes it off with the subject itself, and all such together.
11. A reader in another process wakes the writer when it begins to wait, and its receipts say that it is there: a writer
    that nobody reads elsewhere may flush rarely, and no reader elsewhere waits for that.
12. A document is a small named value with a version and a TTL. A put returns what it replaced, in the same step, and
    replaces nothing if it names another version than the one that is there. The documents of a named collection can be
    listed, renewed and deleted together.
13. A log with a `recovery` can be taken over. When its lease lapses it is *abandoned*: it stays open for
    `Limits.takeover`, whoever notices it says so (`watch_abandoned`), and one successor gets its next epoch together
    with that epoch's first entries. A log that nobody takes over ends `lost`. The recovery is gone with the log's end.
    An offset of an older epoch is served exactly: one beyond what that epoch stored is followed by the next epoch.
14. Counters of an owner are added to in one step, in order, up to the first that its limit refuses; so are slots, which
    are held for a time (`counters.py`).
15. A name can be several, joined by newlines (`names.py`), wherever a name is given. They are tried in this order, and
    a new log gets them all. So one step serves a request that more than one log may answer.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from headwater.entries import Entry, record
from headwater.errors import DocumentTooLarge, Expired
from headwater.events import Error, State
from headwater.log.counters import Counters
from headwater.offsets import ORIGIN, Offset
from headwater.principal import Principal

PAGE = 512
"""Entries in a page that `read` yields, at most."""


class Limits(msgspec.Struct, frozen=True):
    """How long logs live and how large they grow; times in seconds."""

    lease: float = 15.0
    """After so long without an append a writer counts as dead; every flush and heartbeat renews the lease."""
    heartbeat: float = 5.0
    """After so long without a flush a writer sends an empty append."""
    takeover: float = 15.0
    """How long an abandoned log waits for a successor, since it was noticed first, before it ends `lost`: a server that
    was restarted an hour later still finds what its predecessor left."""
    grace: float = 600.0
    """How long a log outlives its name, so that an interrupted reader can come back for the rest."""
    tombstone: float = 86_400.0
    """How long a deleted id is remembered, so that a late reader gets 410 and starts no second run."""
    entries: int = 100_000
    bytes: int = 16 * 1024 * 1024


class Flush(msgspec.Struct, frozen=True):
    """When a writer flushes its buffer, at whichever bound comes first, and how long it retries; times in seconds."""

    interval: float = 0.025
    """While other processes may read the log."""
    unread_interval: float = 0.25
    """While none does: readers in the writer's process do not wait for the store."""
    events: int = 64
    bytes: int = 16 * 1024
    tells_readers: bool = True
    """Whether receipts tell if other processes read the log. If not, no answer ends because its readers left."""
    retry_for: float = 5.0
    """How long a failing store is retried before the readers here get an error. The default lease outlasts it after any
    heartbeat; that of Redis does not: a log may be taken over while its writer, which is then fenced, is trying."""


class Lease(msgspec.Struct, frozen=True):
    """The right to append to one log, valid while the log has no newer epoch."""

    log: str
    epoch: int = 1


class Terms(NamedTuple):
    """What a claim demands of a log that is bound to its name, and what it gives a new one."""

    newer_than: float | None = None
    """The greatest age in seconds of a sealed log that will do; None for any age within its TTL."""
    binds: str | None = None
    """A second name, bound when the new log is sealed admissibly: the claimed one can then belong to one request."""
    recovery: bytes | None = None
    """What is kept until the new log's end, for a successor of its writer."""
    stale: float = 0.0
    """For how many seconds past its TTL a sealed log will do; `Limits.grace` at most, since it is gone then."""


NO_TERMS = Terms()


class Claim(msgspec.Struct, frozen=True):
    """The log a name is bound to after a claim, and what is known of it; times in seconds."""

    log: str
    won: bool
    state: State = "open"
    age: float = 0.0
    """Since the log was sealed; 0 while it is open."""
    ttl: float = 0.0
    """For which the log is fresh; 0 while it is open, negative once it is stale (`Terms.stale`)."""
    lease: Lease | None = None
    """The winner's right to append."""
    place: int = 0
    """Which of the claimed names found the log, counted from 0."""


class Receipt(msgspec.Struct, frozen=True):
    """The store's answer to an append."""

    stop: str | None = None
    """The subject who requested a stop, if any did."""
    readers: bool = True
    """Whether other processes read the log. A store that cannot tell says that they do."""


class Abandoned(msgspec.Struct, frozen=True):
    """A log that can be taken over, and what its successor needs to know."""

    log: str
    epoch: int
    last: int
    """The sequence of the last stored entry; 0 if there is none."""
    recovery: bytes
    stop: str | None
    """The subject who requested a stop, if any did."""
    age: float
    """Seconds since the log was opened, which entries carry as `at`."""


class Description(msgspec.Struct, frozen=True):
    """What is known of a log without reading it."""

    log: str
    tenant: str
    state: State
    last: Offset
    """The offset of the last stored entry; of the ending when the log is sealed."""
    age: float
    """Seconds since the log was sealed; 0 while it is open."""


MAX_RECOVERY = 256 * 1024
"""Bytes of a log's recovery at most: callers keep none that is larger."""

MAX_DOCUMENT = 512 * 1024
"""Bytes of a document's value at most."""

DOCUMENTS = 200
"""Documents in a page of a collection, at most."""

DOCUMENT_BYTES = 2 * 1024 * 1024
"""Bytes of values in a page of a collection, at most, unless its only document has more."""


class Document(NamedTuple):
    """A small value that is kept under a name, longer than one request lasts."""

    value: bytes
    version: int
    """1 at first; each put adds 1."""


class Documents(Protocol):
    """Keeps documents. Every method may raise `StoreError`.

    Names are apart in each `collection`; the default one cannot be listed.
    """

    async def get(self, name: str, *, collection: str = "") -> Document | None:
        """The document of this name; None if there is none, or it has expired."""
        ...

    async def put(
        self, name: str, value: bytes, *, ttl: float, version: int | None = None, collection: str = ""
    ) -> Document | None:
        """Keep a value for `ttl` seconds; returns the document that it replaced.

        With `version`, only if the present document has it; 0 stands for none. Raises `Conflict` otherwise, and
        `DocumentTooLarge` for more than `MAX_DOCUMENT` bytes.
        """
        ...

    async def delete(self, name: str, *, collection: str = "") -> None:
        """Forget a document, if there is one."""
        ...

    async def list_documents(self, collection: str, *, after: str = "") -> Sequence[tuple[str, Document]]:
        """A page of a collection, in the order of the names' code points, beginning behind the name `after`.

        A page has at most `DOCUMENTS` documents and, with more than one document, at most `DOCUMENT_BYTES` of values;
        only the end of the collection is empty.
        """
        ...

    async def renew_documents(self, collection: str, ttl: float) -> None:
        """Keep every document of a collection for `ttl` seconds from now."""
        ...

    async def delete_documents(self, collection: str) -> None:
        """Forget every document of a collection."""
        ...


async def listed(documents: Documents, collection: str) -> AsyncGenerator[tuple[str, Document], None]:
    """Every document of a collection, page after page, in the order of their names. Raises `StoreError`."""
    after = ""
    while page := await documents.list_documents(collection, after=after):
        for named in page:
            yield named
        after = page[-1][0]


class Store(Documents, Counters, Protocol):
    """Keeps logs, the names bound to them, documents and counters. Every method may raise `StoreError`."""

    @property
    def limits(self) -> Limits:
        """The bounds this store enforces."""
        ...

    @property
    def flush(self) -> Flush:
        """How a writer batches for this store."""
        ...

    async def claim(self, name: str, log: str, principal: Principal, *, ttl: float, terms: Terms = NO_TERMS) -> Claim:
        """In one step, bind `name` to the new log `log` and open it, unless the name is bound to a log that will do.

        A log will do in two cases: it is live and no stop was requested, or it was sealed admissibly and the terms
        allow its age. The principal joins the log's subjects either way. A lapsed log met on the way is
        sealed `lost`; a binding that will not do is replaced.

        `ttl` is how many seconds the name stays bound after the seal. A claim retried with the same `log` wins again
        while that log is live.
        """
        ...

    async def find(self, name: str, principal: Principal, *, terms: Terms = NO_TERMS) -> Claim | None:
        """The log that `claim` would lose to, or None; opens nothing. The principal joins the log's subjects.

        Of the terms only those about the age have a meaning here.
        """
        ...

    async def open(
        self, log: str, principal: Principal, *, ttl: float, name: str | None = None, recovery: bytes | None = None
    ) -> Lease:
        """Open a log that no request can join. `name` is bound to it when it is sealed admissibly.

        `recovery` is as for `claim`. A retry finds the log as it is. Raises `Sealed` or `Expired` for an id that was
        used before.
        """
        ...

    async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
        """Append entries in order and renew the lease; an append of no entries is a heartbeat.

        Entries that are stored already are acknowledged again; others in their places are refused. Appends nothing
        when it raises `Fenced`, `Sealed`, `OutOfSequence`, `LogFull` or `Expired`.
        """
        ...

    async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
        """Append the last entries and close the log, in one step; the last of them is the ending.

        In the same step the log's name is bound to it (admissible ending) or freed (any other). A retried seal is
        acknowledged again. Raises as `append` does, except `LogFull`; `OutOfSequence` also when the ending's place is
        taken.
        """
        ...

    def read(self, log: str, after: Offset = ORIGIN, *, follow: bool = True) -> AsyncGenerator[Sequence[Entry], None]:
        """Every entry after `after`, in pages of at most `PAGE`: stored ones, then new ones, until the ending.

        With `follow` it waits for new entries, and seals the log `lost` when its lease lapses meanwhile; where that
        fails it ends with `unsealed_ending` or raises `StoreError`. Without, it returns at the end of what is stored.
        Raises `NoSuchLog` or `Expired`, the latter also when it waited at an offset that the log then never reached.
        """
        ...

    async def stop(self, log: str, subject: str) -> bool:
        """Take the subject off the log, and ask the writer to end when nobody else remains. Idempotent, never waits.

        `LEAVES` stands for every subject that ends in it.

        Returns whether the log has ended or its writer was asked to end; False means the subject was only detached.
        """
        ...

    def listen(self, lease: Lease, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` on the event loop whenever the writer should look at its receipt; returns what ends that.

        That is when a stop was requested, now or earlier, when the log was taken away, and when a reader in another
        process begins to wait. A store whose heartbeat is at most a second may leave a stop requested in another
        process to the receipts; one whose receipts always say `readers` need not wake for them.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """Give up a lease, so that the log is abandoned at once. Raises as `append` does, for an unheld lease too."""
        ...

    async def abandoned(self, log: str) -> Abandoned | None:
        """What a successor needs; None for a log that has ended, has a live writer or has no recovery.

        Raises `NoSuchLog` or `Expired`.
        """
        ...

    async def take_over(self, entries: Sequence[Entry], log: str) -> Lease:
        """In one step, append the first entries of an abandoned log's next epoch, and get the lease for it.

        They follow the last stored entry. If the last of them is an ending, the log is closed with it as by `seal`.
        Raises `Fenced` if the log is not abandoned at the epoch before, because another successor was faster or the
        writer is back; a call whose answer was lost must not be repeated, since it cannot be told from that. Also
        raises `Sealed`, `OutOfSequence`, `NoSuchLog` or `Expired`.
        """
        ...

    def watch_abandoned(self, found: Callable[[str], None]) -> None:
        """Call `found` on the event loop with each log that is found abandoned here, about once a second."""
        ...

    async def describe(self, log: str) -> Description:
        """What is known of a log. Raises `NoSuchLog` or `Expired`."""
        ...

    async def forget(self, log: str) -> None:
        """Delete a log and free the name bound to it; a tombstone of its id remains. Its writer, if any, is fenced."""
        ...

    async def constant(self, name: str, value: bytes) -> bytes:
        """Keep `value` under `name` unless a value is kept there already; returns the one that is kept."""
        ...

    async def check(self) -> None:
        """Return if the store can be reached and takes writes now. Raises `StoreError`, also when it was closed.

        Changes nothing that is stored. Starts what the store does in the background, such as watching for lapsed logs:
        a server calls it at start-up, so that logs which a dead server left open end within one lease.
        """
        ...

    async def aclose(self) -> None:
        """Close everything this store opened. May be called again."""
        ...


def check_offset(after: Offset, state: State, epoch: int, last: Offset) -> None:
    """Refuse an offset that this log cannot have handed out. Raises `Expired`.

    An offset of the current epoch beyond what is stored is valid while the log is open: its reader was served from the
    writer's memory and is ahead of the store.
    """
    if after.epoch > epoch or (state != "open" and after > last):
        raise Expired.beyond(after, last)


def check_size(value: bytes) -> None:
    """Refuse a document that is too large. Raises `DocumentTooLarge`."""
    if len(value) > MAX_DOCUMENT:
        raise DocumentTooLarge.of(len(value), MAX_DOCUMENT)


LOST = "The server that was writing this answer is gone; what arrived is only a part. Ask again."
VANISHED = "The store has lost this answer; what arrived is only a part. Ask again."


def lost_ending(epoch: int, last: int, at: float, why: str = LOST) -> Entry:
    """The ending that anyone may write when a lease has lapsed: one epoch up, so that the dead writer is fenced off."""
    return record(Offset(epoch + 1, last + 1), at, Error("lost", why, retryable=True, status=502))


def unsealed_ending(epoch: int, last: int, at: float) -> Entry:
    """What readers get when a lease has lapsed and the store takes no writes: `lost_ending`, in no store.

    A reader may read on after the last entry that it has: it then gets the stored ending once somebody has sealed the
    log, and the rest of the answer if the writer was late and comes back.
    """
    ending = lost_ending(epoch, last, at)
    return Entry(ending.offset, ending.at, ending.event, b"")

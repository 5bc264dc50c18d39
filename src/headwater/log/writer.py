"""The one appender of a log: shows entries to readers in this process at once, and flushes them to the store.

Theory of operation
-------------------
`_entries` is the log as this process shows it; it only grows. Two positions in it matter: each reader has its own, and
`_stored` counts what the store has acknowledged. Local readers run ahead of the store by at most one flush plus the
last batch from the provider; beyond that `room` blocks the producer. So a store that falls silent stops the answer, and
no reader sees tokens that nobody keeps. The ending is an exception: it is shown only once the store has taken it,
because until then another process may seal the log differently.

States, and what they permit:

- *writing*: `append` shows and buffers events; flushes run.
- *full* (`full`): a bound of the log was reached. `append` ignores events; only an ending can follow.
- *sealing* (`_sealing`): `seal` has begun. `append` ignores events, because an abandoned model may still produce some;
  no new flush begins.
- *ended* (`_ended`): nothing will follow here; readers return when they have seen every entry.
- *broken* (`fenced` or `failure`): nothing can be stored any more. Fenced: another process sealed the log, and readers
  go on in the store, where its ending is. Failure: readers get `local_ending`, and the log will be found lapsed.

Who does what: the producer is one task, which calls `append`, `room` and `seal`. Readers only look, and wait in
the `_feed`. Timers (`_due`, `_heartbeat`) and the store's `listen` callback only call `_flush_now`. It starts the
flush task, or makes the one under way flush once more (`_again`), so at most one flush is under way at any time.

How often it flushes depends on who reads. While no other process reads the log, a flush serves only a crash, and comes
every `Flush.unread_interval`. A reader elsewhere wakes the writer through `listen` when it begins to wait; the writer
flushes at once, learns of the reader by the receipt, and flushes every `Flush.interval` while receipts say so.

What can race, all on one event loop:

- `seal` and a flush: `seal` sets `_sealing`, waits for the flush task, then sends the rest together with the ending.
- A stop or a takeover and anything else: both are learnt from the store's answer to the next flush, which the `listen`
  callback or the heartbeat brings about. `interrupt` then tells the producer, which seals.
- A retry and its own first attempt, whose answer was lost: the store acknowledges equal entries again. If it refuses
  them at our own epoch, it has lost entries that it had acknowledged, and the answer is lost with them.
- A context that is left without a seal, because the producer died: the flush is cancelled and the log stays open, so
  that its lease lapses and any reader ends it as `lost`.
"""

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

from headwater.entries import Entry, record
from headwater.errors import Expired, Fenced, LogFull, NoSuchLog, OutOfSequence, Sealed, StoreError
from headwater.events import Ending, Error, Event, error_event, parts, unforeseen
from headwater.log.bell import Bell
from headwater.log.feed import Feed, Take
from headwater.log.store import Lease, Receipt, Store
from headwater.offsets import ORIGIN, Offset
from headwater.principal import LEAVES

logger = logging.getLogger(__name__)

COMMON_BEAT = 0.005
"""Seconds between the moments at which flushes may begin, at least: writers flush together, and a store that groups
commits makes one of theirs. A longer beat lets flushes begin earlier, and so more of them."""
BEATS = 8
"""Common moments in the interval of a log that no other process reads, and between two heartbeats."""
FIRST_RETRY, LONGEST_RETRY = 0.05, 1.0
"""Seconds before a failed call is retried; each further pause is twice as long, up to the longest."""

Flushed = Callable[[int, float], None]
"""Called after each flush and seal with the entries stored, 0 for a heartbeat, and the seconds until the store
acknowledged them, retries included. Must not raise."""
StoreFailed = Callable[[StoreError], None]
"""Called with the last error when the store has failed for as long as it is retried. Must not raise."""


class Writer:
    """Appends to one log while its lease lasts. Use it as a context manager: it owns the flush under way.

    A successor's writer begins with the entries that are `stored`, and with the log's `age` in seconds.

    `interrupt` is called when the producer should end: a stop was requested (`stop`), the log is full (`full`), the
    store does not answer (`failure`), or another process has sealed the log (`fenced`).
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        *,
        stored: Sequence[Entry] = (),
        age: float = 0.0,
        flushed: Flushed | None = None,
        store_failed: StoreFailed | None = None,
    ) -> None:
        self.log = lease.log
        self.stop: str | None = None
        self.full = False
        self.fenced = False
        self.failure: Error | None = None
        self.interrupt: Callable[[], None] = lambda: None
        self._store = store
        self._lease = lease
        self._on_flushed = flushed
        self._on_store_failed = store_failed
        self.released = False
        """Whether the lease was given up, for a successor at another server."""
        self.age = age
        self._opened = time.monotonic() - age
        self._feed = Feed()
        self._entries = self._feed.entries
        self._entries += stored
        self._size = sum(len(entry.data) for entry in stored)
        self._stored = len(stored)  # entries that the store has acknowledged
        self._stored_size = self._size  # bytes of them
        self._sealing = False
        self._ended = False
        self._room = Bell()  # rings when the store has caught up, or never will
        self._due: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._flushed = 0.0  # when a flush ended last
        self._flushing: asyncio.Task[None] | None = None
        self._again = False  # whether another flush is to follow the one under way
        self._read_elsewhere = False  # as the last receipt says
        self._unlisten: Callable[[], None] = lambda: None

    async def __aenter__(self) -> "Writer":
        self._unlisten = self._store.listen(self._lease, self._flush_now)
        self._flushed = asyncio.get_running_loop().time()
        self._beat()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unlisten()
        for timer in (self._due, self._heartbeat):
            if timer is not None:
                timer.cancel()
        self._sealing = self._ended = True
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait({self._flushing})
        self._ring_all()

    def append(self, events: Sequence[Event]) -> bool:
        """Show events to the readers in this process now, and store them with the next flush.

        Returns whether the store is so far behind that the producer must wait for `room`. Events are ignored once
        sealing has begun: an abandoned model task may still produce some.
        """
        if self._sealing or self.full or self.fenced or self.failure is not None:
            return False
        now = time.monotonic() - self._opened
        entries, limits, epoch, size = self._entries, self._store.limits, self._lease.epoch, self._size
        most, room = limits.entries - 1, limits.bytes  # the ending needs one place, also in a full log
        for event in events:
            for part in parts(event):
                # Bypasses the constructor of the named tuple, which costs as much as encoding the event.
                offset = tuple.__new__(Offset, (epoch, len(entries) + 1))  # pyright: ignore[reportUnknownMemberType]
                entry = record(offset, now, part)
                further = size + len(entry.data)
                if len(entries) >= most or further > room:
                    self.full = True
                    break
                entries.append(entry)
                size = further
            if self.full:
                self.interrupt()
                break  # events behind it might fit, and would leave a hole
        self._size = size
        self._feed.wake()
        behind = self._behind()
        if behind:
            self._flush_now()
        elif self._due is None:
            self._schedule()
        return behind

    async def room(self) -> None:
        """Wait until the store is no more than one flush behind."""
        while self._behind() and not (self.full or self._broken()):
            self._flush_now()
            await self._room.next()

    @property
    def entries(self) -> Sequence[Entry]:
        """Everything that was shown so far."""
        return self._entries

    @property
    def unstored(self) -> int:
        """How many of them the store has not acknowledged yet."""
        return len(self._entries) - self._stored

    @property
    def readers(self) -> int:
        """How many read it in this process."""
        return self._feed.readers

    @property
    def last(self) -> Offset:
        """The offset of the last entry that was shown."""
        return self._entries[-1].offset if self._entries else ORIGIN

    @property
    def local_ending(self) -> Entry | None:
        """The ending for the readers here when the store has failed: the log breaks off for them at this place."""
        return record(self._next(), time.monotonic() - self._opened, self.failure) if self.failure else None

    @property
    def is_read(self) -> bool:
        """Whether anybody reads the log, here or, as the last receipt says, elsewhere."""
        return self._feed.readers > 0 or self._read_elsewhere or not self._store.flush.tells_readers

    async def leave(self) -> bool:
        """Take the subjects off the log that leave by ceasing to read; whether that ends it. Raises `StoreError`."""
        return await self._store.stop(self.log, LEAVES)

    async def seal(self, ending: Ending) -> None:
        """Close the log with `ending` and everything not stored yet; then show the ending to the readers.

        When another process has sealed the log meanwhile, its ending stands and the readers find it in the store. When
        the store cannot be reached, the readers here get an error, and the log's lease lapses.
        """
        self._sealing = True
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        if self._broken():
            return
        last = record(self._next(), time.monotonic() - self._opened, ending)
        tail = [*self._entries[self._stored :], last]
        await self._persist(lambda: self._store.seal(tail, self._lease), len(tail))
        if not self._broken():
            self._entries.append(last)
            self._stored = len(self._entries)
        self._ended = True
        self._ring_all()

    async def release(self) -> bool:
        """Store what was shown and give up the lease, so that a successor goes on; whether that was done."""
        self._sealing = True
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        if not self._broken() and (tail := self._entries[self._stored :]):
            await self._persist(lambda: self._store.append(tail, self._lease), len(tail))
        if not self._broken():
            await self._persist(lambda: self._store.release(self._lease), 0)
        self.released = not (self._broken() or self.full)
        self._ended = self.released
        self._sealing = self.released
        self._ring_all()
        return self.released

    def read(
        self, after: Offset, *, follow: bool = True, take: Take | None = None
    ) -> AsyncGenerator[Sequence[Entry], None]:
        """Every entry after `after`, as it is appended; ends early when the rest must be read from the store.

        Raises `Expired` for an offset beyond everything shown so far.
        """
        epoch = self._lease.epoch
        if after.epoch > epoch or (after.epoch == epoch and after.sequence > len(self._entries)):
            raise Expired.beyond(after, self.last)
        # An older epoch's offset beyond what that epoch has stored is followed by the next epoch.
        older = 0 < after.epoch < epoch
        position = bisect_right(self._entries, after, key=lambda entry: entry.offset) if older else after.sequence
        return self._feed.read(position, follow=follow, take=take)

    def _next(self) -> Offset:
        return Offset(self._lease.epoch, len(self._entries) + 1)

    def _behind(self) -> bool:
        flush = self._store.flush
        return len(self._entries) - self._stored >= flush.events or self._size - self._stored_size >= flush.bytes

    def _broken(self) -> bool:
        return self.fenced or self.failure is not None

    def _ring_all(self) -> None:
        self._feed.done = self._ended or self._broken()
        self._feed.wake_all()
        self._room.ring()

    def _schedule(self) -> None:
        """Flush at the first common moment after the interval."""
        loop, flush = asyncio.get_running_loop(), self._store.flush
        interval = flush.interval if self._read_elsewhere else flush.unread_interval
        beat = max(min(interval, COMMON_BEAT), interval / BEATS) or COMMON_BEAT
        self._due = loop.call_at((loop.time() + interval) // beat * beat, self._flush_now)

    def _beat(self) -> None:
        """Flush, if need be without entries, when that has not happened for a heartbeat: it renews the lease.

        Silent writers do so at common moments: a store takes many heartbeats at once for a fraction of the cost.
        """
        loop, pause = asyncio.get_running_loop(), self._store.limits.heartbeat
        beat = pause / BEATS
        left = self._flushed + pause - loop.time()
        if left < beat:
            if self._flushing is None:
                self._flush_now()
            left = pause  # also while a flush is under way, which renews the lease when it ends
        self._heartbeat = loop.call_at((loop.time() + left) // beat * beat, self._beat)

    def _flush_now(self) -> None:
        """Start the flush task, or have the one under way flush once more."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._flushing is not None:
            self._again = True
        elif not (self._sealing or self._broken()):
            self._flushing = asyncio.create_task(self._keep_flushing(), name=f"flush {self.log}")

    async def _keep_flushing(self) -> None:
        try:
            self._again = True
            while self._again and not (self._sealing or self._broken()):
                self._again = False
                await self._flush()
                self._flushed = asyncio.get_running_loop().time()
        except Exception:
            logger.exception("flushing %s broke", self.log)
            self.failure = unforeseen()
            self._ring_all()
            self.interrupt()
        finally:
            self._flushing = None

    async def _flush(self) -> None:
        batch, size = self._entries[self._stored :], self._size
        receipt = await self._persist(lambda: self._store.append(batch, self._lease), len(batch))
        if receipt is None:
            return
        self._stored += len(batch)
        self._stored_size = size
        self._room.ring()
        self._read_elsewhere = receipt.readers
        if receipt.stop is not None and self.stop is None:
            self.stop = receipt.stop
            self.interrupt()

    async def _persist(self, call: Callable[[], Awaitable[Any]], count: int) -> Receipt | None:
        """Make a call of the store, and retry it for a while: every call of its contract may be repeated.

        On failure it sets what became of the log, wakes everyone and returns None.
        """
        begin = time.monotonic()
        give_up = begin + self._store.flush.retry_for
        pause = FIRST_RETRY
        while True:
            try:
                async with asyncio.timeout(max(give_up - time.monotonic(), 0.01)):
                    receipt = await call()
                if self._on_flushed is not None:
                    self._on_flushed(count, time.monotonic() - begin)
                return receipt
            except (OutOfSequence, Sealed):
                # At our own epoch. Either the store has lost acknowledged entries, as when a lagging replica is
                # promoted, or another process writes with this lease. What readers here saw is not what is stored.
                why = "The store lost a part of this answer, or another process has written into it. Ask again."
                self.failure = Error("lost", why, retryable=True)
            except (Fenced, Expired, NoSuchLog):
                self.fenced = True
            except LogFull:
                self.full = True
            except (StoreError, TimeoutError) as error:
                if time.monotonic() + pause < give_up:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_RETRY)
                    continue
                silence = StoreError(f"no answer for {self._store.flush.retry_for:g} s")
                why = error if isinstance(error, StoreError) else silence
                logger.warning("answer %s cannot be stored: %s", self.log, why)
                self.failure = error_event(why)
                if self._on_store_failed is not None:
                    self._on_store_failed(why)
            self._ring_all()
            self.interrupt()
            return None

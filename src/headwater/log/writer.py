"""The one appender of a log: shows entries to local readers at once, and hands them to the store in flushes.

What readers here have seen is at most one flush, and what one read of the provider brought with its last, ahead of what
the store has acknowledged: `room` holds the producer back beyond that, so a store that falls silent stops the answer
instead of letting through tokens that nobody keeps.
An ending is shown only after the store has taken it, because until then another process may seal the log differently.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from headwater.errors import Expired, Fenced, LogFull, NoSuchLog, OutOfSequence, Sealed, StoreError
from headwater.events import Ending, Entry, Error, Event, Page, parts, record
from headwater.log.bell import Bell
from headwater.log.store import Lease, Receipt, Store
from headwater.offsets import Offset

logger = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds for which a failing store is tried again before its readers are told; less than the usual lease."""

TOGETHER = 0.005
"""Seconds by which a flush may come early, so that it comes together with others; more would mean more flushes."""


class Writer:
    """Appends to one log while its lease lasts. Use it as a context manager: it owns the flush under way.

    `interrupt` is called when the producer should end: a stop was asked for (`stop`), the log is full (`full`),
    the store does not answer (`failure`), or another has sealed the log (`fenced`).
    """

    def __init__(self, store: Store, lease: Lease) -> None:
        self.log = lease.log
        self.stop: str | None = None
        self.full = False
        self.fenced = False
        self.failure: Error | None = None
        self.interrupt: Callable[[], None] = lambda: None
        self._store = store
        self._lease = lease
        self._opened = time.monotonic()
        self._entries: list[Entry] = []
        self._page = Page()
        self._size = 0
        self._kept = 0  # how many entries the store has acknowledged
        self._buffered = 0  # bytes it has not
        self._sealing = False
        self._ended = False
        self._changed = Bell()  # there is more to read, or never will be
        self._room = Bell()  # the store has caught up, or never will
        self._due: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._flushed = 0.0
        self._flushing: asyncio.Task[None] | None = None
        self._again = False  # a flush was asked for while one was under way
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
        self._announce()

    def append(self, events: Sequence[Event]) -> None:
        """Show events to the readers in this process now, and to the store with the next flush.

        Once the ending is on its way there is nothing to append to: a model that was left behind may still speak.
        """
        if self._sealing or self.full or self._hopeless():
            return
        now = time.monotonic() - self._opened
        entries, limits, epoch, size = self._entries, self._store.limits, self._lease.epoch, 0
        most, room = limits.entries - 1, limits.bytes - self._size  # one place is the ending's, also in a full log
        for event in events:
            for part in parts(event):
                # Past the named tuple's own constructor, which costs as much as encoding the event.
                offset = tuple.__new__(Offset, (epoch, len(entries) + 1))  # pyright: ignore[reportUnknownMemberType]
                entry = record(offset, now, part)
                if len(entries) >= most or size + len(entry.data) > room:
                    self.full = True
                    break
                entries.append(entry)
                size += len(entry.data)
            if self.full:
                break  # nor what is behind it and would fit: a log has no holes
        self._size += size
        self._buffered += size
        if self.full:
            self.interrupt()
        self._changed.ring_in_turn()
        self._schedule()

    async def room(self) -> None:
        """Wait until the store is no more than one flush behind."""
        while self._behind() and not (self.full or self._hopeless()):
            self._flush_now()
            await self._room.next()

    @property
    def unkept(self) -> Entry | None:
        """The ending for the readers here when the store has failed: where this log broke off for them."""
        return record(self._next(), time.monotonic() - self._opened, self.failure) if self.failure else None

    async def seal(self, ending: Ending) -> None:
        """Close the log with `ending`, together with what was not flushed yet; afterwards the readers see the end.

        When another has sealed the log meanwhile, theirs stands and the readers find it in the store. When the store
        cannot be reached, the readers here get an error; the log will be found lapsed, and lost, by the next one.
        """
        self._sealing = True
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        if self._hopeless():
            return
        last = record(self._next(), time.monotonic() - self._opened, ending)
        tail = [*self._entries[self._kept :], last]
        await self._persist(lambda: self._store.seal(tail, self._lease))
        if not self._hopeless():
            self._entries.append(last)
            self._kept = len(self._entries)
        self._ended = True
        self._announce()

    async def read(self, after: Offset, *, follow: bool = True) -> AsyncGenerator[Sequence[Entry], None]:
        """Every entry after `after`, as it comes; returns early when the rest is for the store to tell.

        Raises `Expired` for an offset beyond all that was ever shown.
        """
        if after.epoch > self._lease.epoch or after.sequence > len(self._entries):
            raise Expired.beyond(after, len(self._entries))
        position = after.sequence if after.epoch == self._lease.epoch else 0
        self._changed.join()
        try:
            while True:
                if position < len(self._entries):
                    page = self._since(position)
                    position += len(page)
                    yield page
                elif self._ended or self._hopeless() or not follow:
                    return
                else:
                    await self._changed.next()
        finally:
            self._changed.leave()

    def _since(self, position: int) -> Page:
        """The entries after a position: one and the same page for all readers who have come equally far."""
        page = self._page
        if not page or page[0].offset.sequence != position + 1 or page[-1] is not self._entries[-1]:
            page = self._page = Page(self._entries[position:])
        return page

    def _next(self) -> Offset:
        return Offset(self._lease.epoch, len(self._entries) + 1)

    def _behind(self) -> bool:
        flush = self._store.flush
        return len(self._entries) - self._kept >= flush.events or self._buffered >= flush.bytes

    def _hopeless(self) -> bool:
        return self.fenced or self.failure is not None

    def _announce(self) -> None:
        self._changed.ring()
        self._room.ring()

    def _schedule(self) -> None:
        if self._behind():
            self._flush_now()
        elif self._due is None:
            # On a beat that all writers share: they flush in one wake-up, and in one commit where a store groups them.
            loop, interval = asyncio.get_running_loop(), self._store.flush.interval
            beat = min(interval, TOGETHER) or TOGETHER
            self._due = loop.call_at((loop.time() + interval) // beat * beat, self._flush_now)

    def _beat(self) -> None:
        """No flush for a heartbeat's time renews the lease with an empty one; it also asks whether to stop."""
        loop, pause = asyncio.get_running_loop(), self._store.limits.heartbeat
        left = self._flushed + pause - loop.time()
        if left <= 0:
            if self._flushing is None:
                self._flush_now()
            left = pause  # also for a flush that is under way: it renews the lease when it is through
        self._heartbeat = loop.call_later(left, self._beat)

    def _flush_now(self) -> None:
        """Begin a flush, or have another follow the one that is under way; in a task that lives no longer than it."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._flushing is not None:
            self._again = True
        elif not (self._sealing or self._hopeless()):
            self._flushing = asyncio.create_task(self._keep_flushing(), name=f"flush {self.log}")

    async def _keep_flushing(self) -> None:
        try:
            self._again = True
            while self._again and not (self._sealing or self._hopeless()):
                self._again = False
                await self._flush()
                self._flushed = asyncio.get_running_loop().time()
        except Exception as error:
            logger.exception("flushing %s broke", self.log)
            self.failure = Error("internal", f"The server failed: {type(error).__name__}", status=500)
            self._announce()
            self.interrupt()
        finally:
            self._flushing = None

    async def _flush(self) -> None:
        batch = self._entries[self._kept :]
        receipt = await self._persist(lambda: self._store.append(batch, self._lease))
        if receipt is None:
            return
        self._kept += len(batch)
        self._buffered = sum(len(entry.data) for entry in self._entries[self._kept :])
        self._room.ring()
        if receipt.stop is not None and self.stop is None:
            self.stop = receipt.stop
            self.interrupt()

    async def _persist(self, call: Callable[[], Awaitable[Receipt | None]]) -> Receipt | None:
        """Make the store take something, trying again for a while: every call of its contract may be retried."""
        give_up = time.monotonic() + PATIENCE
        pause = 0.05
        while True:
            try:
                async with asyncio.timeout(max(give_up - time.monotonic(), 0.01)):
                    return await call()
            except (OutOfSequence, Sealed):
                # At our own epoch: the store has lost what it took, as a replica that lags has when it is promoted, or
                # somebody writes with this same lease. Either way what readers here saw is not what is kept.
                why = "The store lost a part of this answer, or another process has written into it. Ask again."
                self.failure = Error("lost", why, retryable=True)
            except (Fenced, Expired, NoSuchLog):
                self.fenced = True
            except LogFull:
                self.full = True
            except (StoreError, TimeoutError) as error:
                if time.monotonic() + pause < give_up:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 1.0)
                    continue
                why = str(error) or f"no answer for {PATIENCE:g} s"
                self.failure = Error("store", f"The store that keeps this answer failed: {why}", True, status=503)
            self._announce()
            self.interrupt()
            return None

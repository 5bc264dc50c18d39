"""The logs as this process sees them: one store, and the writers that are alive here.

A reader of a log that is written here is served from the writer's memory. Readers of a live log that is written
elsewhere share a mirror of it. Any other reader is served from the store, and so is the rest of a log once its writer
here has gone. The reader cannot tell, because all of them speak in offsets.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager

from headwater.entries import Entry, Page, unknown_ending
from headwater.errors import NoSuchLog, ShuttingDown, Torn
from headwater.events import Ending, Unknown
from headwater.log.feed import Take
from headwater.log.mirror import Mirror
from headwater.log.store import VANISHED, Description, Lease, Store, lost_ending
from headwater.log.writer import Flushed, StoreFailed, Writer
from headwater.offsets import ORIGIN, Offset

REPLAYED = 32 * 1024 * 1024
"""Bytes of memory for sealed logs that were read lately, about: enough for a few hundred popular answers."""

_ENTRY = 512
"""Bytes of memory that an entry takes beside its stored form and its frame, about."""


class Logs:
    """Reads and describes logs wherever they are written, and opens the writers of those written here."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._writers: dict[str, Writer] = {}
        self._mirrors: dict[str, Mirror] = {}
        self._sealed: OrderedDict[str, Page] = OrderedDict()
        self._sealed_size = 0

    @asynccontextmanager
    async def write(
        self,
        lease: Lease,
        *,
        stored: Sequence[Entry] = (),
        age: float = 0.0,
        flushed: Flushed | None = None,
        store_failed: StoreFailed | None = None,
    ) -> AsyncGenerator[Writer, None]:
        """The writer of a log, known to this process's readers while the context lasts; for the rest see `Writer`."""
        made = Writer(self.store, lease, stored=stored, age=age, flushed=flushed, store_failed=store_failed)
        async with made as writer:
            self._writers[lease.log] = writer
            try:
                yield writer
            finally:
                del self._writers[lease.log]

    def writes(self, log: str) -> bool:
        """Whether the log's writer is in this process."""
        return log in self._writers

    async def read(
        self,
        log: str,
        after: Offset = ORIGIN,
        *,
        follow: bool = True,
        sealed: bool = False,
        take: Take | None = None,
    ) -> AsyncGenerator[Sequence[Entry], None]:
        """Every entry after `after`, stored ones, then new ones, until the ending; without `follow`, until now.

        A live log of another process is followed once for all its readers here; a log that is known to be `sealed` is
        not followed. A sealed log whose last event a newer version wrote ends with `unknown_ending`, which is in no
        store. Neither is the `lost` ending of a log that the store has lost since it was found there.

        `take` may take pages of a log that is written here.

        Raises `Expired`, `StoreError`, or `ShuttingDown` when another server is to go on with the log. Does not find
        out whether the log exists, which `state` and a claim do: a log that has just been deleted may be read once
        more.
        """
        writer = self._writers.get(log)
        if writer is not None:
            async with aclosing(writer.read(after, follow=follow, take=take)) as pages:
                async for page in pages:
                    yield page
                    if isinstance(page[-1].event, Ending):
                        return
            if writer.released:
                raise ShuttingDown("this server is shutting down; another one goes on with the answer")
            if (ending := writer.local_ending) is not None:
                yield [ending]
                return
            if not follow:
                return
            after = max(after, writer.last)
        if after == ORIGIN and (known := self._sealed.get(log)) is not None:
            self._sealed.move_to_end(log)
            yield known
            return
        last: Entry | None = None
        live = follow and not sealed
        try:
            async with aclosing(
                self._mirrored(log, after) if live else self.store.read(log, after, follow=follow)
            ) as pages:
                async for page in pages:
                    last = page[-1]
                    yield self._keep(log, page) if after == ORIGIN and isinstance(last.event, Ending) else page
        except (NoSuchLog, Torn):
            epoch, sequence = last.offset if last is not None else after
            yield [lost_ending(epoch, sequence, last.at if last is not None else 0.0, VANISHED)]
            return
        if last is not None and isinstance(last.event, Unknown):
            described = await self.state(log)
            if described.state != "open" and described.last == last.offset:
                yield [unknown_ending(last)]

    async def _mirrored(self, log: str, after: Offset) -> AsyncGenerator[Sequence[Entry], None]:
        """What a mirror of the log shows after an offset; what lies before the mirror's beginning is read first.

        A reader may have seen more than is stored, if the writer served it from memory. A mirror that began with such a
        reader has shown nothing yet; a reader that is less far ahead then begins another.
        """
        while (mirror := self._mirrors.get(log)) is not None and after < mirror.begin:
            begin, begun = mirror.begin, bool(mirror.feed.entries)
            async with aclosing(self.store.read(log, after, follow=False)) as pages:
                async for page in pages:
                    yield page
                    after = page[-1].offset
                    if isinstance(page[-1].event, Ending):
                        return
            if after < begin and begun:  # the store has lost what the mirror was given
                raise Torn.of(log)
            if after < begin and not mirror.feed.entries:
                mirror = None
                break
        if mirror is None or mirror.feed.done:
            mirror = self._mirrors[log] = Mirror(self.store, log, after)
        try:
            async with aclosing(mirror.read(after)) as pages:
                async for page in pages:
                    unseen = page if page[0].offset > after else [each for each in page if each.offset > after]
                    if unseen:
                        yield unseen
        finally:
            if not mirror.feed.readers:
                if self._mirrors.get(log) is mirror:
                    del self._mirrors[log]
                await mirror.aclose()

    def _keep(self, log: str, page: Sequence[Entry]) -> Sequence[Entry]:
        """Remember a sealed log, which never changes again, if this one page is the whole log as it is stored."""
        if page[0].offset.sequence != 1 or log in self._sealed or not page[-1].data:
            return page
        whole = self._sealed[log] = Page(page)
        self._sealed_size += _size(whole)
        while self._sealed_size > REPLAYED:
            self._sealed_size -= _size(self._sealed.popitem(last=False)[1])
        return whole

    async def forget(self, log: str) -> None:
        """Delete a log, here and in the store. Raises `NoSuchLog` or `Expired`."""
        known = self._sealed.pop(log, None)
        self._sealed_size -= _size(known) if known is not None else 0
        await self.store.forget(log)

    async def state(self, log: str) -> Description:
        """What is known of a log. Raises `NoSuchLog` or `Expired`."""
        return await self.store.describe(log)


def _size(page: Page) -> int:
    return sum(2 * len(entry.data) + _ENTRY for entry in page)

"""One poll for everybody in this process who waits for a log that is written elsewhere: over REST nothing calls back.

While nobody waits nothing is sent. A log is read twice a second while it moves, by one command however many follow it,
and more and more rarely while it rests; where many logs are followed, one look tells which of them moved at all.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

from headwater.errors import Expired, NoSuchLog, StoreError
from headwater.log.redis_steps import Page, Sight, Steps
from headwater.offsets import Offset

QUICK, SLOW, GROWTH = 0.5, 2.0, 1.25
"""Seconds between two looks at a log that moves, and at one that has rested; how the one becomes the other."""
TOGETHER = 0.02
"""Looks that are due within so many seconds of each other are taken at once."""
ALONE = 2
"""Up to so many logs are read outright; beyond, one look at all of them costs less than reading each."""
MOST = 100
"""Logs in one look, which holds up everybody else's commands for as long as it takes."""
MARK = 20.0
"""Seconds for which a log counts as read by this process; renewed by reading it after half of that."""
FIRST, SILENT = 0.25, 0.6
"""Seconds before the first look for a writer that has not appended yet, and between the later ones."""
LATE = 0.5
"""Seconds after a missed heartbeat at which a log's stop flag is looked up; until then receipts tell of it."""

_log = logging.getLogger(__name__)


@dataclass
class _Follower:
    after: Offset
    page: "asyncio.Future[Page]"


@dataclass
class _Followed:
    pace: float
    due: float
    read: float
    """When it was last read, not only looked at."""
    failing: float | None = None
    """Since when it could not be."""
    followers: list[_Follower] = field(default_factory=list[_Follower])


@dataclass
class _Listened:
    due: float
    wakes: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    told: bool = False


class UpstashPoller:
    """The task that polls, and the readers and writers it polls for. Use it from one event loop."""

    def __init__(self, steps: Steps, lease: float, heartbeat: float) -> None:
        self._steps = steps
        self._lease = lease
        self._heartbeat = heartbeat
        self._quick, self._slow = min(QUICK, lease / 4), min(SLOW, lease / 2)
        self._followed: dict[str, _Followed] = {}
        self._listened: dict[str, _Listened] = {}
        self._kick = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._warned = False
        self._closed = False

    async def follow(self, log: str, after: Offset) -> Page:
        """Wait for entries after an offset, or for the log's end; call it when a read has found neither.

        Raises `Expired`, and `StoreError` when the store has failed for the length of a lease.
        """
        if self._closed:
            raise StoreError("the store was closed")
        now = time.monotonic()
        follower = _Follower(after, asyncio.get_running_loop().create_future())
        followed = self._followed.setdefault(log, _Followed(self._quick, self._beat(self._quick), now))
        followed.followers.append(follower)
        self._start()
        try:
            return await follower.page
        finally:
            with suppress(ValueError):
                followed.followers.remove(follower)

    def listen(self, log: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called when the log is asked to stop or is sealed by another; returns how to cease.

        A writer that appends, be it nothing, at least every heartbeat learns of a stop by its receipts: then no look
        is taken for it, after the first two.
        """
        listened = self._listened.setdefault(log, _Listened(0.0))
        listened.wakes.append(wake)
        listened.due, listened.told = time.monotonic() + FIRST, False  # it may have been asked to stop already
        self._start()

        def cease() -> None:
            with suppress(ValueError):
                listened.wakes.remove(wake)
            if not listened.wakes and self._listened.get(log) is listened:
                del self._listened[log]

        return cease

    def heard(self, log: str) -> None:
        """Its writer got a receipt just now, which says what a look would."""
        listened = self._listened.get(log)
        if listened is not None:
            listened.due = time.monotonic() + self._heartbeat + LATE

    def wake(self, log: str) -> None:
        """Something that concerns the log's writer was done through this process."""
        listened = self._listened.get(log)
        if listened is not None and not listened.told:
            listened.told = True
            for wake in list(listened.wakes):
                wake()

    def hurry(self, log: str) -> None:
        """The log was changed through this process: who follows it here need not wait for the next look."""
        followed = self._followed.get(log)
        if followed is not None:
            followed.pace, followed.due = self._quick, time.monotonic()
            self._kick.set()

    async def aclose(self) -> None:
        """Stop polling and tell everyone who waits. May be called again."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._refuse(list(self._followed), StoreError("the store was closed"))

    def _start(self) -> None:
        self._kick.set()
        if not self._closed and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run(), name="poll upstash")

    async def _run(self) -> None:
        while True:
            self._kick.clear()
            now = time.monotonic()
            due = [each.due for each in (*self._followed.values(), *self._listened.values())]
            if not due:
                return
            if min(due) > now:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(due) - now):
                        await self._kick.wait()
                continue
            try:
                await self._poll(now + TOGETHER)
            except Exception as error:  # noqa: BLE001 - a task that died would strand readers
                _log.warning("following logs that other servers write broke off", exc_info=True)
                self._refuse(list(self._followed), StoreError(f"following the log failed: {error!r}"))
                self._listened.clear()

    async def _poll(self, until: float) -> None:
        for log in [log for log, each in self._followed.items() if each.due <= until and not each.followers]:
            del self._followed[log]
        reads = [log for log, each in self._followed.items() if each.due <= until]
        looks = [log for log, each in self._listened.items() if each.due <= until]
        if looks or len(reads) > ALONE:
            try:
                reads = await self._look(reads, looks)
            except StoreError as failure:
                self._failed(failure, reads, looks)
                return
        await asyncio.gather(*(self._read(log) for log in reads))

    async def _look(self, reads: Sequence[str], looks: Sequence[str]) -> list[str]:
        """One look at all these logs, for their readers and their writers; returns which of them to read."""
        logs = list(dict.fromkeys((*reads, *looks)))
        parts = [logs[i : i + MOST] for i in range(0, len(logs), MOST)]
        found = [await self._steps.watch([(log, False) for log in part], 0) for part in parts]
        sights = dict(zip(logs, chain.from_iterable(found), strict=True))
        now = time.monotonic()
        for log in looks:
            if log in self._listened:
                self._listened[log].due = now + min(SILENT, self._lease / 2)
                if sights[log].stop or not sights[log].open:
                    self.wake(log)
                    self._listened[log].due = now + self._slow
        return [log for log in reads if self._moved(log, sights[log], now)]

    def _moved(self, log: str, sight: Sight, now: float) -> bool:
        followed = self._followed.get(log)
        if followed is None:
            return False
        after = min((each.after for each in followed.followers), default=None)
        if not sight.open or now - followed.read > MARK / 2 or (after is not None and sight.last > after.sequence):
            return True
        self._rest(followed)
        return False

    async def _read(self, log: str) -> None:
        followed = self._followed.get(log)
        if followed is None or not followed.followers:
            return
        after = min(each.after for each in followed.followers)
        try:
            page = await self._steps.read(log, after, MARK)
        except (NoSuchLog, Expired) as gone:
            # Whoever follows a log has read of it before: one that is not there has vanished since.
            self._refuse([log], Expired(str(gone)))
            return
        except StoreError as failure:
            self._failed(failure, [log])
            return
        followed.read, followed.failing, self._warned = time.monotonic(), None, False
        told = False
        for each in list(followed.followers):
            rest = [entry for entry in page.entries if entry.offset > each.after]
            if (rest or page.state != "open") and not each.page.done():
                each.page.set_result(page._replace(entries=rest))
                followed.followers.remove(each)
                told = True
        if told:
            followed.pace, followed.due = self._quick, self._beat(self._quick)
        else:
            self._rest(followed)

    def _beat(self, pace: float) -> float:
        """About so many seconds from now, at a moment that all logs share: looks that coincide are taken as one."""
        now = time.monotonic()
        return max(round((now + pace) / self._quick), now // self._quick + 1) * self._quick

    def _rest(self, followed: _Followed) -> None:
        followed.due = self._beat(followed.pace)
        followed.pace = min(followed.pace * GROWTH, self._slow)

    def _failed(self, failure: StoreError, reads: Sequence[str], looks: Sequence[str] = ()) -> None:
        """Try again later; readers hear of it once it has lasted as long as a lease."""
        now = time.monotonic()
        if not self._warned:
            self._warned = True
            _log.warning("logs that other servers write cannot be followed for the moment: %s", failure)
        for listened in filter(None, map(self._listened.get, looks)):
            listened.due = now + self._slow
        for log in reads:
            followed = self._followed.get(log)
            if followed is None:
                continue
            followed.due, followed.failing = self._beat(2 * self._quick), followed.failing or now
            if now - followed.failing >= self._lease:
                self._refuse([log], failure)

    def _refuse(self, logs: Sequence[str], failure: Exception) -> None:
        for log in logs:
            for each in self._followed.pop(log, _Followed(0, 0, 0)).followers:
                if not each.page.done():
                    # An exception for each, since each will hang its own traceback on it.
                    each.page.set_exception(type(failure)(*failure.args))

"""One poll for everyone in this process who waits for a log that is written elsewhere: REST has no push.

Nothing is sent while nobody waits. A log that grows is asked for new packs at every beat: all due logs in one request,
one plain command for each. A log that rests is asked less and less often, and then also whether its writer is alive.
Whatever is unexpected is left to the script that reads a log.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import cast

from headwater.errors import Expired, NoSuchLog, StoreError, Torn
from headwater.events import Ending, Unknown, state_after
from headwater.log.lua.packs import Stored, opened
from headwater.log.lua.script import key
from headwater.log.lua.steps import Page, Steps
from headwater.log.upstash.rest import Argument, Reply, TooLarge
from headwater.log.upstash.times import UpstashTimes
from headwater.log.upstash.writer import Pipeline
from headwater.log.watchers import Watchers
from headwater.offsets import Offset

SLOW_DOWN = 1.25
"""Factor from one interval between two looks to the next, while a log rests."""
RESTING = 2
"""A log whose interval is this many times the quick one counts as resting."""
LOOK_PACKS = 16
"""Packs fetched in one look; far more than arrive between two."""

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Follower:
    """A reader's wait for the entries after an offset, and when its log is looked at next."""

    log: str
    after: Offset
    series: int
    last: int
    """How far the log reached when last seen; `after` may be beyond that, if it came from the writer's memory."""
    page: "asyncio.Future[Page]"
    pace: float
    due: float
    doubt: bool = False
    """Whether the script must look, because something happened to the log that its stream does not show."""

    def give(self, page: Page) -> None:
        """End the wait with what is new to this reader of a page."""
        if not self.page.done():
            rest = [entry for entry in page.entries if entry.offset > self.after]
            self.page.set_result(page._replace(entries=rest))

    def fail(self, error: Exception) -> None:
        """End the wait with this error."""
        if not self.page.done():
            self.page.set_exception(error)


class UpstashPoller:
    """The task that polls, and the readers and writers it works for. For one event loop. `lease` is in seconds."""

    def __init__(self, pipeline: Pipeline, steps: Steps, lease: float, times: UpstashTimes) -> None:
        self._pipeline = pipeline
        self._steps = steps
        self._lease = lease
        self._quick, self._slow = min(times.quick, lease / 4), min(times.slow, lease / 2)
        self._batch_window = times.batch_window
        self.watchers: Watchers[_Follower] = Watchers()
        self._kick = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._warned = False
        self._closed = False

    async def follow(self, log: str, after: Offset, seen: Page) -> Page:
        """Wait for entries after an offset, or for the log's end; `seen` is what showed neither.

        Raises `Expired`, and `StoreError` when the store has failed for the length of a lease.
        """
        if self._closed:
            raise StoreError.closed()
        page: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        follower = _Follower(log, after, seen.series, seen.last, page, self._quick, self._beat(self._quick))
        self.watchers.follow(log, follower)
        self._kick.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="poll upstash")
        try:
            return await page
        finally:
            self.watchers.leave(log, follower)

    def hurry(self, log: str, *, doubt: bool = False) -> None:
        """Look at a log now, if it is followed here, because it was changed through this process."""
        for each in self.watchers.followers.get(log, ()):
            each.pace, each.due = self._quick, time.monotonic()
            each.doubt = doubt or each.doubt
            self._kick.set()

    async def aclose(self) -> None:
        """Stop polling and end every wait. May be called again."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._fail(StoreError.closed())

    async def _run(self) -> None:
        while waiting := [each for each in chain(*self.watchers.followers.values()) if not each.page.done()]:
            self._kick.clear()
            now = time.monotonic()
            due = min(each.due for each in waiting)
            if due > now:
                with suppress(TimeoutError):
                    async with asyncio.timeout(due - now):
                        await self._kick.wait()
                continue
            try:
                await self._poll([each for each in waiting if each.due <= now + self._batch_window])
            except Exception as error:  # noqa: BLE001 - if this task died, readers would hang
                _log.warning("following logs that other servers write broke off", exc_info=True)
                self._fail(StoreError(f"following the log failed: {error!r}"))

    async def _poll(self, due: Sequence[_Follower]) -> None:
        looks = [self._look(each) for each in due]
        try:
            replies = iter(await self._pipeline(list(chain(*looks))))
        except TooLarge:
            await asyncio.gather(*map(self._read, due))  # the script returns pages
            return
        except StoreError as failure:
            self._postpone(failure, due)
            return
        looked = [(each, [next(replies) for _ in look]) for each, look in zip(due, looks, strict=True)]
        await asyncio.gather(*(self._read(each) for each, found in looked if not self._deliver(each, found)))

    def _look(self, follower: _Follower) -> list[Sequence[Argument]]:
        """The commands that look at a log; none if the script must look."""
        if follower.doubt:
            return []
        place = f"{follower.series}-{follower.last + 1}"
        new = ("XRANGE", key("packs", follower.log), place, "+", "COUNT", LOOK_PACKS)
        return [new, ("EXISTS", key("lease", follower.log))] if follower.pace >= RESTING * self._quick else [new]

    def _deliver(self, follower: _Follower, replies: "Sequence[Reply | StoreError]") -> bool:
        """Give a follower what was found; False when it is unexpected, or the writer is gone."""
        if not replies or not isinstance(replies[0], list) or replies[1:] not in ([], [1]):
            return False
        if len(replies[0]) == LOOK_PACKS:
            return False  # there may be more at once
        try:
            entries, series, last = opened(follower.log, cast("Sequence[Stored]", replies[0]), follower.last)
        except (Expired, StoreError):
            return False
        if entries and isinstance(entries[-1].event, Unknown):
            return False  # only the script can tell whether this event of a newer version ended the log
        self._succeeded(follower.log)
        if not entries:
            follower.due = self._beat(follower.pace)
            follower.pace = min(follower.pace * SLOW_DOWN, self._slow)
            return True
        ending = entries[-1].event
        state = state_after(ending) if isinstance(ending, Ending) else "open"
        if state != "open" or entries[-1].offset > follower.after:
            follower.give(Page(entries, state, entries[-1].offset.epoch, series, last))
        else:  # served from the writer's memory before, and still ahead
            follower.series, follower.last = series, last
            follower.pace, follower.due = self._quick, self._beat(self._quick)
        return True

    async def _read(self, follower: _Follower) -> None:
        """Have the script look."""
        if follower.page.done():
            return
        follower.doubt = False
        try:
            page = await self._steps.read(follower.log, follower.after)
        except (NoSuchLog, Expired) as gone:
            # A log that is unknown now was lost: its follower has read of it before.
            follower.fail(gone if isinstance(gone, Expired) else Torn.of(follower.log))
            return
        except StoreError as failure:
            self._postpone(failure, [follower])
            return
        self._succeeded(follower.log)
        if page.entries or page.state != "open":
            follower.give(page)
        else:  # nothing new, as in an abandoned log, which keeps being asked about its writer
            follower.series, follower.last = page.series, page.last
            follower.pace, follower.due = RESTING * self._quick, self._beat(self._quick)

    def _beat(self, pace: float) -> float:
        """About `pace` seconds from now, at a moment that all logs share, so that looks coincide."""
        now = time.monotonic()
        return max(round((now + pace) / self._quick), now // self._quick + 1) * self._quick

    def _succeeded(self, log: str) -> None:
        self.watchers.succeeded(log)
        self._warned = False

    def _postpone(self, failure: StoreError, followers: Sequence[_Follower]) -> None:
        """Look again later; followers get the error once the store has failed for the length of a lease."""
        if not self._warned:
            self._warned = True
            _log.warning("logs that other servers write cannot be followed for the moment: %s", failure)
        for each in followers:
            if not self.watchers.failed(each.log, failure, self._lease):
                each.due = self._beat(2 * self._quick)

    def _fail(self, failure: Exception) -> None:
        self.watchers.fail(failure, list(self.watchers.followers))

"""One poll for everyone in this process who waits for a log that is written elsewhere: REST has no push.

Nothing is sent while nobody waits. A log that grows is asked for new packs at every beat: all due logs in one request,
one plain command for each, however many follow it. A log that rests is asked less and less often, and then also whether
its writer is alive. Whatever is unexpected is left to the script that reads a log.
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
    """A reader's wait for the entries after an offset."""

    after: Offset
    series: int
    last: int
    """How far the log reached when last seen; `after` may be beyond that, if it came from the writer's memory."""
    page: "asyncio.Future[Page]"

    def give(self, page: Page) -> None:
        """End the wait with what is new to this reader of a page."""
        if not self.page.done():
            rest = [entry for entry in page.entries if entry.offset > self.after]
            self.page.set_result(page._replace(entries=rest))

    def fail(self, error: Exception) -> None:
        """End the wait with this error."""
        if not self.page.done():
            self.page.set_exception(error)


@dataclass
class _Schedule:
    """When a log is looked at next."""

    pace: float
    due: float
    doubt: bool = False
    """Whether the script must look, because something happened to the log that its stream does not show."""


class UpstashPoller:
    """The task that polls, and the readers and writers it works for. For one event loop. `lease` is in seconds."""

    def __init__(self, pipeline: Pipeline, steps: Steps, lease: float, times: UpstashTimes) -> None:
        self._pipeline = pipeline
        self._steps = steps
        self._lease = lease
        self._quick, self._slow = min(times.quick, lease / 4), min(times.slow, lease / 2)
        self._batch_window = times.batch_window
        self.watchers: Watchers[_Follower] = Watchers()
        self._schedules: dict[str, _Schedule] = {}
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
        follower = _Follower(after, seen.series, seen.last, asyncio.get_running_loop().create_future())
        self._schedules.setdefault(log, _Schedule(self._quick, self._beat(self._quick)))
        self.watchers.follow(log, follower)
        self._kick.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="poll upstash")
        try:
            return await follower.page
        finally:
            self.watchers.leave(log, follower)

    def hurry(self, log: str, *, doubt: bool = False) -> None:
        """Look at a log now, if it is followed here, because it was changed through this process."""
        schedule = self._schedules.get(log)
        if schedule is not None:
            schedule.pace, schedule.due = self._quick, time.monotonic()
            schedule.doubt = doubt or schedule.doubt
            self._kick.set()

    async def aclose(self) -> None:
        """Stop polling and end every wait. May be called again."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._fail(StoreError.closed(), list(self._schedules))

    async def _run(self) -> None:
        while self._schedules:
            self._kick.clear()
            now = time.monotonic()
            due = min(each.due for each in self._schedules.values())
            if due > now:
                with suppress(TimeoutError):
                    async with asyncio.timeout(due - now):
                        await self._kick.wait()
                continue
            try:
                await self._poll(now + self._batch_window)
            except Exception as error:  # noqa: BLE001 - if this task died, readers would hang
                _log.warning("following logs that other servers write broke off", exc_info=True)
                self._fail(StoreError(f"following the log failed: {error!r}"), list(self._schedules))

    async def _poll(self, until: float) -> None:
        due = {log: each for log, each in self._schedules.items() if each.due <= until}
        for log in [log for log in due if not self._followers(log)]:
            del self._schedules[log], due[log]
        looks = {log: self._look(log, each) for log, each in due.items()}
        try:
            replies = iter(await self._pipeline(list(chain.from_iterable(looks.values()))))
        except TooLarge:
            await asyncio.gather(*(self._read(log) for log in due))  # the script returns pages
            return
        except StoreError as failure:
            self._postpone(failure, list(due))
            return
        unclear = [log for log, look in looks.items() if not self._deliver(log, [next(replies) for _ in look])]
        await asyncio.gather(*(self._read(log) for log in unclear))

    def _look(self, log: str, schedule: _Schedule) -> list[Sequence[Argument]]:
        """The commands that look at a log; none if the script must look."""
        if schedule.doubt:
            return []
        series, last = self._seen(log)
        new = ("XRANGE", _key("packs", log), f"{series}-{last + 1}", "+", "COUNT", LOOK_PACKS)
        return [new, ("EXISTS", _key("lease", log))] if schedule.pace >= RESTING * self._quick else [new]

    def _deliver(self, log: str, replies: "Sequence[Reply | StoreError]") -> bool:
        """Give the followers what was found; False when it is unexpected, or the writer is gone."""
        schedule = self._schedules.get(log)
        if schedule is None or not self._followers(log):
            return True
        if not replies or not isinstance(replies[0], list) or replies[1:] not in ([], [1]):
            return False
        if len(replies[0]) == LOOK_PACKS:
            return False  # there may be more at once
        try:
            entries, series, last = opened(log, cast("Sequence[Stored]", replies[0]), self._seen(log)[1])
        except (Expired, StoreError):
            return False
        if entries and isinstance(entries[-1].event, Unknown):
            return False  # only the script can tell whether this event of a newer version ended the log
        self._succeeded(log)
        if not entries:
            schedule.due = self._beat(schedule.pace)
            schedule.pace = min(schedule.pace * SLOW_DOWN, self._slow)
            return True
        ending = entries[-1].event
        state = state_after(ending) if isinstance(ending, Ending) else "open"
        page = Page(entries, state, entries[-1].offset.epoch, series, last)
        for each in self._followers(log):
            if state != "open" or entries[-1].offset > each.after:
                self._give(log, each, page)
            else:
                each.series, each.last = series, last  # served from the writer's memory before, and still ahead
        schedule.pace, schedule.due = self._quick, self._beat(self._quick)
        return True

    async def _read(self, log: str) -> None:
        """Have the script look, and give all followers what it finds."""
        schedule = self._schedules.get(log)
        if schedule is None or not self._followers(log):
            return
        schedule.doubt = False
        after = min(each.after for each in self._followers(log))
        try:
            page = await self._steps.read(log, after)
        except (NoSuchLog, Expired) as gone:
            # A log that is unknown now was lost: its followers have read of it before.
            self._fail(gone if isinstance(gone, Expired) else Torn.of(log), [log])
            return
        except StoreError as failure:
            self._postpone(failure, [log])
            return
        self._succeeded(log)
        for each in self._followers(log):
            if each.after >= after:  # one that joined meanwhile from further behind would miss what lies between
                self._give(log, each, page)
        # An abandoned log brings nothing new; it keeps being asked about its writer.
        schedule.pace = self._quick if page.entries else RESTING * self._quick
        schedule.due = self._beat(self._quick)

    def _followers(self, log: str) -> list[_Follower]:
        return list(self.watchers.followers.get(log, ()))

    def _seen(self, log: str) -> tuple[int, int]:
        """The series and the last sequence that all followers of a log have seen."""
        return min((each.series, each.last) for each in self._followers(log))

    def _give(self, log: str, follower: _Follower, page: Page) -> None:
        self.watchers.leave(log, follower)
        follower.give(page)

    def _beat(self, pace: float) -> float:
        """About `pace` seconds from now, at a moment that all logs share, so that looks coincide."""
        now = time.monotonic()
        return max(round((now + pace) / self._quick), now // self._quick + 1) * self._quick

    def _succeeded(self, log: str) -> None:
        self.watchers.succeeded(log)
        self._warned = False

    def _postpone(self, failure: StoreError, logs: Sequence[str]) -> None:
        """Look again later; followers get the error once the store has failed for the length of a lease."""
        if not self._warned:
            self._warned = True
            _log.warning("logs that other servers write cannot be followed for the moment: %s", failure)
        for log in logs:
            if self.watchers.failed(log, failure, self._lease):
                self._schedules.pop(log, None)
            elif log in self._schedules:
                self._schedules[log].due = self._beat(2 * self._quick)

    def _fail(self, failure: Exception, logs: Sequence[str]) -> None:
        for log in logs:
            self._schedules.pop(log, None)
        self.watchers.fail(failure, logs)


def _key(kind: str, log: str) -> str:
    return key(kind, log).decode()

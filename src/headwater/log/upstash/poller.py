"""One poll for everybody in this process who waits for a log that is written elsewhere: over REST nothing calls back.

While nobody waits nothing is sent. A log that moves is asked for what is new at every beat, all logs in one request and
each by one plain command, however many follow it; one that rests is asked more and more rarely, and then also whether
its writer still lives. Whatever is not as expected is for the script that reads a log to say.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import cast

from headwater.errors import Expired, NoSuchLog, StoreError
from headwater.events import Ending, Unknown, state_after
from headwater.log.lua.packs import Stored, opened
from headwater.log.lua.script import key
from headwater.log.lua.steps import Page, Steps
from headwater.log.upstash.rest import Argument, Reply, TooLarge
from headwater.log.upstash.writer import Pipeline
from headwater.offsets import Offset

QUICK, SLOW, GROWTH = 0.65, 2.0, 1.25
"""Seconds between two looks at a log that moves, and at one that has rested; how the one becomes the other."""
CALM = 2
"""Times the quick pace at which a log counts as resting."""
TOGETHER = 0.02
"""Looks that are due within so many seconds of each other are taken at once."""
PACKS = 16
"""Packs fetched at a look; far more than come between two."""

_log = logging.getLogger(__name__)


@dataclass
class _Follower:
    after: Offset
    turn: int
    """How far the log reached when last seen; `after` may be beyond that, if it came from the writer's memory."""
    last: int
    page: "asyncio.Future[Page]"


@dataclass
class _Followed:
    pace: float
    due: float
    doubt: bool = False
    """Whether the script is to look, since something happened to the log that its stream does not tell."""
    failing: float | None = None
    """Since when it could not be read."""
    followers: list[_Follower] = field(default_factory=list[_Follower])

    @property
    def seen(self) -> tuple[int, int]:
        """The turn and the last sequence that all followers have seen, to whom there is no need to tell it again."""
        return min((each.turn, each.last) for each in self.followers)

    def give(self, follower: _Follower, page: Page) -> None:
        """End a follower's wait with what is new to it of a page."""
        self.followers.remove(follower)
        if not follower.page.done():
            rest = [entry for entry in page.entries if entry.offset > follower.after]
            follower.page.set_result(page._replace(entries=rest))


class UpstashPoller:
    """The task that polls, and the readers it polls for. Use it from one event loop."""

    def __init__(self, pipeline: Pipeline, steps: Steps, lease: float) -> None:
        self._pipeline = pipeline
        self._steps = steps
        self._lease = lease
        self._quick, self._slow = min(QUICK, lease / 4), min(SLOW, lease / 2)
        self._followed: dict[str, _Followed] = {}
        self._kick = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._warned = False
        self._closed = False

    async def follow(self, log: str, after: Offset, seen: Page) -> Page:
        """Wait for entries after an offset, or for the log's end; call it when what was seen of the log has neither.

        Raises `Expired`, and `StoreError` when the store has failed for the length of a lease.
        """
        if self._closed:
            raise StoreError("the store was closed")
        follower = _Follower(after, seen.turn, seen.last, asyncio.get_running_loop().create_future())
        followed = self._followed.setdefault(log, _Followed(self._quick, self._beat(self._quick)))
        followed.followers.append(follower)
        self._kick.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="poll upstash")
        try:
            return await follower.page
        finally:
            with suppress(ValueError):
                followed.followers.remove(follower)

    def hurry(self, log: str, *, doubt: bool = False) -> None:
        """The log was changed through this process: who follows it here need not wait for the next look."""
        followed = self._followed.get(log)
        if followed is not None:
            followed.pace, followed.due, followed.doubt = self._quick, time.monotonic(), doubt or followed.doubt
            self._kick.set()

    async def aclose(self) -> None:
        """Stop polling and tell everyone who waits. May be called again."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._refuse(list(self._followed), StoreError("the store was closed"))

    async def _run(self) -> None:
        while self._followed:
            self._kick.clear()
            now = time.monotonic()
            due = min(each.due for each in self._followed.values())
            if due > now:
                with suppress(TimeoutError):
                    async with asyncio.timeout(due - now):
                        await self._kick.wait()
                continue
            try:
                await self._poll(now + TOGETHER)
            except Exception as error:  # noqa: BLE001 - a task that died would strand readers
                _log.warning("following logs that other servers write broke off", exc_info=True)
                self._refuse(list(self._followed), StoreError(f"following the log failed: {error!r}"))

    async def _poll(self, until: float) -> None:
        due = {log: each for log, each in self._followed.items() if each.due <= until}
        for log in [log for log, each in due.items() if not each.followers]:
            del self._followed[log], due[log]
        looks = {log: self._look(log, each) for log, each in due.items()}
        try:
            answers = iter(await self._pipeline(list(chain.from_iterable(looks.values()))))
        except TooLarge:
            await asyncio.gather(*(self._read(log) for log in due))  # which the script gives in pages
            return
        except StoreError as failure:
            self._failed(failure, list(due))
            return
        unclear = [log for log, look in looks.items() if not self._tell(log, [next(answers) for _ in look])]
        await asyncio.gather(*(self._read(log) for log in unclear))

    def _look(self, log: str, followed: _Followed) -> list[Sequence[Argument]]:
        """What to ask of a log; nothing if the script is to look."""
        if followed.doubt:
            return []
        turn, last = followed.seen
        look: list[Sequence[Argument]] = [("XRANGE", _key("packs", log), f"{turn}-{last + 1}", "+", "COUNT", PACKS)]
        return [*look, ("EXISTS", _key("lease", log))] if followed.pace >= CALM * self._quick else look

    def _tell(self, log: str, answers: "Sequence[Reply | StoreError]") -> bool:
        """Give the followers what was found; False when it is not as it should be, or the writer is gone."""
        followed = self._followed.get(log)
        if followed is None or not followed.followers:
            return True
        if not answers or not isinstance(answers[0], list) or answers[1:] not in ([], [1]):
            return False
        if len(answers[0]) == PACKS:
            return False  # there may be more at once
        try:
            entries, turn, last = opened(log, cast("Sequence[Stored]", answers[0]), followed.seen[1])
        except (Expired, StoreError):
            return False
        if entries and isinstance(entries[-1].event, Unknown):
            return False  # only the script can tell whether this event of a newer version ended the log
        self._succeeded(followed)
        if not entries:
            followed.due = self._beat(followed.pace)
            followed.pace = min(followed.pace * GROWTH, self._slow)
            return True
        ending = entries[-1].event
        state = state_after(ending) if isinstance(ending, Ending) else "open"
        page = Page(entries, state, entries[-1].offset.epoch, turn, last)
        for each in list(followed.followers):
            if state != "open" or entries[-1].offset > each.after:
                followed.give(each, page)
            else:
                each.turn, each.last = turn, last  # served from the writer's memory before, and still ahead
        followed.pace, followed.due = self._quick, self._beat(self._quick)
        return True

    async def _read(self, log: str) -> None:
        """Have the script look, and all followers go on from what it says."""
        followed = self._followed.get(log)
        if followed is None or not followed.followers:
            return
        followed.doubt = False
        after = min(each.after for each in followed.followers)
        try:
            page = await self._steps.read(log, after)
        except (NoSuchLog, Expired) as gone:
            # Whoever follows a log has read of it before: one that is not there has vanished since.
            self._refuse([log], Expired(str(gone)))
            return
        except StoreError as failure:
            self._failed(failure, [log])
            return
        self._succeeded(followed)
        for each in list(followed.followers):
            if each.after >= after:  # who joined meanwhile from further behind would miss what lies between
                followed.give(each, page)
        followed.pace, followed.due = self._quick, self._beat(self._quick)

    def _beat(self, pace: float) -> float:
        """About so many seconds from now, at a moment that all logs share: looks that coincide are taken as one."""
        now = time.monotonic()
        return max(round((now + pace) / self._quick), now // self._quick + 1) * self._quick

    def _succeeded(self, followed: _Followed) -> None:
        followed.failing, self._warned = None, False

    def _failed(self, failure: StoreError, logs: Sequence[str]) -> None:
        """Try again later; readers hear of it once it has lasted as long as a lease."""
        now = time.monotonic()
        if not self._warned:
            self._warned = True
            _log.warning("logs that other servers write cannot be followed for the moment: %s", failure)
        for log in logs:
            followed = self._followed.get(log)
            if followed is None:
                continue
            followed.due, followed.failing = self._beat(2 * self._quick), followed.failing or now
            if now - followed.failing >= self._lease:
                self._refuse([log], failure)

    def _refuse(self, logs: Sequence[str], failure: Exception) -> None:
        for log in logs:
            for each in self._followed.pop(log, _Followed(0, 0)).followers:
                if not each.page.done():
                    # An exception for each, since each will hang its own traceback on it.
                    each.page.set_exception(type(failure)(*failure.args))


def _key(kind: str, log: str) -> str:
    return key(kind, log).decode()

"""One answer, many readers at two servers, and something that goes wrong meanwhile: the shape of most cases."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from serving import Headwater, headwater, until

from chaos.judge import Outcome, Record, end_of, judge, missing, surplus
from chaos.reader import PATIENCE, Reader
from chaos.rivers import LIMITS, River
from headwater.events import Finish, TextDelta
from headwater.log.store import Limits, Store
from headwater.models.scripted import Scripted, Step
from headwater.offsets import Offset

WORDS = [f"word{i} " for i in range(100)]
WHOLE = "".join(WORDS)
QUESTION = "What runs in a river?"


@dataclass
class Waters:
    """Two servers on one store, and the provider behind them."""

    near: str
    """The server that gets the first request, so the answer is written there."""
    far: str
    calls: Callable[[], int]
    """How often the provider was called."""
    whole: str = WHOLE
    limits: Limits = LIMITS
    headwaters: Sequence[Headwater] = ()
    """The servers' parts, where they run in this process."""


@dataclass
class Crowd:
    """The readers of one answer."""

    waters: Waters
    question: str = QUESTION
    readers: list[Reader] = field(default_factory=list[Reader])
    _tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    @property
    def log(self) -> str:
        """The log they read, once the first of them knows it."""
        return self.readers[0].location.rpartition("/")[2].partition("~")[0]

    @property
    def records(self) -> list[Record]:
        """What they saw."""
        return [reader.record for reader in self.readers]

    def ask(self, *servers: str) -> Reader:
        """Add a reader that sends the question."""
        return self.add(Reader(f"reader {len(self.readers)}, asking", servers, question=self.question))

    def join(self, *servers: str, after: Offset, pace: float = 0.0) -> Reader:
        """Add a reader of the log at a location, after an offset."""
        name = f"reader {len(self.readers)}, joining after {after}"
        return self.add(Reader(name, servers, location=f"/api/streams/{self.log}", after=after, pace=pace))

    def add(self, reader: Reader) -> Reader:
        """One more reader."""
        self.readers.append(reader)
        self._tasks.append(asyncio.create_task(reader.read()))
        return reader

    def least(self) -> int:
        """How far the slowest of those who read on has come."""
        return min((each.last.sequence for each in self.records if each.end is None), default=1 << 30)

    async def reached(self, sequence: int) -> None:
        """Wait until everyone has come so far, or to an end."""
        await until(lambda: self.least() >= sequence, f"every reader reached {sequence}", PATIENCE)

    async def over(self) -> None:
        """Wait until each has got the end, or hangs."""
        await asyncio.gather(*self._tasks)


def script(words: Sequence[str] = WORDS, pace: float = 0.005) -> Scripted:
    """A model that says these words, each after a pause."""
    steps: list[Step] = [step for word in words for step in (pace, TextDelta(word))]
    return Scripted([*steps, Finish("stop")])


@asynccontextmanager
async def pair(
    model: Scripted, stores: Sequence[Store], *, whole: str = WHOLE, limits: Limits = LIMITS
) -> AsyncGenerator[Waters, None]:
    """Two servers in this process, each with its own handle on the store; they share nothing else but the model."""
    async with headwater(model, stores[0]) as near, headwater(model, stores[1]) as far:
        one, two = str(near.client.base_url), str(far.client.base_url)
        yield Waters(one, two, lambda: len(model.prompts), whole, limits, (near, far))


async def flood(
    river: River,
    waters: Waters,
    fault: Callable[[Crowd], Awaitable[None]],
    *,
    ends: Sequence[str] = ("finish",),
    due: Sequence[int] | None = None,
    unkept: Sequence[str] = ("store",),
    begin: int = 12,
    seams: int = 0,
    flush: int = 0,
) -> Outcome:
    """Let many read one answer while `fault` happens, then send the same question again, and judge all of it.

    `due` is how many calls of the provider there may be in all; as a rule one, and a second one if the first answer
    did not become whole. `unkept` is as for the judge. `begin` is how far all must have come before the fault.
    `seams` is how often the answer must have been continued; each time costs a call. `flush` is how many entries a
    reader may be ahead of the store, if that is not the river's.
    """
    crowd = Crowd(waters)
    crowd.ask(waters.near, waters.far)
    await crowd.reached(1)
    for servers in ((waters.near, waters.far), (waters.far, waters.near)) * 3:
        crowd.ask(*servers)
    await crowd.reached(begin)
    for servers in ((waters.near, waters.far), (waters.far, waters.near)):
        crowd.join(*servers, after=Offset(1, random.randrange(begin)))
    await crowd.reached(begin)
    if waters.calls() != 1:
        return surplus(f"{waters.calls()} calls for seven equal requests")
    await fault(crowd)
    await crowd.over()
    truth = await river.truth(crowd.log, waters.limits)
    outcome = judge(
        crowd.log,
        truth,
        crowd.records,
        whole=waters.whole,
        ends=ends,
        unkept=unkept,
        flush=flush or river.flush,
        seams=seams,
    )
    replayable = truth is not None and end_of(truth[-1]) == "finish"
    outcome += await again(river, waters, due or [1 + seams + (not replayable)], seams if replayable else 0)
    return outcome + river.remains()


async def again(river: River, waters: Waters, due: Sequence[int], seams: int = 0) -> Outcome:
    """Send the same question again: the answer is whole, and the provider is called only if none was stored."""
    crowd = Crowd(waters)
    crowd.ask(waters.far)
    await crowd.over()
    truth = await river.truth(crowd.log, waters.limits)
    outcome = judge(crowd.log, truth, crowd.records, whole=waters.whole, ends=["finish"], seams=seams)
    if truth is None:
        outcome += missing("the second answer was not kept")
    if waters.calls() not in due:
        outcome += surplus(f"{waters.calls()} calls of the provider where {due} were due")
    return outcome

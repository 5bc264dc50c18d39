"""Many readers, slow readers, readers that come and go: all see the same log, and none delays another."""

import asyncio
import random
import time

from proxy import breakable
from serving import until

from chaos.flood import QUESTION, WORDS, Crowd, Waters, flood, pair, script
from chaos.judge import Outcome, judge, missing, surplus
from chaos.reader import PATIENCE, Reader
from chaos.rivers import River
from headwater.events import Finish, TextDelta
from headwater.log.store import Limits
from headwater.models.scripted import Scripted, Step
from headwater.offsets import ORIGIN, Offset

CROWD = 500
FEW = 60


async def reconnect_at_once(river: River, readers: int = CROWD) -> Outcome:
    """All connections break at once and are resumed at once: each reader gets the rest, and only the rest."""
    # Nobody is done before all have come back once, however long that takes.
    gate, half = asyncio.Event(), len(WORDS) // 2
    steps: list[Step] = [step for word in WORDS for step in (0.01, TextDelta(word))]
    model = Scripted([*steps[: 2 * half], gate, *steps[2 * half :], Finish("stop")])
    # With the lease of every installation: all these readers, both servers and what stands for Upstash share one core.
    async with pair(model, [river.open(Limits()), river.open(Limits())]) as waters:
        near, far = waters.headwaters
        async with breakable(near.client) as one, breakable(far.client) as two:
            crowd = Crowd(Waters(one.url, two.url, waters.calls))
            for i in range(readers):
                crowd.ask(*((one.url, two.url) if i % 2 else (two.url, one.url)))
            await crowd.reached(2)
            one.cut()
            two.cut()
            await crowd.reached(half)
            # The gate holds the rest back, so they wait there; a cut before they are back would cut nobody.
            await until(lambda: all(each.answered > 1 for each in crowd.readers), "all are back", PATIENCE)
            one.cut()
            two.cut()
            gate.set()
            await crowd.over()
        truth = await river.truth(crowd.log)
        outcome = judge(crowd.log, truth, crowd.records, whole=waters.whole, ends=["finish"])
        if waters.calls() != 1:
            outcome += surplus(f"{waters.calls()} calls for one question")
        if stayed := [each for each in crowd.readers if each.connections < 3]:
            outcome += missing(f"{len(stayed)} readers were not cut off twice")
    return outcome + river.remains()


async def few_reconnect_at_once(river: River) -> Outcome:
    """The same with fewer readers, for when there is little time."""
    return await reconnect_at_once(river, FEW)


async def one_byte_a_second(river: River) -> Outcome:
    """Readers that take a byte a second delay no other reader, and have missed nothing when they speed up."""
    words = [f"{i} ".ljust(6000, ".") for i in range(300)]  # more than fits in the sockets on the way
    model = Scripted([*map(TextDelta, words), Finish("stop")])
    async with pair(model, [river.open(), river.open()], whole="".join(words)) as waters:
        crowd = Crowd(waters)
        servers = (waters.near, waters.far)
        slow = [crowd.add(Reader(f"slow reader at {each}", [each], question=QUESTION, pace=1.0)) for each in servers]
        await until(lambda: all(each.connections for each in slow), "the slow ones are there", PATIENCE)
        begin = time.monotonic()
        quick = [crowd.ask(each) for each in servers]
        await until(lambda: all(each.record.end for each in quick), "the quick ones are done", PATIENCE)
        outcome = Outcome()
        taken = [each.taken for each in slow]
        if max(taken) > time.monotonic() - begin + 3:
            outcome += missing(f"the slow readers were not slow: {taken} bytes")
        for each in slow:
            each.hurry.set()
        await crowd.over()
        truth = await river.truth(crowd.log)
        outcome += judge(crowd.log, truth, crowd.records, whole=waters.whole, ends=["finish"])
    return outcome + river.remains()


async def joiners(river: River) -> Outcome:
    """A hundred join at random offsets, at either server, early, late and after the end: all bytes are the same."""

    async def fault(crowd: Crowd) -> None:
        waters = crowd.waters
        servers = (waters.near, waters.far)
        for place in range(15, 95, 8):
            await crowd.reached(place)
            for _ in range(7):
                crowd.join(random.choice(servers), after=_anywhere(place))
        await crowd.over()
        for _ in range(30):
            crowd.join(random.choice(servers), after=_anywhere(len(WORDS)))

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault)


def _anywhere(most: int) -> Offset:
    sequence = random.randrange(most)
    return Offset(1, sequence) if sequence else ORIGIN

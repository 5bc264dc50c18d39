"""Races between two processes, and clocks that disagree."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence

from serving import until

from chaos.flood import WORDS, Crowd, again, flood, pair, script
from chaos.judge import Outcome, Record, end_of, judge, missing, written
from chaos.reader import PATIENCE
from chaos.rivers import LIMITS, River
from headwater.entries import Entry
from headwater.errors import Expired, NoSuchLog
from headwater.events import Ending, Finish, TextDelta
from headwater.log.logs import Logs
from headwater.log.store import Lease, Limits
from headwater.models.scripted import Scripted, Step
from headwater.offsets import ORIGIN
from headwater.principal import Principal

HOUR = 3600.0
ALICE = Principal("acme", "alice")


class Clock:
    """This machine's clock, set wrong by some seconds."""

    def __init__(self, wrong: float = 0.0) -> None:
        self.wrong = wrong

    def __call__(self) -> float:
        return time.time() + self.wrong


async def two_producers(river: River) -> Outcome:
    """Two producers write one log under one lease: the store keeps one's entries; the other's readers get an error."""
    async with river.handle() as one, river.handle() as two, river.handle() as afar:
        lease = await one.open("log", ALICE, ttl=60)
        records = [Record("reader of the first"), Record("reader of the second"), Record("reader elsewhere")]
        mine = [f"{word}mine " for word in WORDS[:60]]
        theirs = [f"{word}theirs " for word in WORDS[:60]]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(
                _produce(Logs(one), lease, mine, records[0]),
                _produce(Logs(two), lease, theirs, records[1]),
                _note(records[2], afar.read("log")),
            )
    truth = await river.truth("log")
    text = "" if truth is None else "".join(each.event.text for each in truth if isinstance(each.event, TextDelta))
    whole = "".join(theirs if "theirs" in text else mine)
    broken = ["store", "lost"]
    outcome = judge("log", truth, records, whole=whole, ends=["finish", *broken], unkept=broken)
    if [each.end for each in records].count("finish") != 2:
        outcome += missing(f"the readers got {[each.end for each in records]}")
    return outcome + river.remains()


async def _produce(logs: Logs, lease: Lease, words: Sequence[str], record: Record) -> None:
    async with logs.write(lease) as writer:
        reading = asyncio.create_task(_note(record, logs.read(lease.log)))
        for word in words:
            writer.append([TextDelta(word)])
            await asyncio.sleep(random.uniform(0.001, 0.01))
            await writer.room()
        await writer.seal(Finish("stop"))
        await reading


async def _note(record: Record, pages: AsyncIterator[Sequence[Entry]]) -> None:
    try:
        async for page in pages:
            record.frames.extend(written(entry, "log") for entry in page)
            if isinstance(page[-1].event, Ending):
                record.end = end_of(page[-1])
    except (Expired, NoSuchLog):
        record.end = "gone"


async def clocks(river: River) -> Outcome:
    """One server's clock is an hour off, the other's jumps while the answer is written: no lease lapses, one call."""
    off, jumping = Clock(random.choice([-HOUR, HOUR])), Clock()

    async def fault(crowd: Crowd) -> None:
        for place in range(20, 90, 20):
            await crowd.reached(place)
            jumping.wrong = random.choice([-HOUR, HOUR])
        jumping.wrong = 0.0

    limits = Limits(lease=river.lease, heartbeat=river.lease / 4)
    # Longer than a lease, so that one which depends on a clock lapses.
    model = script(pace=max(river.pace, 1.2 * river.lease / len(WORDS)))
    stores = [river.open(limits, off), river.open(limits, jumping)]
    async with pair(model, stores, limits=limits) as waters:
        # To a clock an hour ahead an answer is as old as may be, so asking for a new one is right.
        return await flood(river, waters, fault, due=[1, 2])


async def stop_and_finish(river: River) -> Outcome:
    """A stop and the end of the answer come at once: one of them wins, and every reader gets the same ending."""
    gate = asyncio.Event()
    steps: list[Step] = [TextDelta("one "), TextDelta("two "), gate, TextDelta("three"), Finish("stop")]
    whole = "one two three"
    async with pair(Scripted(steps), [river.open(), river.open()], whole=whole) as waters:
        crowd = Crowd(waters)
        crowd.ask(waters.near, waters.far)
        await crowd.reached(3)
        crowd.ask(waters.near, waters.far)
        crowd.ask(waters.far, waters.near)
        await crowd.reached(3)
        server = random.choice(waters.headwaters)
        stopping = asyncio.create_task(server.client.post(f"/api/streams/{crowd.log}/stop"))
        for _ in range(random.randrange(60)):
            await asyncio.sleep(0)
        gate.set()
        state = (await stopping).json()["state"]
        await crowd.over()
        truth = await river.truth(crowd.log)
        outcome = judge(crowd.log, truth, crowd.records, whole=whole, ends=["finish", "stop"])
        ended = "" if truth is None else end_of(truth[-1])
        if state not in ("open", {"finish": "finished", "stop": "stopped"}.get(ended)):
            outcome += missing(f"the stop returned {state}, and it ended {ended}")
        outcome += await again(river, waters, [1] if ended == "finish" else [2])
    return outcome + river.remains()


async def expired_while_read(river: River) -> Outcome:
    """A finished log expires under a slow reader: the rest is refused, and the part never looks whole."""
    clock = Clock()
    words = [f"{i} ".ljust(6000, ".") for i in range(600)]  # more than what lies ready in pages and sockets
    model = Scripted([*map(TextDelta, words), Finish("stop")])
    whole = "".join(words)
    async with pair(model, [river.open(clock=clock), river.open(clock=clock)], whole=whole) as waters:
        crowd = Crowd(waters)
        first = crowd.ask(waters.near)
        await until(lambda: first.location, "the log is known", PATIENCE)
        await until(lambda: first.record.end is not None, "the answer is whole", PATIENCE)
        # Readers of a live log have all of it in a process's memory; those of a finished one read it from the store.
        slow = [crowd.join(server, after=ORIGIN, pace=0.001) for server in (waters.near, waters.far)]
        await until(lambda: all(each.taken > 400 for each in slow), "the slow ones have begun", PATIENCE)
        truth = await river.truth(crowd.log)
        clock.wrong = 3600 + LIMITS.grace + 60
        for each in slow:
            each.hurry.set()
        await crowd.over()
        outcome = judge(crowd.log, truth, crowd.records, whole=whole, ends=["finish", "gone"])
        if all(each.record.end == "finish" for each in slow):
            outcome += missing("the log expired under nobody")
        # Asked again by the clock of today it is not there any more, so a second call is due.
        outcome += await again(river, waters, [2])
    return outcome + river.remains()

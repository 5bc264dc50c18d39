"""`python -m bench.stores`: the cost of a token, a reader and an open log on each store, as a table; under 90 seconds.

Everything is measured through `Logs` and `Writer`, as the server uses them. Two handles on a store stand for two
processes. Commands are counted on all stores concurrently; CPU is measured on one after the other.
"""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple, TypeVar

from bench.machine import machine
from bench.store_engines import Count, Kind, Subject, kinds
from headwater.entries import record
from headwater.events import Finish, Start, TextDelta
from headwater.log.logs import Logs
from headwater.log.store import Store
from headwater.log.writer import Writer
from headwater.offsets import Offset
from headwater.principal import ANYONE

PACE = 50
"""Tokens per second, as from a hosted model."""
SLOW = 10
"""Tokens per second for a hundred readers: slow, because all stores are measured concurrently."""
LENGTHS = ((100, 20), (1000, 4), (10_000, 1))
"""Tokens per answer, and number of answers: enough to make their CPU time measurable."""

WHILE = 1.5
"""Seconds for which many logs are written."""
TURNS = 20
"""Maximum number of concurrent calls to a store."""

Row = dict[str, str]
T = TypeVar("T")


class Pair(NamedTuple):
    """A store with its own database, and two handles on it."""

    kind: Kind
    subject: Subject
    here: Store
    there: Store

    async def rate(self, seconds: float) -> Count:
        """Commands per second during the next `seconds`."""
        before, begin = self.subject.counted(), time.monotonic()
        await asyncio.sleep(seconds)
        after, passed = self.subject.counted(), time.monotonic() - begin
        return Count(*((b - a) / passed for a, b in zip(before, after, strict=True)))


async def answers(pair: Pair) -> Row:
    """Commands to write an answer: claim, flushes, seal."""
    cells: list[str] = []
    for pace in (PACE, 0):
        before = pair.subject.counted()
        async with writers(pair.here, 1, str(pace)) as (writer,):
            await write(writer, 1000, pace)
            await end([writer])
            after = pair.subject.counted()
        inside = f", {after.inside - before.inside:,.0f} inside" if after.inside else ""
        cells.append(f"{after.commands - before.commands:.0f}{inside}")
    return {
        f"commands per answer of 1,000 tokens, {PACE}/s": cells[0],
        "commands per such answer, in a burst": cells[1],
    }


async def readers(pair: Pair) -> Row:
    """Commands that readers in another process add to a live log."""
    row: Row = {}
    logs = Logs(pair.there)
    async with writers(pair.here, 1) as (writer,), asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(write(writer, 1_000_000, SLOW))
        await asyncio.sleep(1)
        alone = await pair.rate(3.5)
        there = 0
        for count in (1, 10, 100):
            for _ in range(count - there):
                tasks.create_task(read(logs, writer.log))
            there = count
            await asyncio.sleep(1)
            row[f"commands/s, {count} remote reader(s) of a log at {SLOW} tokens/s"] = cell(await pair.rate(3.5), alone)
        writing.cancel()
        await end([writer])
    return row


async def silence(pair: Pair) -> Row:
    """Commands of open, silent logs, and of an idle process."""
    async with writers(pair.here, pair.kind.most) as held:
        await asyncio.sleep(1)
        beating = await pair.rate(5)
        await end(held)
    await asyncio.sleep(2.6)  # an unused connection is kept for one ping interval
    return {
        "commands/s, open silent logs": f"{cell(beating)} ({pair.kind.most:,} logs)",
        "commands/s, idle process": cell(await pair.rate(2)),
    }


async def followed(pair: Pair) -> Row:
    """Commands of readers of silent logs. The logs have no writer, whose heartbeats would hide them."""
    names = [f"log {i}" for i in range(pair.kind.most)]
    leases = await in_turns(pair.here.open(log, ANYONE, ttl=60) for log in names)
    logs = Logs(pair.there)
    async with asyncio.TaskGroup() as tasks:
        for i, log in enumerate(names):
            tasks.create_task(read(logs, log))
            if i % TURNS == 0:
                await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        rate = await pair.rate(5)
        await in_turns(pair.here.seal([record(Offset(1, 1), 0, Finish("stop"))], lease) for lease in leases)
    return {"commands/s, a remote reader of each": f"{cell(rate)} ({pair.kind.most:,} logs)"}


async def growth(pair: Pair) -> Row:
    """Whether the cost of a token grows with the number of open logs, or with the length of its log."""
    streams: list[tuple[float, float]] = []
    counts = (1, pair.kind.most // 10, pair.kind.most)
    for count, pace in zip(counts, pair.kind.pace, strict=True):
        async with writers(pair.here, count, str(count)) as held:
            await asyncio.sleep(0.5)
            tokens = round(WHILE * pace)
            streams.append(await cost(pair, spread(held, tokens, pace), tokens * count))
            await end(held)
    lengths: list[tuple[float, float]] = []
    for tokens, times in LENGTHS:
        async with writers(pair.here, times, f"of {tokens}") as held:
            lengths.append(await cost(pair, one_by_one(held, tokens), tokens * times))
    named = " → ".join(f"{count:,}" for count in counts)
    row = {"open logs that are written": named}
    for what, found in (("that many logs", streams), ("100 → 1,000 → 10,000 tokens", lengths)):
        row[f"commands per token, {what}"] = " → ".join(f"{commands:.3f}" for commands, _ in found)
        times = [f"{cpu:.0f}" for _, cpu in found]
        row[f"µs CPU per token, {what}"] = f"{' → '.join(times)} (×{found[-1][1] / found[0][1]:.2f})"
    return row


async def latency(pair: Pair) -> Row:
    """Delay of a token to a reader in another process, and of a stop from another process to the writer."""
    late: list[float] = []
    async with writers(pair.here, 1, "stamped") as (writer,), asyncio.TaskGroup() as tasks:
        tasks.create_task(read(Logs(pair.there), writer.log, late))
        await asyncio.sleep(0.5)
        await write(writer, 4 * PACE, PACE)
        await end([writer])
    stops: list[float] = []
    async with writers(pair.here, 40, "stopped") as held, asyncio.TaskGroup() as tasks:
        writing = [tasks.create_task(write(writer, 1_000_000, 10)) for writer in held[::2]]
        await asyncio.sleep(1.5)
        await asyncio.gather(*(stopped(pair.there, writer, stops) for writer in held))
        for task in writing:
            task.cancel()
        await end(held)
    parts = statistics.quantiles(late, n=100, method="inclusive")
    return {
        "ms from append to a remote reader, p50 / p99": f"{parts[49] * 1000:.0f} / {parts[98] * 1000:.0f}",
        "ms from a remote stop to the writer, p50 / max": (
            f"{statistics.median(stops) * 1000:.0f} / {max(stops) * 1000:.0f}"
        ),
    }


@asynccontextmanager
async def writers(store: Store, count: int, name: str = "log") -> AsyncGenerator[list[Writer], None]:
    """Open new logs; yields their writers."""
    logs = Logs(store)
    async with AsyncExitStack() as stack:

        async def one(log: str) -> Writer:
            claim = await store.claim(f"name of {log}", log, ANYONE, ttl=60)
            assert claim.lease is not None
            writer = await stack.enter_async_context(logs.write(claim.lease))
            writer.append([Start("message", "model")])
            return writer

        yield await in_turns(one(f"{name} {i}") for i in range(count))


async def write(writer: Writer, tokens: int, pace: float) -> None:
    """Append tokens at a pace per second (0: as fast as the store allows); each token is its own timestamp."""
    begin = time.monotonic() + (random.random() / pace if pace else 0)
    for i in range(tokens):
        if pace:
            await asyncio.sleep(max(begin + i / pace - time.monotonic(), 0))
        writer.append([TextDelta(str(time.monotonic()))])
        await writer.room()
    assert writer.failure is None, writer.failure
    assert not writer.fenced


async def read(logs: Logs, log: str, late: list[float] | None = None) -> None:
    """Read a log as another process would; appends the delay of each token to `late`."""
    async for page in logs.read(log):
        if late is not None:
            now = time.monotonic()
            late += [now - float(entry.event.text) for entry in page if isinstance(entry.event, TextDelta)]


async def spread(held: list[Writer], tokens: int, pace: float) -> None:
    """Write to all logs concurrently."""
    await asyncio.gather(*(write(writer, tokens, pace) for writer in held))


async def one_by_one(held: list[Writer], tokens: int) -> None:
    """Write to one log after the other in a burst, and seal each."""
    for writer in held:
        await write(writer, tokens, 0)
        await end([writer])


async def end(held: list[Writer]) -> None:
    """Seal the logs, which ends their readers."""
    await in_turns(writer.seal(Finish("stop")) for writer in held)


async def in_turns(calls: Iterable[Awaitable[T]]) -> list[T]:
    """Make the calls, `TURNS` at a time: a thousand at once would measure a queue."""
    turns = asyncio.Semaphore(TURNS)

    async def one(call: Awaitable[T]) -> T:
        async with turns:
            return await call

    return await asyncio.gather(*(one(call) for call in calls))


async def stopped(store: Store, writer: Writer, late: list[float]) -> None:
    """Stop a log through another handle at a random moment; appends the delay until its writer knew to `late`."""
    told = asyncio.Event()
    writer.interrupt = told.set
    await asyncio.sleep(2 * random.random())
    begin = time.monotonic()
    assert await store.stop(writer.log, ANYONE.subject)
    await told.wait()
    late.append(time.monotonic() - begin)


async def cost(pair: Pair, work: Awaitable[None], tokens: int) -> tuple[float, float]:
    """Commands, and microseconds of CPU, per token of some work."""
    before, begin = pair.subject.counted().commands, pair.subject.cpu()
    await work
    spent = pair.subject.cpu() - begin
    return (pair.subject.counted().commands - before) / tokens, spent * 1e6 / tokens


def cell(found: Count, without: Count | None = None) -> str:
    """A rate as text, minus the rate without what is measured."""
    commands, checks, inside = (max(a - b, 0) for a, b in zip(found, without or Count(0), strict=True))
    apart = [f" + {count:.0f} {what}" for count, what in ((checks, "checks"), (inside, "inside")) if count >= 0.5]
    return f"{commands:.1f}" + "".join(apart)


async def measured(kind: Kind, measure: Callable[[Pair], Awaitable[Row]]) -> Row:
    """Take one measurement on a fresh database."""
    with kind.start() as subject:
        here, there = subject.open(), subject.open()
        try:
            return await measure(Pair(kind, subject, here, there))
        finally:
            await here.aclose()
            await there.aclose()


async def main() -> None:
    """Take all measurements and print the table."""
    chosen = kinds()
    together = [(kind, measure) for measure in (answers, readers) for kind in chosen]
    found = await asyncio.gather(*(measured(*each) for each in together))
    together = [(kind, measure) for measure in (silence, followed) for kind in chosen]
    found += await asyncio.gather(*(measured(*each) for each in together))
    found += await asyncio.gather(*(measured(kind, latency) for kind in chosen))
    found += [await measured(kind, growth) for kind in chosen]
    names = [kind.name for kind in chosen]
    rows: dict[str, list[str]] = {}
    for i in range(0, len(found), len(names)):
        for label in found[i]:
            rows[label] = [row[label] for row in found[i : i + len(names)]]
    print(", ".join(f"{name} {value}" for name, value in machine().items()), end="\n\n")
    print(f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|", sep="\n")
    for label, cells in rows.items():
        print(f"| {label} | {' | '.join(cells)} |")


if __name__ == "__main__":
    asyncio.run(main())

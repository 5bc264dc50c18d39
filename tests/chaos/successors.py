"""Servers that are gone leave answers behind: who goes on with them, when, and what must not go on."""

import asyncio
import os
import random
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from signal import SIGKILL, Signals
from typing import NamedTuple

from processes.servers import Serving, connected, serve, workers
from serving import until
from upstream import Upstream

from chaos.deaths import asked, environment, limits
from chaos.flood import WHOLE, WORDS, Crowd, Waters, flood
from chaos.judge import Outcome, judge, missing, surplus
from chaos.reader import PATIENCE
from chaos.rivers import River
from headwater.log.store import Store
from headwater.principal import ANYONE

LONG = 5 * PATIENCE
"""Patience with ten processes and thousands of connections on one machine."""


class Place(NamedTuple):
    """An address where one server after another can be started, and their provider."""

    waters: Waters
    start: Callable[[], Awaitable[Serving]]
    upstream: Upstream


@asynccontextmanager
async def alone(river: River) -> AsyncGenerator[Place, None]:
    """One address on a store of its own; no server runs there yet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with Upstream(tokens=WORDS, pace=max(river.pace, 0.008), continues="flags") as upstream:
        async with AsyncExitStack() as stack:
            shared = environment(river, upstream, port=str(port))
            url = f"http://127.0.0.1:{port}"
            waters = Waters(url, url, lambda: asked(upstream), WHOLE, limits(river))
            yield Place(waters, lambda: stack.enter_async_context(serve(river.folder, **shared)), upstream)


async def restarted(river: River) -> Outcome:
    """kill -9 of the only server: the next one at its address goes on within two seconds of its start."""
    took: list[float] = []
    async with alone(river) as (waters, start, _):
        server = await start()

        async def fault(crowd: Crowd) -> None:
            await crowd.reached(random.randrange(20, 70))
            await server.kill()
            await start()
            begin = time.monotonic()
            await until(lambda: any(each.last.epoch > 1 for each in crowd.records), "somebody goes on", PATIENCE)
            took.append(time.monotonic() - begin)

        outcome = await flood(river, waters, fault, seams=1)
    if river.kind == "sqlite" and max(took) > 2:
        outcome += missing(f"it took {max(took):.1f} s")
    return outcome + Outcome(seconds=tuple(took))


async def killed_before_the_rest(river: River) -> Outcome:
    """The successor is killed too, before the model has said anything: that attempt counts, and the third gives up."""
    async with alone(river) as (waters, start, upstream):
        server = await start()

        async def fault(crowd: Crowd) -> None:
            await crowd.reached(random.randrange(20, 70))
            await server.kill()
            upstream.gated = True
            second = await start()
            await until(lambda: upstream.calls == 2, "the second one asks", PATIENCE)
            await second.kill()
            upstream.gated = False
            await start()

        # What it asks is whether the provider continues, unless nothing was stored of the answer.
        return await flood(river, waters, fault, ends=["lost"], seams=1, due=[2, 3])


async def stopped_meanwhile(river: River) -> Outcome:
    """A stop that comes when the writer is dead: the successor ends the log, and asks nobody."""
    return await _meanwhile(river, lambda store, log: store.stop(log, ANYONE.subject), "stop")


async def deleted_meanwhile(river: River) -> Outcome:
    """A log that is deleted when its writer is dead stays deleted, and nobody is asked."""
    return await _meanwhile(river, lambda store, log: store.forget(log), "gone")


async def expired_meanwhile(river: River) -> Outcome:
    """A log whose keys have expired when its writer is dead is gone, and nobody is asked."""

    async def expire(_: Store, log: str) -> None:
        river.home(log).command("DEL", *(key.decode() for key in river.kept(log)))

    return await _meanwhile(river, expire, "gone")


async def _meanwhile(river: River, act: Callable[[Store, str], Awaitable[object]], end: str) -> Outcome:
    async with alone(river) as (waters, start, _):
        server = await start()

        async def fault(crowd: Crowd) -> None:
            await crowd.reached(random.randrange(20, 70))
            await server.kill()
            async with river.handle(waters.limits) as store:
                await act(store, crowd.log)
            await start()

        return await flood(river, waters, fault, ends=[end], due=[2])


async def killed_worker(river: River) -> Outcome:
    """kill -9 of the worker that writes: readers at the other one stay connected, and soon hear more."""
    took: list[float] = []
    async with Upstream(tokens=WORDS, pace=max(river.pace, 0.008), continues="flags") as upstream:
        async with serve(river.folder, **environment(river, upstream, workers="2")) as server:
            url = str(server.client.base_url)
            outcome = Outcome()

            async def fault(crowd: Crowd) -> None:
                nonlocal outcome
                writer = next(pid for pid in workers(server) if int(upstream.url.split(":")[2][:-3]) in connected(pid))
                while not (apart := [each for each in crowd.readers if each.port not in connected(writer)]):
                    crowd.ask(url)
                    await crowd.reached(1)
                await crowd.reached(random.randrange(30, 70))
                begin = time.monotonic()
                os.kill(writer, SIGKILL)
                await until(lambda: all(each.record.last.epoch > 1 for each in apart), "they go on", PATIENCE)
                took.append(time.monotonic() - begin)
                await crowd.over()
                if cut := [each for each in apart if each.connections > 1]:
                    outcome += missing(f"{len(cut)} readers at the other worker were disconnected")

            waters = Waters(url, url, lambda: asked(upstream), WHOLE, limits(river))
            outcome += await flood(river, waters, fault, seams=1)
    if max(took) > (1 if river.kind == "sqlite" else river.lease + 2):
        outcome += missing(f"it took {max(took):.2f} s")
    return outcome + Outcome(seconds=tuple(took))


async def race(river: River, logs: int = 500, servers: int = 8, end: Signals = SIGKILL) -> Outcome:
    """A server leaves hundreds of answers behind, and many others race for them: each goes on once."""
    async with Upstream(tokens=WORDS, pace=0.002, silent_after=30, faulty=logs, continues="flags") as upstream:
        shared = environment(river, upstream, drain="0.1")
        async with AsyncExitStack() as stack:
            start = [stack.enter_async_context(serve(river.folder, **shared)) for _ in range(servers + 1)]
            writer, *others = await asyncio.gather(*start)
            urls = [str(each.client.base_url) for each in others]
            crowds = [_audience(f"question {i}", str(writer.client.base_url), urls, upstream) for i in range(logs)]
            for crowd in crowds:
                await crowd.reached(20)
                for url in random.sample(urls, min(2, len(urls))):
                    crowd.ask(url).patience = LONG
            for crowd in crowds:
                await crowd.reached(20)
            begin = time.monotonic()
            writer.process.send_signal(end)
            await asyncio.gather(*(crowd.over() for crowd in crowds))
            took = time.monotonic() - begin
            outcome = Outcome(seconds=(took,))
            for crowd in crowds:
                truth = await river.truth(crowd.log, limits(river))
                outcome += judge(crowd.log, truth, crowd.records, whole=WHOLE, ends=["finish"], seams=1)
            if asked(upstream) != 2 * logs:
                outcome += surplus(f"{asked(upstream)} requests for {logs} answers that were continued once")
    return outcome + river.remains()


def _audience(question: str, writer: str, others: Sequence[str], upstream: Upstream) -> Crowd:
    """Who asks at the writer, and goes on elsewhere."""
    crowd = Crowd(Waters(writer, random.choice(others), lambda: asked(upstream)), question)
    crowd.ask(writer, *random.sample(others, len(others))).patience = LONG
    return crowd

"""The server that writes an answer is killed, or terminated, or only believed to be dead."""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from signal import SIGCONT, SIGSTOP
from typing import NamedTuple

from processes.servers import Serving, serve
from serving import serving, until
from upstream import Upstream

from chaos.flood import WHOLE, WORDS, Crowd, Waters, flood
from chaos.judge import Outcome, Record, missing
from chaos.reader import PATIENCE
from chaos.rivers import River
from headwater.log.store import Limits
from headwater.settings import Settings
from headwater.wiring.server import server


class Deployment(NamedTuple):
    """Two servers, made as `headwater serve` makes them, and their provider."""

    waters: Waters
    producer: Serving
    upstream: Upstream


def environment(river: River, upstream: Upstream, **more: str) -> dict[str, str]:
    """The settings of a server of these, as its environment; `more` are Headwater's own."""
    same = {**river.settings, "lease": str(river.lease), "model": "openai:gpt-4o-mini", **more}
    same |= {"openai_api_key": "sk-test", "openai_base_url": upstream.url}
    others = ("openai", "upstash")
    return {name.upper() if name.startswith(others) else f"HEADWATER_{name.upper()}": same[name] for name in same}


def limits(river: River) -> Limits:
    """The limits of a server of these."""
    return Limits(lease=river.lease, heartbeat=river.lease / 3)


def asked(upstream: Upstream) -> int:
    """How often the provider was asked, without what an unknown one must show first: that it continues."""
    return sum(not str(each.body["messages"][-1]["content"]).endswith(" 6, 7") for each in upstream.requests)


@asynccontextmanager
async def deployed(river: River, drain: float = 0.1, mode: str = "all") -> AsyncGenerator[Deployment, None]:
    """Start both servers: the first in a process of its own, which may be killed, and the other one in this process.

    `mode` is what they mend (`HEADWATER_CONTINUE`).
    """
    async with Upstream(tokens=WORDS, pace=max(river.pace, 0.008), continues="flags") as upstream:
        own = {**river.settings, "lease": str(river.lease), "model": "openai:gpt-4o-mini", "continue": mode}
        own |= {"openai_api_key": "sk-test", "openai_base_url": upstream.url, "data_dir": str(river.folder)}
        survivor = server(Settings.model_validate(own))
        shared = environment(river, upstream, drain=str(drain), **{"continue": mode})
        async with serve(river.folder, **shared) as near, serving(survivor.app, lifespan=True) as far:
            one, two = str(near.client.base_url), str(far.base_url)
            yield Deployment(Waters(one, two, lambda: asked(upstream), WHOLE, limits(river)), near, upstream)


ROUTINE = {"all": ("finish", 1), "provider": ("lost", 0), "off": ("lost", 0)}
"""How an answer ends whose server dies, and how often it is continued, by what is mended."""


async def killed(river: River, mode: str = "all") -> Outcome:
    """kill -9 in mid-token: the other server goes on. If it may not: the prefix, then `lost`, for everyone."""
    async with deployed(river, mode=mode) as (waters, producer, _):

        async def fault(crowd: Crowd) -> None:
            await crowd.reached(random.randrange(20, 70))
            await producer.kill()

        end, seams = ROUTINE[mode]
        return await flood(river, waters, fault, ends=[end], seams=seams)


async def terminated(river: River, mode: str = "all") -> Outcome:
    """SIGTERM with too little time: the other server goes on; if it may not, readers get a retryable error."""
    async with deployed(river, mode=mode) as (waters, producer, _):

        async def fault(crowd: Crowd) -> None:
            await crowd.reached(random.randrange(20, 70))
            producer.process.terminate()

        end, seams = ROUTINE[mode]
        return await flood(river, waters, fault, ends=["shutdown" if end == "lost" else end], seams=seams)


async def drained(river: River) -> Outcome:
    """SIGTERM with enough time: the answer is finished first, and every reader gets all of it."""
    async with deployed(river, drain=30) as (waters, producer, _):

        async def fault(crowd: Crowd) -> None:
            await crowd.reached(random.randrange(20, 70))
            producer.process.terminate()

        return await flood(river, waters, fault)


async def ahead_of_the_store(river: River, mode: str = "all") -> Outcome:
    """The producer dies after its readers have seen entries that were not stored: they go back, or get one error."""
    async with deployed(river, mode=mode) as (waters, producer, upstream):
        upstream.gated = True
        upstream.release(20)
        crowds: list[Crowd] = []

        async def fault(crowd: Crowd) -> None:
            crowds.append(crowd)
            local = crowd.readers[0].record
            await crowd.reached(20)
            stood = local.last.sequence
            async with _holding(river):
                upstream.release(8)
                await until(lambda: local.last.sequence >= stood + 8, "the reader is ahead", PATIENCE)
                await producer.kill()
            upstream.release(len(WORDS) * 2)

        end, seams = ROUTINE[mode]
        outcome = await flood(river, waters, fault, ends=[end], seams=seams)
        ahead = [each for each in crowds[0].records if each.rewound or _went_back(each)]
        return outcome if ahead else outcome + missing("nobody was ever ahead of the store")


def _went_back(record: Record) -> bool:
    """Whether the ending took the place of an entry that this reader had seen."""
    return len(record.frames) > 1 and record.frames[-2][0].sequence >= record.frames[-1][0].sequence


@asynccontextmanager
async def _holding(river: River) -> AsyncGenerator[None, None]:
    """Pause the store, so that it applies nothing that the dying producer has sent."""
    # Not by SIGSTOP: what was sent to a stopped server is applied when it goes on, though its sender be dead.
    if river.upstash is not None:
        river.upstash.down = True
        yield
        river.upstash.down = False
    elif river.servers:
        for server in river.servers:
            server.command("CLIENT", "PAUSE", 60_000, "WRITE")
        yield
        for server in river.servers:
            server.command("CLIENT", "UNPAUSE")
    else:
        with river.paused():
            yield


async def thought_dead(river: River, mode: str = "all") -> Outcome:
    """A producer is paused for longer than its lease, then resumed: nothing that it writes then is in the log."""
    async with deployed(river, mode=mode) as (waters, producer, _):

        async def fault(crowd: Crowd) -> None:
            await crowd.reached(random.randrange(20, 70))
            producer.process.send_signal(SIGSTOP)
            try:
                # Those at the other server go on, or bury the log; those at this one hear nothing until it goes on.
                far = [each.record for each in crowd.readers if each.servers[0] == waters.far]
                fact = random.choice([_ended, _in_another_epoch])
                await until(lambda: all(map(fact, far)), "the log was taken over", PATIENCE)
            finally:
                producer.process.send_signal(SIGCONT)

        end, seams = ROUTINE[mode]
        # What the provider sent during the pause comes in one read, and is shown before the next flush is refused.
        return await flood(river, waters, fault, ends=[end], seams=seams, flush=len(WORDS))


def _ended(record: Record) -> bool:
    return record.end is not None


def _in_another_epoch(record: Record) -> bool:
    return record.last.epoch > 1

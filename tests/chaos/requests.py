"""Requests to Upstash that fail, in ways that a connection to Redis does not."""

import asyncio
import random
from collections.abc import Callable

from upstash_double import Fault, UpstashDouble

from chaos.flood import Crowd, flood, pair, script
from chaos.judge import Outcome
from chaos.rivers import River


async def lost(river: River) -> Outcome:
    """Requests are executed and their replies break off: they are sent again, and applied once."""
    return await _faulty(river, lambda: Fault(lost=True))


async def late(river: River) -> Outcome:
    """Requests are executed and their replies come after the client's time limit: likewise."""
    # Short, so that many replies can be waited for in vain.
    return await _faulty(river, lambda: Fault(delay=random.uniform(0.2, 0.8)), answer_within=0.3)


async def refused(river: River) -> Outcome:
    """Some requests are refused: by the service, for its limits, or by a proxy before it."""

    def fault() -> Fault:
        return random.choice([Fault(429), Fault(429, {"Retry-After": "0.3"}), Fault(500), Fault(502), Fault(503)])

    return await _faulty(river, fault)


async def down(river: River) -> Outcome:
    """The service refuses everything for two seconds, less than a writer retries: the answer is late."""
    assert river.upstash is not None
    double: UpstashDouble = river.upstash

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(random.randrange(20, 60))
        double.down = True
        await asyncio.sleep(2)
        double.down = False

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault)


async def _faulty(river: River, what: Callable[[], Fault], answer_within: float = 2.0) -> Outcome:
    assert river.upstash is not None
    double: UpstashDouble = river.upstash

    async def fault(crowd: Crowd) -> None:
        for place in range(15, 80, 8):
            await crowd.reached(place)
            # Seldom so many that one request fails with all its attempts; the writer then tries again, and so may we.
            double.faults.extend(what() for _ in range(random.randrange(1, 4)))
        double.faults.clear()

    stores = [river.open(answer_within=answer_within) for _ in range(2)]
    async with pair(script(pace=river.pace), stores) as waters:
        return await flood(river, waters, fault)

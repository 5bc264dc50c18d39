"""The store fails, or the way to it does."""

import asyncio
import random
from unittest.mock import patch

from redis_servers import Proxy

from chaos.flood import Crowd, flood, pair, script
from chaos.judge import Outcome
from chaos.rivers import River
from headwater.log import redis_client
from headwater.log.redis_script import key


def _somewhere() -> int:
    return random.randrange(20, 80)


async def killed_with_its_data(river: River) -> Outcome:
    """Redis is killed and started again with what it had: nobody notices more than a pause."""

    async def fault(crowd: Crowd) -> None:
        for place in sorted(random.sample(range(20, 80), 2)):
            await crowd.reached(place)
            river.redis.kill()
            river.redis.start()

    async with pair(script(), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault)


async def killed_without_its_data(river: River) -> Outcome:
    """Redis is killed and comes back empty: everybody hears that the answer is gone, and the question is free."""

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        river.redis.kill()
        river.redis.start()

    async with pair(script(), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=["gone"])


async def paused_shortly(river: River) -> Outcome:
    """The store stands still for a second: the answer is late and whole."""
    return await _paused(river, 1.0, ["finish"])


async def paused_long(river: River) -> Outcome:
    """The store stands still for 5 s, which is all the patience there is: the answer is late, or said to be broken."""
    return await _paused(river, 5.0, ["finish", "lost", "store"])


async def _paused(river: River, seconds: float, ends: list[str]) -> Outcome:
    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        with river.held():
            await asyncio.sleep(seconds)

    async with pair(script(), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=ends)


async def wake_ups(river: River) -> Outcome:
    """Wake-ups get lost with their connection, come twice, and come for nothing."""

    async def fault(crowd: Crowd) -> None:
        for place in range(20, 95, 5):
            await crowd.reached(place)
            if random.random() < 0.5:
                river.redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            for said in ("end", "1", str(place), "999999", "stop", "gone", "lost", "", "-1", "nan"):
                river.redis.command("PUBLISH", key("wake", crowd.log), said)
                river.redis.command("PUBLISH", key("stop", crowd.log), said)

    async with pair(script(), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault)


async def answers_lost(river: River) -> Outcome:
    """What was sent is applied and its answer does not come: it is sent again, and there is one effect."""
    # Short, so that many answers can be waited for in vain.
    with patch.object(redis_client, "TIMEOUT", 0.3):
        async with Proxy(river.redis.socket, river.folder / "p") as proxy:
            stores = [river.open(url=proxy.url), river.open(url=proxy.url)]

            async def fault(crowd: Crowd) -> None:
                for place in range(20, 95, 5):
                    await crowd.reached(place)
                    proxy.silent = random.random() < 0.3
                    proxy.lose = random.randrange(1, 4)
                proxy.lose = 0

            async with pair(script(), stores) as waters:
                return await flood(river, waters, fault)


async def evicted(river: River) -> Outcome:
    """Redis evicts a key of a live log: the answer is gone for everybody and said to be, never a part of it told."""
    kind = random.choice(["packs", "log"])

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        river.redis.command("DEL", key(kind, crowd.log))

    async with pair(script(), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=["gone"])


async def evicted_lease(river: River) -> Outcome:
    """Redis evicts the lease of a live log: its writer takes it up again, or who sees it first ends the log as lost."""

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        river.redis.command("DEL", key("lease", crowd.log))

    async with pair(script(), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=["finish", "lost"])


async def evicted_name(river: River) -> Outcome:
    """Redis evicts the name of a live log: the answer goes on, and the name is bound to it when it is whole."""

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        for name in river.redis.command("KEYS", "*:name:*"):
            river.redis.command("DEL", name)

    async with pair(script(), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault)


async def expired_while_live(river: River) -> Outcome:
    """The keys of a live log expire all at once: the answer is gone for everybody, and said to be."""

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        for kind in ("packs", "log"):
            river.redis.command("PEXPIRE", key(kind, crowd.log), 1)

    async with pair(script(), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=["gone"])

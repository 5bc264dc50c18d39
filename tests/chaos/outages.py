"""The store fails, or the way to it does."""

import asyncio
import random

from redis_servers import Proxy

from chaos.flood import Crowd, flood, pair, script
from chaos.judge import Outcome
from chaos.rivers import River
from headwater.log.lua.script import key


def _somewhere() -> int:
    return random.randrange(20, 60)


async def killed_with_its_data(river: River) -> Outcome:
    """Redis is killed and started again with what it had: nobody notices more than a pause.

    In a cluster that can last longer than anybody's patience, for whoever comes back there is not trusted at once.
    """
    ends = ["finish", "store", "lost"] if river.kind == "cluster" else ["finish"]

    async def fault(crowd: Crowd) -> None:
        for place in sorted(random.sample(range(20, 60), 2)):
            await crowd.reached(place)
            home = river.home(crowd.log)
            home.kill()
            home.start()

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=ends)


async def killed_without_its_data(river: River) -> Outcome:
    """Redis is killed and comes back empty: everybody hears that the answer is gone, and the question is free."""

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        home = river.home(crowd.log)
        home.kill()
        home.start()

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
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

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=ends)


async def wake_ups(river: River) -> Outcome:
    """Wake-ups get lost with their connection, come twice, and come for nothing."""

    async def fault(crowd: Crowd) -> None:
        for place in range(20, 95, 5):
            await crowd.reached(place)
            if random.random() < 0.5:
                for server in river.servers:
                    server.command("CLIENT", "KILL", "TYPE", "pubsub")
            for said in ("end", "1", str(place), "999999", "stop", "gone", "lost", "", "-1", "nan"):
                river.home(crowd.log).command("PUBLISH", key("wake", crowd.log), said)
                river.home(crowd.log).command("PUBLISH", key("stop", crowd.log), said)

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault)


async def answers_lost(river: River) -> Outcome:
    """What was sent is applied and its answer does not come: it is sent again, and there is one effect."""
    async with Proxy(river.servers[0].socket, river.folder / "p") as proxy:
        # Short, so that many answers can be waited for in vain.
        stores = [river.open(url=proxy.url, answer_within=0.3) for _ in range(2)]

        async def fault(crowd: Crowd) -> None:
            for place in range(20, 95, 5):
                await crowd.reached(place)
                proxy.silent = random.random() < 0.3
                proxy.lose = random.randrange(1, 4)
            proxy.lose = 0

        async with pair(script(pace=river.pace), stores) as waters:
            return await flood(river, waters, fault)


async def evicted(river: River) -> Outcome:
    """Redis evicts a key of a live log: the answer is gone for everybody and said to be, never a part of it told."""

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        # A lease is no part of what was said, and its writer renews it.
        said = [each for each in river.kept(crowd.log) if each != key("lease", crowd.log)]
        river.home(crowd.log).command("DEL", random.choice(said))

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=["gone"])


async def evicted_lease(river: River) -> Outcome:
    """Redis evicts the lease of a live log: its writer takes it up again, or who sees it first ends the log as lost."""

    async def fault(crowd: Crowd) -> None:
        for place in range(20, 60, 10):
            await crowd.reached(place)
            river.home(crowd.log).command("DEL", key("lease", crowd.log))

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=["finish", "lost"])


async def evicted_name(river: River) -> Outcome:
    """Redis evicts the name of a live log: the answer goes on, and the name is bound to it when it is whole."""

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        home = river.home(crowd.log)
        for name in home.command("KEYS", "*:name:*"):
            home.command("DEL", name)

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault)


async def expired_while_live(river: River) -> Outcome:
    """The keys of a live log expire all at once: the answer is gone for everybody, and said to be."""

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        for each in river.kept(crowd.log):
            river.home(crowd.log).command("PEXPIRE", each, 1)

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=["gone"])

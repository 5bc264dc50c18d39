"""The store fails, or the connection to it."""

import asyncio
import random

from redis_servers import Proxy

from chaos.flood import Crowd, flood, pair, script
from chaos.judge import Outcome
from chaos.rivers import River
from headwater.log.lua.script import key

VANISHED = ("lost", "gone")
"""How an answer ends that the store has lost: `lost` for whoever was reading, `gone` for whoever comes afterwards. The
store keeps neither."""


def _somewhere() -> int:
    return random.randrange(20, 60)


async def killed_with_its_data(river: River) -> Outcome:
    """Redis is killed and restarted with its data: readers notice no more than a pause.

    In a cluster that can take longer than any writer retries, because a server that returns is not trusted at once.
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
    """Redis is killed and restarted empty: every reader gets the error `lost`, and the question is answered anew."""

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        home = river.home(crowd.log)
        home.kill()
        home.start()

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=VANISHED, unkept=VANISHED)


async def paused_shortly(river: River) -> Outcome:
    """The store is paused for a second: the answer is late and whole."""
    return await _paused(river, 1.0, ["finish"])


async def paused_long(river: River) -> Outcome:
    """The store is paused for 5 s, as long as a writer retries: the answer is late, or ends with an error."""
    return await _paused(river, 5.0, ["finish", "lost", "store"])


async def _paused(river: River, seconds: float, ends: list[str]) -> Outcome:
    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        with river.paused():
            await asyncio.sleep(seconds)

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=ends)


async def wake_ups(river: River) -> Outcome:
    """Wake-ups are lost with their connection, come twice, and come without a reason."""

    async def fault(crowd: Crowd) -> None:
        for place in range(20, 95, 5):
            await crowd.reached(place)
            if random.random() < 0.5:
                for server in river.servers:
                    server.command("CLIENT", "KILL", "TYPE", "pubsub")
            for message in ("end", "1", str(place), "999999", "stop", "gone", "lost", "", "-1", "nan"):
                river.home(crowd.log).command("PUBLISH", key("wake", crowd.log), message)
                river.home(crowd.log).command("PUBLISH", key("stop", crowd.log), message)

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault)


async def answers_lost(river: River) -> Outcome:
    """Commands are applied and their replies are lost: they are sent again, and applied once."""
    async with Proxy(river.servers[0].socket, river.folder / "p") as proxy:
        # Short, so that many lost replies can be waited for.
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
    """Redis evicts a key of a live log: every reader gets the error `lost`, and no part looks whole."""

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        # A lease holds no entries, and its writer renews it. A recovery is for a successor, and there is none.
        others = [key("lease", crowd.log), key("recovery", crowd.log)]
        keys = [each for each in river.kept(crowd.log) if each not in others]
        river.home(crowd.log).command("DEL", random.choice(keys))

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=VANISHED, unkept=VANISHED)


async def evicted_lease(river: River) -> Outcome:
    """Redis evicts the lease of a live log: its writer renews it, or whoever notices first ends the log as lost."""

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
    """The keys of a live log expire all at once: every reader gets the error `lost`."""

    async def fault(crowd: Crowd) -> None:
        await crowd.reached(_somewhere())
        for each in river.kept(crowd.log):
            river.home(crowd.log).command("PEXPIRE", each, 1)

    async with pair(script(pace=river.pace), [river.open(), river.open()]) as waters:
        return await flood(river, waters, fault, ends=VANISHED, unkept=VANISHED)

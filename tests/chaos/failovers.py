"""A replica takes the place of the server that kept the answer, having copied all of it or not."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from signal import SIGCONT, SIGSTOP

from redis_pairs import Pair, Switch, replicated
from redis_servers import Server, clustered, follows
from serving import until
from upstash_double import upstash_before

from chaos.flood import Crowd, flood, pair, script
from chaos.judge import Outcome
from chaos.reader import PATIENCE
from chaos.rivers import ENGINES, River

GAP = 8
"""Words at least that a replica which lags does not have."""


async def to_a_replica(river: River) -> Outcome:
    """The primary dies and its replica has all that was acknowledged: the answer is late, and whole."""

    async def fault(branch: River, pair: Pair, switch: Switch, crowd: Crowd) -> None:
        await crowd.reached(random.randrange(20, 60))
        pair.promote()
        await switch.lead_to(pair.replica)

    return await _failed_over(river, fault, ["finish"])


async def to_a_replica_that_lags(river: River) -> Outcome:
    """The replica lacks the last entries: the writer ends, its readers get an error, and no reader sees a gap."""

    async def fault(branch: River, pair: Pair, switch: Switch, crowd: Crowd) -> None:
        await crowd.reached(random.randrange(20, 40))
        pair.part()
        await crowd.reached(crowd.least() + GAP)
        pair.primary.kill()
        await switch.lead_to(pair.replica)

    return await _failed_over(river, fault, ["lost", "gone"])


async def _failed_over(
    river: River, fault: Callable[[River, Pair, Switch, Crowd], Awaitable[None]], ends: list[str]
) -> Outcome:
    async with _branch(river) as (branch, pair_, switch):
        model = script(pace=max(branch.pace, 0.01))
        async with pair(model, [branch.open(), branch.open()]) as waters:
            return await flood(
                branch, waters, partial(fault, branch, pair_, switch), ends=ends, unkept=["store", "lost"]
            )


@asynccontextmanager
async def _branch(river: River) -> AsyncGenerator[tuple[River, Pair, Switch], None]:
    """The same kind of river, kept by a primary and its replica behind one address."""
    async with AsyncExitStack() as stack:
        servers = stack.enter_context(replicated(ENGINES.get(river.kind, ENGINES["valkey"])))
        switch = await stack.enter_async_context(Switch(servers.primary, river.folder / "switch"))
        # What matters in the end is what the replica has.
        branch = replace(river, url=switch.url, servers=[servers.replica])
        if river.upstash is not None:
            double = stack.enter_context(upstash_before(str(switch.path)))
            branch = replace(branch, url=double.url, upstash=double)
        yield branch, servers, switch


async def in_a_cluster(river: River) -> Outcome:
    """The cluster promotes the replica of a server that died: the answer is late, or ends with an error."""

    async def strike(dies: Server, heir: Server, crowd: Crowd) -> None:
        dies.kill()

    return await _promoted(river, strike, ends=["finish", "store", "lost"])


async def in_a_cluster_that_lags(river: River) -> Outcome:
    """The replica that the cluster promotes lacks the last entries, and no reader sees a gap."""

    async def strike(dies: Server, heir: Server, crowd: Crowd) -> None:
        # A password that its primary does not know keeps it from coming back.
        heir.command("CONFIG", "SET", "masterauth", "wrong")
        dies.command("CLIENT", "KILL", "TYPE", "replica")
        await until(lambda: not follows(heir), "the replica is cut off", PATIENCE)
        await crowd.reached(crowd.least() + GAP)
        dies.kill()

    return await _promoted(river, strike, ends=["store", "lost", "gone"])


async def in_a_cluster_that_heals(river: River) -> Outcome:
    """A server is paused until another has replaced it, and is then resumed without knowing that."""

    async def strike(dies: Server, heir: Server, crowd: Crowd) -> None:
        dies.signal(SIGSTOP)
        try:
            await until(lambda: heir.command("ROLE")[0] == b"master", "the replica was promoted", PATIENCE)
        finally:
            dies.signal(SIGCONT)

    return await _promoted(river, strike, ends=["finish", "store", "lost", "gone"])


async def _promoted(
    river: River, strike: Callable[[Server, Server, Crowd], Awaitable[None]], ends: list[str]
) -> Outcome:
    options = ("--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0")
    with clustered(ENGINES["valkey"], 3, *options, replicas=True, timeout=500) as servers:
        homes, replicas = servers[:3], servers[3:]
        url = ",".join(each.url.removeprefix("redis://") for each in homes)
        branch = replace(river, url=f"redis+cluster://{url}", servers=homes)

        async def fault(crowd: Crowd) -> None:
            await crowd.reached(random.randrange(20, 40))
            dies = branch.home(crowd.log)
            place = homes.index(dies)
            await strike(dies, replicas[place], crowd)
            homes[place] = replicas[place]

        # Slow, so that what is lost until the replica knows that it is cut off is no more than a flush.
        async with pair(script(pace=0.03), [branch.open(), branch.open()]) as waters:
            return await flood(branch, waters, fault, ends=ends, unkept=["store", "lost"])

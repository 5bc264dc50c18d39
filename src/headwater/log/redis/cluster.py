"""Finds the server of a Redis cluster that holds a key, and finds it anew when the cluster changes.

Our own client instead of redis-py's, for two reasons. All we send are scripts whose keys lie in one slot, which makes
it short. And when one command fails, redis-py's disconnects the commands of others on the same server.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import Redis
from redis.crc import key_slot

from headwater.log.lua.script import Argument, Script
from headwater.log.redis.batcher import Batcher

TRIES = 4
"""How often a command is sent while the cluster changes; a failover that takes longer is left to the caller."""
RETRY_PAUSE = 0.1
"""Seconds before the next try when no server serves the slot at the moment."""

_ELSEWHERE = (
    exceptions.AskError,  # and `MovedError`
    exceptions.TryAgainError,
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
)

Address = tuple[str, int]


class RedisCluster:
    """The servers of a cluster and their slots. `redis[s]+cluster://[user:password@]host:port[,host:port…]`

    `make` makes what sends scripts to the server at a URL. A script is given up after `within` seconds.
    """

    def __init__(self, url: str, make: Callable[[str], Batcher], within: float) -> None:
        parts = urlsplit(url.replace("+cluster://", "://", 1))
        user, at, hosts = parts.netloc.rpartition("@")
        self._parts, self._login = parts._replace(path=""), user + at
        self._make = make
        self._within = within
        self._seeds = [_address(host) for host in hosts.split(",")]
        self._nodes: dict[Address, Batcher] = {}
        self._slots: dict[int, Address] = {}
        self._answering = self._seeds[0]  # the server that listed the slots last
        self._learning = asyncio.Lock()
        self._learnt = 0  # how often the slots were listed
        for seed in self._seeds:
            self._node(seed)

    async def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        """Run a script on the server of its keys, which lie in one slot. Raises what Redis says, or `TimeoutError`."""
        slot, end = key_slot(keys[0]), asyncio.get_running_loop().time() + self._within
        if slot not in self._slots:
            async with asyncio.timeout_at(end):
                await self._learn(self._learnt)
        address, learnt = self._address(slot), self._learnt
        try:
            return await self._node(address).run(script, keys, arguments)
        except _ELSEWHERE as error:
            failure: Exception = error
        # Only now a time limit for all attempts together: the batcher has its own for each, and most need one attempt.
        async with asyncio.timeout_at(end):
            for left in reversed(range(TRIES - 1)):
                if isinstance(failure, exceptions.AskError) and not isinstance(failure, exceptions.MovedError):
                    there = self._node(_elsewhere(failure, address))
                    return await there.run(script, keys, arguments, asking=True)
                await self._follow(slot, failure, address, learnt)
                address, learnt = self._address(slot), self._learnt
                try:
                    return await self._node(address).run(script, keys, arguments)
                except _ELSEWHERE as error:
                    if not left:
                        raise
                    failure = error
        raise AssertionError("the last attempt returns or raises")

    async def _follow(self, slot: int, failure: Exception, address: Address, learnt: int) -> None:
        """Prepare the next attempt, after one that another server, or the same one later, may answer."""
        if isinstance(failure, exceptions.MovedError):
            self._slots[slot] = _elsewhere(failure, address)
            return
        await asyncio.sleep(RETRY_PAUSE)
        if not isinstance(failure, exceptions.TryAgainError):
            await self._learn(learnt, address)

    def _address(self, slot: int) -> Address:
        if slot not in self._slots:
            raise exceptions.ClusterDownError(f"no server has slot {slot}")
        return self._slots[slot]

    async def any(self) -> Redis:
        """A server that answers."""
        await self._learn(self._learnt)
        return self._node(self._answering).server

    async def aclose(self) -> None:
        """Close the connections to all servers."""
        for node in list(self._nodes.values()):
            await node.aclose()

    def _node(self, address: Address) -> Batcher:
        if address not in self._nodes:
            host, port = address
            netloc = f"{self._login}[{host}]:{port}" if ":" in host else f"{self._login}{host}:{port}"
            self._nodes[address] = self._make(self._parts._replace(netloc=netloc).geturl())
        return self._nodes[address]

    async def _learn(self, learnt: int, failed: Address | None = None) -> None:
        """Have a server list the slots, trying one after the other, unless the count has risen above `learnt`."""
        async with self._learning:
            if self._learnt != learnt:
                return
            failure: Exception = exceptions.ClusterDownError("no server of the cluster answers")
            # First the servers that had slots last time, because a seed may have left the cluster. Last the server that
            # has just failed, because there may be no time to find out twice that it is silent.
            known = dict.fromkeys([*self._slots.values(), *self._seeds])
            for address in sorted(known, key=lambda each: each == failed):
                try:
                    found = await cast("Any", self._node(address).server).execute_command("CLUSTER", "SLOTS")
                except (exceptions.RedisError, OSError) as error:
                    failure = error
                    continue
                slots = {
                    slot: ((primary[0] or b"").decode() or address[0], int(primary[1]))
                    for first, last, primary, *_ in found
                    for slot in range(first, last + 1)
                }
                if slots:
                    self._slots = slots
                    self._answering = address
                    self._learnt += 1
                    await self._part()
                    return
            raise failure

    async def _part(self) -> None:
        """Close the connections to servers that have left the cluster; while one still has scripts, do so next time."""
        for address in self._nodes.keys() - {*self._slots.values(), *self._seeds, self._answering}:
            if not self._nodes[address].busy:
                with suppress(exceptions.RedisError):  # one that fell silent
                    await self._nodes.pop(address).aclose()


def _elsewhere(redirection: exceptions.AskError, here: Address) -> Address:
    host: str = cast("Any", redirection).host
    return host or here[0], redirection.port


def _address(host: str) -> Address:
    parts = urlsplit(f"//{host}")
    return parts.hostname or "127.0.0.1", parts.port or 6379

"""Finds the server of a Redis cluster that holds a key, and finds it anew when the cluster changes.

Our own client instead of redis-py's, for two reasons. All we send are scripts whose keys lie in one slot, which makes
it short. And when one command fails, redis-py's disconnects the commands of others on the same server.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import Redis
from redis.crc import key_slot

TRIES = 4
"""How often a command is sent while the cluster changes; a failover that takes longer is left to the caller."""
RETRY_PAUSE = 0.1
"""Seconds before the next try when no server serves the slot at the moment."""

_ASTRAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
)

Address = tuple[str, int]
Send = Callable[[Redis, bool], Awaitable[Any]]


class RedisCluster:
    """The servers of a cluster and their slots. `redis[s]+cluster://[user:password@]host:port[,host:port…]`

    `make` makes a client for the URL of one server.
    """

    def __init__(self, url: str, make: Callable[[str], Redis]) -> None:
        parts = urlsplit(url.replace("+cluster://", "://", 1))
        user, at, hosts = parts.netloc.rpartition("@")
        self._url = parts._replace(netloc=f"{user}{at}{{}}", path="").geturl()
        self._make = make
        self._seeds = [_address(host) for host in hosts.split(",")]
        self._servers: dict[Address, Redis] = {}
        self._slots: dict[int, Address] = {}
        self._answering = self._seeds[0]  # the server that listed the slots last
        self._learning = asyncio.Lock()
        self._learnt = 0  # how often the slots were listed
        for seed in self._seeds:
            self._server(seed)

    async def send(self, key: bytes, send: Send) -> Any:
        """Send a command to the server of a key: `send(server, asking)`, `asking` while the key is moving there."""
        slot = key_slot(key)
        for left in reversed(range(TRIES)):
            learnt = self._learnt
            if slot not in self._slots:
                await self._learn(learnt)
            if slot not in self._slots:
                raise exceptions.ClusterDownError(f"no server has slot {slot}")
            address = self._slots[slot]
            try:
                return await send(self._server(address), False)
            except exceptions.MovedError as moved:
                self._slots[slot] = _elsewhere(moved, address)
                if not left:
                    raise
            except exceptions.AskError as ask:
                return await send(self._server(_elsewhere(ask, address)), True)
            except _ASTRAY:
                if not left:
                    raise
                await asyncio.sleep(RETRY_PAUSE)
                await self._learn(learnt, address)
            except exceptions.TryAgainError:
                if not left:
                    raise
                await asyncio.sleep(RETRY_PAUSE)
        raise AssertionError("the last try returns or raises")

    async def any(self) -> Redis:
        """A server that answers."""
        await self._learn(self._learnt)
        return self._server(self._answering)

    async def aclose(self) -> None:
        """Close the connections to all servers."""
        for server in list(self._servers.values()):
            await server.aclose()

    def _server(self, address: Address) -> Redis:
        if address not in self._servers:
            host, port = address
            self._servers[address] = self._make(
                self._url.format(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            )
        return self._servers[address]

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
                    found = await cast("Any", self._server(address)).execute_command("CLUSTER", "SLOTS")
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
                    return
            raise failure


def _elsewhere(redirection: exceptions.AskError, here: Address) -> Address:
    host: str = cast("Any", redirection).host
    return host or here[0], redirection.port


def _address(host: str) -> Address:
    parts = urlsplit(f"//{host}")
    return parts.hostname or "127.0.0.1", parts.port or 6379

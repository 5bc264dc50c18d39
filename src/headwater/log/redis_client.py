"""A Redis or Valkey server, or a cluster of them, reached by URL: runs scripts, with time limits, and says in plain
words why it could not.

A script that got no answer is sent a second time, which is safe because every step may be run twice.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from headwater.errors import StoreError
from headwater.log.redis_script import Argument, Script

TIMEOUT = 2.0
"""Seconds in which Redis must accept a connection, and answer a command."""
DEADLINE = 4.5
"""Seconds for one step with its second try; below a writer's patience, so that it learns why."""
CONNECTIONS = 32
"""Connections per process; more commands than that at once wait for one. A script takes Redis some 50 µs."""


class Unanswered(StoreError):
    """Redis gave no answer, or is not itself at the moment; the same question may be answered soon."""


_UNREACHABLE = "Redis cannot be reached"
_PASSING: list[tuple[type[Exception], str]] = [
    (exceptions.BusyLoadingError, "Redis has just started and is loading its data"),
    (exceptions.MaxConnectionsError, "Redis is being asked too much at once"),
    (exceptions.ReadOnlyError, "Redis is a replica that takes no writes; there was a failover, or the URL is wrong"),
    (exceptions.ClusterDownError, "a part of the Redis cluster is down"),
    (exceptions.TryAgainError, "the Redis cluster is moving these keys"),
    (exceptions.SlotNotCoveredError, "a part of the Redis cluster is down"),
    (exceptions.TimeoutError, f"Redis did not answer within {TIMEOUT:g} s"),
    (exceptions.ConnectionError, _UNREACHABLE),
    (exceptions.RedisClusterException, "the Redis cluster cannot be reached"),
    (OSError, _UNREACHABLE),
]
_LASTING: list[tuple[type[Exception], str]] = [
    (exceptions.AuthenticationError, "Redis refuses the user name or the password"),
    (exceptions.AuthenticationWrongNumberOfArgsError, "Redis refuses the user name or the password"),
    (exceptions.NoPermissionError, "Redis does not let this user run the commands it takes"),
    (exceptions.OutOfMemoryError, "Redis is out of memory (its `maxmemory`)"),
    (exceptions.ClusterCrossSlotError, "the Redis cluster keeps these keys on different servers"),
    (exceptions.MovedError, "this Redis is part of a cluster; its URL must begin with redis+cluster://"),
    (exceptions.RedisError, "Redis refused"),
]


class RedisClient:
    """The connections of one process to one store; nothing is connected before the first script."""

    def __init__(self, url: str) -> None:
        self.clustered = urlsplit(url).scheme in ("redis+cluster", "rediss+cluster")
        self._closed = False
        self._turns = asyncio.Semaphore(CONNECTIONS)
        # Two tries by our own rule: the library's default waits for seconds in between.
        self._options: dict[str, Any] = {
            "protocol": 2,  # one form of replies, whatever the library's next default is
            "socket_timeout": TIMEOUT,
            "socket_connect_timeout": TIMEOUT,
            "retry": Retry(ConstantBackoff(0.05), 1),
        }
        try:
            self._redis = self._cluster(url) if self.clustered else self._single(url)
        except (ValueError, exceptions.RedisError, exceptions.RedisClusterException) as error:
            raise StoreError(f"the URL of the Redis store cannot be used: {error}") from error

    async def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        """Run a script on the server that has these keys. Raises `StoreError`, or `Unanswered` if it may pass."""
        if self._closed:
            raise StoreError("the store was closed")
        try:
            async with asyncio.timeout(DEADLINE), self._turns:
                try:
                    return await self._execute("EVALSHA", script.digest, len(keys), *keys, *arguments)
                except exceptions.NoScriptError:
                    # Never heard of, or forgotten in a restart; this makes Redis remember it.
                    return await self._execute("EVAL", script.text, len(keys), *keys, *arguments)
        except TimeoutError as error:
            raise Unanswered(f"Redis did not answer within {DEADLINE:g} s") from error
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
            if isinstance(error, exceptions.ReadOnlyError):
                await self._reconnect()
            _raise(error)

    async def connect(self) -> AbstractConnection:
        """A connection of its own, for who subscribes to channels; in a cluster any server passes on all messages."""
        try:
            async with asyncio.timeout(DEADLINE):
                if isinstance(self._redis, RedisCluster):
                    await self._redis.initialize()
                    node = self._redis.get_random_node()
                    connection = node.connection_class(**node.connection_kwargs)
                else:
                    connection = self._redis.connection_pool.make_connection()
                connection = cast("AbstractConnection", connection)
                await connection.connect()
                return connection
        except TimeoutError as error:
            raise Unanswered(f"Redis did not answer within {DEADLINE:g} s") from error
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
            _raise(error)

    async def aclose(self) -> None:
        """Close the connections; whatever comes afterwards is refused. May be called again."""
        self._closed = True
        await self._redis.aclose()

    async def _execute(self, *command: Argument) -> Any:
        return await cast("Any", self._redis).execute_command(*command)

    async def _reconnect(self) -> None:
        """Let go of the connections at rest, which all lead to a server that is no longer the primary."""
        if isinstance(self._redis, Redis):
            await self._redis.connection_pool.disconnect(inuse_connections=False)

    def _single(self, url: str) -> Redis:
        pool = ConnectionPool.from_url(url, **self._options)  # pyright: ignore[reportUnknownMemberType]
        pool.connection_kwargs |= self._options  # the URL's own options must not undo these
        return Redis.from_pool(pool)

    def _cluster(self, url: str) -> RedisCluster:
        plain = url.replace("+cluster://", "://", 1)
        return RedisCluster.from_url(plain, **self._options)


def _raise(error: Exception) -> NoReturn:
    # The lasting ones first where a class is both: a refused password is a kind of connection error, for one.
    for known, kind in (*((each, StoreError) for each in _LASTING[:-1]), *((each, Unanswered) for each in _PASSING)):
        if isinstance(error, known[0]):
            raise kind(f"{known[1]}: {error}") from error
    raise StoreError(f"{_LASTING[-1][1]}: {error}") from error

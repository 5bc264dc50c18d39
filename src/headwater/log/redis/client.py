"""A Redis or Valkey server, or a cluster of them, reached by URL: runs scripts, with time limits, and says in plain
words why it could not.

A single server gets scripts together (`redis_together.py`), each server of a cluster one by one. A script that got no
answer is sent a second time, which is safe because every step may be run twice.
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from headwater.errors import StoreError
from headwater.log.lua.script import Argument, Script
from headwater.log.redis.cluster import RedisCluster
from headwater.log.redis.together import CONNECTIONS, DEADLINE, Together

TIMEOUT = 2.0
"""Seconds in which Redis must accept a connection, and answer a command."""


class Unanswered(StoreError):
    """Redis gave no answer, or is not itself at the moment; the same question may be answered soon."""


_UNREACHABLE = "Redis cannot be reached"
_UNTRUSTED = "Redis shows a certificate that is not trusted here (?ssl_ca_certs=/path in its URL names whom to trust)"
_PASSING: list[tuple[type[Exception], str]] = [
    (exceptions.BusyLoadingError, "Redis has just started and is loading its data"),
    (exceptions.ReadOnlyError, "Redis is a replica that takes no writes; there was a failover, or the URL is wrong"),
    (exceptions.ClusterDownError, "a part of the Redis cluster is down"),
    (exceptions.TryAgainError, "the Redis cluster is moving these keys"),
    (exceptions.TimeoutError, f"Redis did not answer within {TIMEOUT:g} s"),
    (exceptions.ConnectionError, _UNREACHABLE),
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
            self._redis = RedisCluster(url, self._single) if self.clustered else self._single(url)
        except (ValueError, TypeError, exceptions.RedisError) as error:
            raise StoreError(f"the URL of the Redis store cannot be used: {error}") from error
        # Of a single server only.
        self._together = (
            Together(self._redis.connection_pool, TIMEOUT, _told) if isinstance(self._redis, Redis) else None
        )

    async def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        """Run a script on the server that has these keys. Raises `StoreError`, or `Unanswered` if it may pass."""
        if self._closed:
            raise StoreError.closed()
        if self._together is not None:
            return await self._together.run(script, keys, arguments)
        return await self._run_in_cluster(script, keys, arguments)

    async def connect(self) -> AbstractConnection:
        """A connection of its own, for who subscribes to channels; in a cluster any server passes on all messages."""
        try:
            async with asyncio.timeout(DEADLINE):
                server = await self._redis.any() if isinstance(self._redis, RedisCluster) else self._redis
                connection = server.connection_pool.make_connection()
                try:
                    await connection.connect()
                except BaseException:
                    await connection.disconnect(nowait=True)
                    raise
                return connection
        except (exceptions.RedisError, OSError) as error:
            raise _told(error) from error

    def refuse(self) -> None:
        """Run no more scripts; those that run may end."""
        self._closed = True

    async def aclose(self) -> None:
        """Close the connections; whatever comes afterwards is refused. May be called again."""
        self.refuse()
        if self._together is not None:
            await self._together.aclose()
        await self._redis.aclose()

    async def _run_in_cluster(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        async def send(server: Redis, asking: bool) -> Any:
            try:
                return await _execute(server, asking, "EVALSHA", script.digest, len(keys), *keys, *arguments)
            except exceptions.NoScriptError:
                # Never heard of, or forgotten in a restart; this makes Redis remember it.
                return await _execute(server, asking, "EVAL", script.text, len(keys), *keys, *arguments)

        assert isinstance(self._redis, RedisCluster)
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        try:
            async with asyncio.timeout(DEADLINE), self._turns:
                answer = await self._redis.send(keys[0], send)
            if task and task.cancelling() > cancelled:
                # Before Python 3.12 `asyncio.wait_for`, which the library uses, can swallow it.
                raise asyncio.CancelledError
            return answer
        except (exceptions.RedisError, OSError) as error:
            raise _told(error) from error

    def _single(self, url: str) -> Redis:
        pool = ConnectionPool.from_url(url, **self._options)  # pyright: ignore[reportUnknownMemberType]
        pool.connection_kwargs |= self._options  # the URL's own options must not undo these
        pool.make_connection()  # which connects to nothing, but refuses options that do not exist
        return Redis.from_pool(pool)


async def _execute(server: Redis, asking: bool, *command: Argument) -> Any:
    if not asking:
        return await cast("Any", server).execute_command(*command)
    # The permission to use a key that is being moved holds for the next command on the same connection.
    pipeline = cast("Any", server.pipeline(transaction=False))
    pipeline.execute_command("ASKING")
    pipeline.execute_command(*command)
    return (await pipeline.execute())[1]


def _told(error: BaseException) -> StoreError:
    """What a caller is told of a failure: an error of their own, for those of a batch share the reason."""
    told = StoreError(f"Redis could not be asked: {error!r}")
    # The library calls a refused password a connection error, and tells the reason as its cause.
    reason = error.__cause__ if isinstance(error.__cause__, exceptions.RedisError) else error
    if isinstance(error, StoreError):
        told = StoreError(str(error))
    elif isinstance(error, TimeoutError):
        told = Unanswered(f"Redis did not answer within {DEADLINE:g} s")
    elif isinstance(error.__context__, ssl.SSLCertVerificationError):
        told = StoreError(f"{_UNTRUSTED}: {error}")
    else:
        for kind, known in ((StoreError, _LASTING[:-1]), (Unanswered, _PASSING), (StoreError, _LASTING[-1:])):
            words = next((words for failure, words in known if isinstance(reason, failure)), None)
            if words is not None:
                told = kind(f"{words}: {error}")
                break
    told.__cause__ = error
    return told

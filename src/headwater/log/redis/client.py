"""A Redis or Valkey server, or a cluster of them, reached by URL: runs scripts within time limits, explains failures.

Each server, also of a cluster, gets its scripts in batches (`batcher.py`). A script that got no answer is sent a second
time, which is safe because every step may run twice.
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from headwater.errors import StoreError
from headwater.log.lua.script import Argument, Script
from headwater.log.redis.batcher import Batcher
from headwater.log.redis.cluster import RedisCluster
from headwater.log.redis.times import RedisTimes


class Unanswered(StoreError):
    """Redis gave no answer, or cannot serve at the moment; a retry may succeed soon."""


_UNREACHABLE = "Redis cannot be reached"
_UNTRUSTED = "Redis shows a certificate that is not trusted here (?ssl_ca_certs=/path in its URL names whom to trust)"
_PASSING: list[tuple[type[Exception], str]] = [
    (exceptions.BusyLoadingError, "Redis has just started and is loading its data"),
    (exceptions.ReadOnlyError, "Redis is a replica that takes no writes; there was a failover, or the URL is wrong"),
    (exceptions.ClusterDownError, "a part of the Redis cluster is down"),
    (exceptions.TryAgainError, "the Redis cluster is moving these keys"),
    (exceptions.TimeoutError, "Redis did not answer in time"),
    (exceptions.ConnectionError, _UNREACHABLE),
    (OSError, _UNREACHABLE),
]
_LASTING: list[tuple[type[Exception], str]] = [
    (exceptions.AuthenticationError, "Redis refuses the user name or the password"),
    (exceptions.AuthenticationWrongNumberOfArgsError, "Redis refuses the user name or the password"),
    (exceptions.NoPermissionError, "this user of Redis may not run the commands that Headwater needs"),
    (exceptions.OutOfMemoryError, "Redis is out of memory (its `maxmemory`)"),
    (exceptions.ClusterCrossSlotError, "the Redis cluster keeps these keys on different servers"),
    (exceptions.MovedError, "this Redis is part of a cluster; its URL must begin with redis+cluster://"),
    (exceptions.RedisError, "Redis refused"),
]


class RedisClient:
    """The connections of one process to one Redis store, at most `connections` to a server; none before a script."""

    def __init__(self, url: str, times: RedisTimes, connections: int) -> None:
        self.clustered = urlsplit(url).scheme in ("redis+cluster", "rediss+cluster")
        self._times = times
        self._closed = False
        self._connections = connections
        self._options: dict[str, Any] = {
            "protocol": 2,  # one form of replies, whatever the next default of redis-py is
            "decode_responses": False,
            "socket_timeout": times.answer_within,
            "socket_connect_timeout": times.answer_within,
            "retry": Retry(ConstantBackoff(0.05), 1),  # the default of redis-py waits for seconds in between
        }
        try:
            self._redis = RedisCluster(url, self._server, times.finish_within) if self.clustered else self._server(url)
        except (ValueError, TypeError, exceptions.RedisError) as error:
            raise StoreError(f"the URL of the Redis store cannot be used: {error}") from error

    async def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        """Run a script on the server that has these keys. Raises `StoreError`, or `Unanswered` if a retry may help."""
        if self._closed:
            raise StoreError.closed()
        try:
            return await self._redis.run(script, keys, arguments)
        except Exception as error:  # whatever it is, each caller gets its own in plain words
            raise self._failure(error) from error

    async def connect(self) -> AbstractConnection:
        """Open a connection for pub/sub; in a cluster to any server, because all of them pass on every message."""
        try:
            async with asyncio.timeout(self._times.finish_within):
                connection = (await self._redis.any()).connection_pool.make_connection()
                try:
                    await connection.connect()
                except BaseException:
                    await connection.disconnect(nowait=True)
                    raise
                return connection
        except (exceptions.RedisError, OSError) as error:
            raise self._failure(error) from error

    def refuse(self) -> None:
        """Run no more scripts; those under way may finish."""
        self._closed = True

    async def aclose(self) -> None:
        """Close the connections; later scripts are refused. May be called again."""
        self.refuse()
        await self._redis.aclose()

    def _server(self, url: str) -> Batcher:
        pool = ConnectionPool.from_url(url, **self._options)  # pyright: ignore[reportUnknownMemberType]
        pool.connection_kwargs |= self._options  # options in the URL must not undo these
        pool.make_connection()  # connects to nothing, but refuses options that do not exist
        return Batcher(Redis.from_pool(pool), self._times, self._connections)

    def _failure(self, error: BaseException) -> StoreError:
        failure = StoreError(f"Redis failed: {error!r}")
        # redis-py reports a refused password as a connection error, with the reason as its cause.
        reason = error.__cause__ if isinstance(error.__cause__, exceptions.RedisError) else error
        if isinstance(error, StoreError):
            failure = StoreError(str(error))
        elif isinstance(error, TimeoutError):
            failure = Unanswered(f"Redis did not answer within {self._times.finish_within:g} s")
        elif isinstance(error.__context__, ssl.SSLCertVerificationError):
            failure = StoreError(f"{_UNTRUSTED}: {error}")
        else:
            for kind, known in ((StoreError, _LASTING[:-1]), (Unanswered, _PASSING), (StoreError, _LASTING[-1:])):
                sentence = next((sentence for failed, sentence in known if isinstance(reason, failed)), None)
                if sentence is not None:
                    failure = kind(f"{sentence}: {error}")
                    break
        return failure

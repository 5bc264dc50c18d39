"""Sends the scripts of one event loop iteration to a Redis server as one batch: one connection, one write.

A script alone would cost a connection from the pool, a write and time limits of its own, which take far more time here
than the script takes in Redis. Writers flush at a common moment, so a busy process has dozens of scripts at once. No
script waits for others: a batch is what was requested in one loop iteration, or until a connection was free.

Claims and reads never queue behind flushes: each lane of scripts has its own batches, and flushes may use a few of the
connections only. More would not make Redis faster, which runs one script at a time, but fill its queue.

A script that got no answer is sent a second time, which is safe because every step may run twice. A script that got its
answer is not sent again, whatever happens to the others of its batch.
"""

import asyncio
import copy
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Any, cast

import hiredis
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from headwater.errors import StoreError
from headwater.log.lua.script import Argument, Lane, Script
from headwater.log.redis.times import RedisTimes

BATCH_SCRIPTS = 64
"""Scripts in one batch, at most: Redis runs them all, some 3 ms, before it serves any other client."""
LARGE_SCRIPTS = 8
"""The same for scripts with replies of up to 256 kB. These get batches of their own, so that small replies do not wait
behind them."""
BATCH_BYTES = 1024 * 1024
"""Bytes in one batch, at most, unless a single script is larger."""
FLUSH_CONNECTIONS = 4
"""Connections that are used for flushes at the same time, at most."""
JOIN_WITHIN = 0.5
"""Seconds for which a batch that waits for a connection takes in more scripts; they share its time limit."""


class _Request:
    """One script on its way, and the caller that waits for its answer."""

    __slots__ = ("answer", "arguments", "asking", "full", "packed", "refusal", "script")

    def __init__(
        self, script: Script, arguments: Sequence[Argument], answer: asyncio.Future[Any], asking: bytes
    ) -> None:
        self.script = script
        self.arguments = arguments
        self.asking = asking
        self.packed = asking + _packed("EVALSHA", script.digest, *arguments)
        self.answer = answer
        self.refusal: Exception | None = None
        self.full = False

    def send_in_full(self) -> None:
        """Send the text of the script next time: Redis does not know the digest, or forgot it in a restart."""
        self.full = True
        self.packed = self.asking + _packed("EVAL", self.script.text, *self.arguments)

    @property
    def pending(self) -> bool:
        """Whether it is still to be sent: neither answered nor refused, and its caller not cancelled."""
        return self.refusal is None and not self.answer.done()


class _Batch:
    """The requests that go out in one write."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.requests: list[_Request] = []
        self.size = 0

    def has_room(self, request: _Request, now: float) -> bool:
        """Whether it may take one more request."""
        most = LARGE_SCRIPTS if request.script.lane == "large" else BATCH_SCRIPTS
        fits = len(self.requests) < most and self.size + len(request.packed) <= BATCH_BYTES
        return fits and now - self.begun < JOIN_WITHIN


class Batcher:
    """Runs scripts on one Redis server in batches, each sent by a task of its own. For one event loop."""

    def __init__(self, server: Redis, times: RedisTimes, connections: int) -> None:
        self.server = server
        self._pool = server.connection_pool
        self._times = times
        self._permits = asyncio.Semaphore(connections)
        self._flush_permits = asyncio.Semaphore(max(min(FLUSH_CONNECTIONS, connections - 1), 1))
        self._filling: dict[Lane, _Batch] = {}  # not sent yet
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument], *, asking: bool = False
    ) -> Any:
        """Run a script. Raises what Redis says, `TimeoutError`, or `StoreError` when this was closed meanwhile.

        `asking` permits the use of keys that are being moved to this server of a cluster.
        """
        loop = asyncio.get_running_loop()
        request = _Request(script, (len(keys), *keys, *arguments), loop.create_future(), _ASKING if asking else b"")
        batch, now = self._filling.get(script.lane), loop.time()
        if batch is None or not batch.has_room(request, now):
            batch = self._filling[script.lane] = _Batch(now)
            task = loop.create_task(self._deliver(batch, script.lane), name="redis batch")
            self._tasks.add(task)
            task.add_done_callback(lambda task, batch=batch: self._delivered(batch, task))
        batch.requests.append(request)
        batch.size += len(request.packed)
        return await request.answer

    @property
    def busy(self) -> bool:
        """Whether scripts are under way."""
        return bool(self._tasks)

    async def any(self) -> Redis:
        """The server, as one of a cluster would be given."""
        return self.server

    async def aclose(self) -> None:
        """Close the connections. Batches under way are cancelled; their callers hear that the store was closed."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            # Repeatedly, because before Python 3.12 redis-py, by `asyncio.wait_for`, can swallow a cancellation.
            await asyncio.wait(self._tasks, timeout=0.1)
        await self.server.aclose()

    async def _deliver(self, batch: _Batch, lane: Lane) -> None:
        flush = self._flush_permits if lane == "flush" else nullcontext()
        async with asyncio.timeout(self._times.finish_within), flush, self._permits:
            self._close(batch)
            connection = await self._pool.get_connection()
            try:
                connection.socket_timeout = None  # one time limit for all replies; one for each costs as much again
                while any(each.pending for each in batch.requests):
                    await connection.retry.call_with_retry(
                        lambda: self._exchange(connection, batch), lambda _: connection.disconnect(nowait=True)
                    )
            finally:
                connection.socket_timeout = self._times.answer_within
                await self._pool.release(connection)
            if any(isinstance(each.refusal, exceptions.ReadOnlyError) for each in batch.requests):
                # After a failover the idle connections lead to the former primary as well.
                await self._pool.disconnect(inuse_connections=False)

    async def _exchange(self, connection: AbstractConnection, batch: _Batch) -> None:
        """Send the pending requests, and give each caller its answer as it arrives."""
        sent = [each for each in batch.requests if each.pending]
        limit = self._times.answer_within
        try:
            async with asyncio.timeout(limit):
                await connection.send_packed_command([each.packed for each in sent])
                for each in sent:
                    if each.asking:
                        with suppress(exceptions.ResponseError):
                            await connection.read_response()
                    try:
                        answer = cast("Any", await connection.read_response())
                    except exceptions.NoScriptError as error:
                        if each.full:
                            each.refusal = error
                        else:
                            each.send_in_full()
                    except exceptions.ResponseError as error:
                        each.refusal = error
                    else:
                        if not each.answer.done():
                            each.answer.set_result(answer)
        except TimeoutError:
            raise exceptions.TimeoutError(f"no answer for {limit:g} s") from None

    def _close(self, batch: _Batch) -> None:
        """Let no more requests into the batch."""
        for lane, filling in list(self._filling.items()):
            if filling is batch:
                del self._filling[lane]

    def _delivered(self, batch: _Batch, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._close(batch)
        failure = StoreError.closed() if task.cancelled() else task.exception()
        for each in batch.requests:
            reason = each.refusal or failure
            if reason is not None and not each.answer.done():
                each.answer.set_exception(_copied(reason))
                each.answer.exception()  # retrieved here, because the caller may be cancelled in this iteration


def _copied(error: BaseException) -> BaseException:
    """An error of its own for one caller, with what brought it about: raising one adds the caller's traceback."""
    copied = copy.copy(error)
    copied.__cause__, copied.__context__ = error.__cause__, error.__context__
    return copied


def _packed(*command: Argument) -> bytes:
    # The same bytes as the connection's own packing, which is pure Python, at a quarter of the cost.
    packed: bytes = cast("Any", hiredis).pack_command(command)
    return packed


_ASKING = _packed("ASKING")

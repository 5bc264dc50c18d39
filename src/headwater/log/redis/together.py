"""Scripts that are asked for in the same moment go to a Redis server together, on one connection, in one write.

Each of them alone would pay for a connection out of the pool, a write, and time limits of its own, which cost far more
here than the script does there. Writers flush on a shared beat, so a busy process asks for dozens at once. Nothing
waits for company: what is asked for while the loop has not come round, or no connection is free, is company.

A script that got no answer is sent a second time, which is safe because every step may be run twice; one that got its
answer is not, whatever becomes of the others.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
from redis import exceptions
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection

from headwater.errors import StoreError
from headwater.log.lua.script import Argument, Script

DEADLINE = 4.5
"""Seconds for one step with its second try; below a writer's patience, so that it learns why."""
CONNECTIONS = 32
"""Connections per process; what is asked for beyond them waits for one. A script takes Redis some 50 µs."""
MANY = 64
"""Scripts in one write, at most: Redis runs them all before it serves anybody else, some 3 ms."""
FEW = 8
"""As many of those whose answers are large, up to 256 kB each; they keep to themselves, so that nobody queues behind
megabytes for a word."""
ROOM = 1024 * 1024
"""Bytes in one write, at most; or one script, if that is larger."""
JOIN = 0.5
"""Seconds for which a batch that waits for a connection takes in more; those share its deadline."""


class _Asked:
    """One script on its way, and the caller who waits for its answer."""

    __slots__ = ("answer", "arguments", "packed", "refusal", "script", "taught")

    def __init__(self, script: Script, arguments: Sequence[Argument], answer: asyncio.Future[Any]) -> None:
        self.script = script
        self.arguments = arguments
        self.packed = _packed("EVALSHA", script.digest, *arguments)
        self.answer = answer
        self.refusal: Exception | None = None
        self.taught = False

    def teach(self) -> None:
        """Send the text the next time: Redis has never heard of the script, or forgot it in a restart."""
        self.taught = True
        self.packed = _packed("EVAL", self.script.text, *self.arguments)

    @property
    def waits(self) -> bool:
        """Whether it is still to be sent: neither answered nor refused, nor was its caller cancelled."""
        return self.refusal is None and not self.answer.done()


class _Batch:
    """The scripts that go out in one write."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.asked: list[_Asked] = []
        self.size = 0

    def takes(self, asked: _Asked, now: float) -> bool:
        """Whether there is room for one more."""
        most = FEW if asked.script.large else MANY
        return len(self.asked) < most and self.size + len(asked.packed) <= ROOM and now - self.begun < JOIN


class Together:
    """The scripts that this process asks of one server, in batches, each the care of a task. For one event loop.

    `timeout` is in how many seconds a batch must be answered. `told` makes a new error out of why a script failed.
    """

    def __init__(self, pool: ConnectionPool, timeout: float, told: Callable[[BaseException], StoreError]) -> None:
        self._pool = pool
        self._timeout = timeout
        self._told = told
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._gathering: dict[bool, _Batch] = {}  # not sent yet, by whether their answers are large
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        """Run a script. Raises what `told` made of the reason why not."""
        loop = asyncio.get_running_loop()
        asked = _Asked(script, (len(keys), *keys, *arguments), loop.create_future())
        batch, now = self._gathering.get(script.large), loop.time()
        if batch is None or not batch.takes(asked, now):
            batch = self._gathering[script.large] = _Batch(now)
            task = loop.create_task(self._deliver(batch), name="redis batch")
            self._tasks.add(task)
            task.add_done_callback(lambda task, batch=batch: self._delivered(batch, task))
        batch.asked.append(asked)
        batch.size += len(asked.packed)
        return await asked.answer

    async def aclose(self) -> None:
        """End what is under way; its callers are told that the store was closed."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            # Again and again, for before Python 3.12 `asyncio.wait_for`, which the library uses, can swallow it.
            await asyncio.wait(self._tasks, timeout=0.1)

    async def _deliver(self, batch: _Batch) -> None:
        async with asyncio.timeout(DEADLINE), self._turns:
            self._close(batch)
            connection = await self._pool.get_connection()
            try:
                connection.socket_timeout = None  # one limit for all answers and not one for each, which costs as much
                while any(each.waits for each in batch.asked):
                    await connection.retry.call_with_retry(
                        lambda: self._exchange(connection, batch), lambda _: connection.disconnect(nowait=True)
                    )
            finally:
                connection.socket_timeout = self._timeout
                await self._pool.release(connection)
            if any(isinstance(each.refusal, exceptions.ReadOnlyError) for each in batch.asked):
                # The connections at rest lead to a server that is no longer the primary, too.
                await self._pool.disconnect(inuse_connections=False)

    async def _exchange(self, connection: AbstractConnection, batch: _Batch) -> None:
        """Send what is still to be sent, and hand each answer on as it comes."""
        sent = [each for each in batch.asked if each.waits]
        try:
            async with asyncio.timeout(self._timeout):
                await connection.send_packed_command([each.packed for each in sent])
                for each in sent:
                    try:
                        answer = cast("Any", await connection.read_response())
                    except exceptions.NoScriptError as error:
                        if each.taught:
                            each.refusal = error
                        else:
                            each.teach()
                    except exceptions.ResponseError as error:
                        each.refusal = error
                    else:
                        if not each.answer.done():
                            each.answer.set_result(answer)
        except TimeoutError:
            raise exceptions.TimeoutError(f"no answer for {self._timeout:g} s") from None

    def _close(self, batch: _Batch) -> None:
        """Take nobody in any more."""
        for large in (False, True):
            if self._gathering.get(large) is batch:
                del self._gathering[large]

    def _delivered(self, batch: _Batch, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._close(batch)
        failure = StoreError.closed() if task.cancelled() else task.exception()
        for each in batch.asked:
            reason = each.refusal or failure
            if reason is not None and not each.answer.done():
                each.answer.set_exception(self._told(reason))
                each.answer.exception()  # heard, also when its caller was cancelled in this very turn


def _packed(*command: Argument) -> bytes:
    # What the connection's own packing, which is not written in C, would make of it, at a quarter of the cost.
    packed: bytes = cast("Any", hiredis).pack_command(command)
    return packed

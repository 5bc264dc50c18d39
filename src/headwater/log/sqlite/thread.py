"""A thread with its own SQLite connection, which runs steps for the event loop, many in one transaction.

Everything that waits when the thread is free goes into one transaction (a group commit). When fifty logs are written,
fifty appends cost one commit, and nearly always three statements: two that append
(`many.py`), and one that finds the logs which other processes read.

A refused step never rolls back its neighbours. If it had already changed rows, the batch is rolled back and repeated
with one savepoint for each step.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from headwater.errors import StoreError
from headwater.log.sqlite.file import BUSY_TIMEOUT, explain, primary_code
from headwater.log.sqlite.lock import FileLock
from headwater.log.sqlite.rows import Rows
from headwater.log.store import Receipt

TRANSACTION_STEPS = 256
"""Steps in one transaction, at most, which bounds how long other processes wait for theirs."""
TOGETHER_FROM = 4 if sqlite3.sqlite_version_info >= (3, 33) else TRANSACTION_STEPS + 1
"""Appends from which on two statements for all of them pay off; never where SQLite is too old for UPDATE … FROM."""

P = ParamSpec("P")
T = TypeVar("T")


class _Job(NamedTuple):
    step: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    answer: asyncio.Future[Any]

    def do(self, rows: Rows) -> Any:
        return self.step(rows, *self.args, **self.kwargs)


class _Outcome(NamedTuple):
    value: Any = None
    error: Exception | None = None


class SqliteThread:
    """Runs steps in order of arrival, in transactions. For one event loop.

    A thread that writes has the `lock` that all processes share, and takes it around each transaction; a thread without
    one reads. A transaction that another program delays is tried again until its callers have given up.

    The thread starts with the first step. It connects when there is something to do, and anew after a failure, so that
    a disk that comes back is used again, and when the file was replaced by another. At most `places` steps are queued,
    those of callers that gave up included; further callers wait. A caller waits `answer_within` seconds. Steps raise
    what the contract says, or `StoreError`. `started` is called with the first step, on the event loop.
    """

    def __init__(
        self,
        path: Path,
        connect: Callable[[], Rows],
        lock: FileLock | None = None,
        *,
        places: int = 1024,
        answer_within: float = 10.0,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        self._begin = "BEGIN" if lock is None else "BEGIN IMMEDIATE"
        self._path = path
        self._connect = connect
        self._lock = lock
        self._answer_within = answer_within
        self._started = started
        self._rows: Rows | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._places = asyncio.Semaphore(places)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    async def do(self, step: Callable[Concatenate[Rows, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one step; returns what it returned, once that is committed."""
        try:
            async with asyncio.timeout(self._answer_within):
                await self._places.acquire()  # released with the answer, whether the caller still waits or not
                if self._closed:
                    self._places.release()
                    raise StoreError.closed()
                loop = self._start()
                answer: asyncio.Future[T] = loop.create_future()
                self._jobs.put(_Job(step, args, kwargs, answer))
                return await answer
        except TimeoutError as late:
            raise StoreError(f"the store {self._path} has not answered for {self._answer_within:g} s") from late

    async def aclose(self) -> None:
        """Finish what was accepted, close the connection and end the thread. May be called again."""
        self._closed = True
        if self._thread is not None:
            thread, self._thread = self._thread, None
            self._jobs.put(None)
            await asyncio.to_thread(thread.join, self._answer_within)

    def _start(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            # A daemon, so that a program that forgot to close its store can exit.
            name = "sqlite reads" if self._lock is None else "sqlite writes"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()
            self._started()
        return self._loop

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._next_batch()
            if batch:
                self._deliver(batch, self._do_all(batch))
            del batch  # frees its entries while the thread waits
        self._disconnect()

    def _next_batch(self) -> tuple[list[_Job], bool]:
        batch: list[_Job] = []
        job = self._jobs.get()
        try:
            while job is not None:
                batch.append(job)
                if len(batch) == TRANSACTION_STEPS:
                    return batch, True
                job = self._jobs.get_nowait()
        except Empty:
            return batch, True
        return batch, False

    def _do_all(self, batch: list[_Job]) -> list[_Outcome]:
        try:
            if self._rows is not None and self._rows.db.moved:
                self._rows.db.abandon()
                self._disconnect()
            if self._rows is None:
                self._rows = self._connect()
            with self._lock or nullcontext():
                return self._transact(self._rows, batch)
        except Exception as error:  # noqa: BLE001 - if this thread died, no caller would get an answer
            # After anything but a lock, a new connection finds out the state of the file.
            waited = isinstance(error, sqlite3.Error) and primary_code(error) == sqlite3.SQLITE_BUSY
            if self._rows is not None and (self._rows.db.in_transaction or not waited):
                self._disconnect()
            return [_Outcome(error=self._failure(error)) for _ in batch]

    def _transact(self, rows: Rows, batch: list[_Job]) -> list[_Outcome]:
        self._begin_transaction(rows, batch)
        outcomes = self._do_quickly(rows, batch)
        if outcomes is None:
            rows.db.execute("ROLLBACK")
            self._begin_transaction(rows, batch)
            outcomes = [self._do_carefully(rows, job) for job in batch]
        rows.db.execute("COMMIT")
        return outcomes

    def _begin_transaction(self, rows: Rows, batch: list[_Job]) -> None:
        """Begin, and try again while a program without our lock holds SQLite's and a caller still waits."""
        give_up = time.monotonic() + self._answer_within - BUSY_TIMEOUT  # in time to say why
        while True:
            try:
                rows.db.execute(self._begin)
                return
            except sqlite3.OperationalError as error:
                waiting = not self._closed and not all(job.answer.done() for job in batch)
                if primary_code(error) != sqlite3.SQLITE_BUSY or not waiting or time.monotonic() >= give_up:
                    raise

    def _failure(self, error: Exception) -> StoreError:
        """A new error for one caller, because raising an exception adds the caller's traceback to it."""
        match error:
            case sqlite3.Error():
                failure = explain(self._path, error)
            case StoreError():
                failure = StoreError(str(error))
            case _:
                failure = StoreError(f"the store {self._path} failed: {error!r}")
        failure.__cause__ = error
        return failure

    def _do_quickly(self, rows: Rows, batch: list[_Job]) -> list[_Outcome] | None:
        """Run all steps without savepoints; None when a step changed rows and then failed."""
        before = rows.db.total_changes
        appends = [job for job in batch if job.step is Rows.append and job.args[0] and not job.answer.cancelled()]
        done: dict[int, Receipt] = {}
        if self._append_many(rows, appends):
            read = rows.read_elsewhere()
            done = {id(job): Receipt(readers=job.args[1].log in read) for job in appends}
        elif rows.db.total_changes != before:
            return None
        outcomes: list[_Outcome] = []
        for job in batch:
            before = rows.db.total_changes
            receipt = done.get(id(job))
            outcome = self._do_one(rows, job) if receipt is None else _Outcome(receipt)
            if outcome.error is not None and rows.db.total_changes != before:
                return None
            outcomes.append(outcome)
        return outcomes

    def _append_many(self, rows: Rows, appends: list[_Job]) -> bool:
        try:
            return len(appends) >= TOGETHER_FROM and rows.append_many([job.args for job in appends])
        except sqlite3.Error:
            raise
        except Exception:  # noqa: BLE001 - one append is invalid; repeating them one by one finds out which
            return False

    def _do_carefully(self, rows: Rows, job: _Job) -> _Outcome:
        rows.db.execute("SAVEPOINT step")
        outcome = self._do_one(rows, job)
        if outcome.error is not None:
            rows.db.execute("ROLLBACK TO step")
        rows.db.execute("RELEASE step")
        return outcome

    def _do_one(self, rows: Rows, job: _Job) -> _Outcome:
        if job.answer.cancelled():  # a claim, say, would open a log that its caller never learns of
            return _Outcome()
        try:
            return _Outcome(job.do(rows))
        except sqlite3.IntegrityError as error:  # this step met a row that it should not have met; others have not
            return _Outcome(error=self._failure(error))
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this caller alone
            return _Outcome(error=error)

    def _deliver(self, batch: list[_Job], outcomes: list[_Outcome]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._answer, batch, outcomes)

    def _answer(self, batch: list[_Job], outcomes: list[_Outcome]) -> None:
        for job, outcome in zip(batch, outcomes, strict=True):
            self._places.release()
            if job.answer.done():
                continue
            if outcome.error is None:
                job.answer.set_result(outcome.value)
            else:
                job.answer.set_exception(outcome.error)

    def _disconnect(self) -> None:
        if self._rows is not None:
            self._rows.db.close()
            self._rows = None
        if self._lock is not None:
            self._lock.close()

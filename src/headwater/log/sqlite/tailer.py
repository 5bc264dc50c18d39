"""Notices what other processes change in the file: one poll for everyone in this process, however many readers.

SQLite notifies nobody of a commit, but `PRAGMA data_version` says within two microseconds whether there was one. After
a commit one look at the open logs serves all: readers learn that their log has changed, writers that they were asked to
stop. A log whose counter stands still for the length of a lease has lost its writer, and so has one whose process is
dead. `lapses.py` has it sealed `lost`, whether anybody reads it or not; if it has a recovery, only when nobody took it
over in time. Readers and writers are only woken: each then looks for itself.

The poll also marks the logs that are followed here and written elsewhere, so that their writers flush often, and sweeps
what has expired. It never waits for the write lock: while others write, both come later, and the look must not.
"""

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from functools import partial
from typing import Literal, NamedTuple, ParamSpec

from headwater.errors import StoreError
from headwater.log.sqlite.file import BUSY_TIMEOUT, transaction
from headwater.log.sqlite.lapses import Lapses, Seal
from headwater.log.sqlite.lock import FileLock
from headwater.log.sqlite.owners import Owners
from headwater.log.sqlite.row import RELEASED, Pulse
from headwater.log.sqlite.rows import Rows
from headwater.log.store import Limits
from headwater.log.watchers import Waiter, Watchers

POLL_FOLLOWED = 0.008
"""Seconds between polls while somebody here waits for a log that is written elsewhere."""
POLL_WRITTEN = 0.05
"""Seconds between polls while a log is written here, because any process may ask it to stop."""
POLL_OWNERS = 0.2
"""Seconds between two looks at the processes that write open logs elsewhere."""
POLL_IDLE = 1.0
"""Seconds between polls otherwise."""
SWEEP_EVERY = 30.0
"""Seconds between two sweeps of what has expired."""
SWEEP_AGAIN = 1.0
"""Seconds until the next attempt when the file was being written, or takes no writes."""
CLOSE_WITHIN = 10.0
"""Seconds for which closing waits for the thread, which may itself be waiting for a lock."""
VACUUM_PAGES = 2048
"""Pages of 4 kB given back to the disk after a sweep, at most; the rest waits for the next one."""

MARK = 7.5
"""Seconds for which a log counts as read after a process has marked it; each renews its marks three times as often."""

Reason = Literal["stop", "gone", "read"]
"""Why a writer is woken: a stop was requested, the log is no longer open, or another process begins to read it."""

P = ParamSpec("P")

_log = logging.getLogger(__name__)


class _Watch(NamedTuple):
    pulse: Pulse
    since: float
    """When the pulse's beat was first seen, by the tailer's clock; a lease ago if its writer is known to be gone."""


class SqliteTailer:
    """The polling thread with its own connection, and the readers and writers it wakes. For one event loop.

    Its clock advances only while it polls, so that neither a clock that jumps nor a laptop that sleeps ends a lease.
    `seal` seals a log whose lease has lapsed. Once the file could not be watched for a lease, readers get an error.
    """

    def __init__(
        self, connect: Callable[[], Rows], limits: Limits, file_lock: FileLock, owners: Owners, seal: Seal
    ) -> None:
        self._lease = lease = limits.lease
        self.lapses = Lapses(seal, lease / 4, self.wake_readers)
        self._connect = connect
        self._file_lock = file_lock
        self._owners = owners
        self._takeover = limits.takeover
        self._slowest = min(POLL_IDLE, lease / 8)
        self._watchers: Watchers[Waiter] = Watchers()
        self._lock = threading.Lock()  # held by whoever changes the watchers, and by the thread when it copies them
        self._written: dict[str, int] = {}  # the epoch in which each log is written here, by who listened last
        self._woken: dict[str, Reason] = {}  # why each writer here was woken last, to wake it once for each reason
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._kick = threading.Event()  # ends the pause before the next poll
        self._look_now = threading.Event()  # makes the next poll look, whether anything was committed or not
        self._pause = 0.0  # as it was wanted last, without what `_run` adds to it
        self._closed = False
        # The thread's own from here on.
        self._rows: Rows | None = None
        self._version = 0
        self._seen: dict[str, _Watch] = {}
        self._marked: dict[str, float] = {}  # when each mark of a log that is followed here is due again
        self._now = 0.0
        self._polled = 0.0
        self._sweep_due = 0.0
        self._recoverable: dict[str, bool] = {}  # whether each log whose lease has lapsed has a recovery
        self._elsewhere: set[int] = set()  # the processes that write open logs elsewhere
        self._dead: set[int] = set()
        self._owners_due = 0.0

    def start(self) -> None:
        """Start the thread, unless it was started or closed."""
        if self._loop is None and not self._closed:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="sqlite tailer", daemon=True)
            self._thread.start()

    async def aclose(self) -> None:
        """End the thread and every wait. May be called again."""
        self._closed = True
        self._kick.set()
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.to_thread(thread.join, CLOSE_WITHIN)
        self._watchers.fail(StoreError.closed(), list(self._watchers.followers))

    @contextmanager
    def follow(self, log: str) -> Generator[Waiter, None, None]:
        """A waiter that is woken when the log may have changed."""
        waiter = Waiter()
        with self._lock:
            self._watchers.follow(log, waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                self._watchers.leave(log, waiter)

    def listen(self, log: str, epoch: int, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called when the log is asked to stop or taken away; returns what ends that."""
        with self._lock:
            self._written[log] = epoch
            cease = self._watchers.listen(log, wake, lambda: (self._woken.pop(log, None), self._written.pop(log, None)))
        self._woken.pop(log, None)  # a reason that this listener does not know
        self._look_now.set()  # the stop may have been requested already
        self._kick.set()

        def locked() -> None:
            with self._lock:
                cease()

        return locked

    def hurry(self) -> None:
        """Poll at the readers' pace from now on, because one of them begins to wait."""
        if self._pause > POLL_FOLLOWED:
            self._kick.set()

    def wake_readers(self, logs: Iterable[str]) -> None:
        """Wake those who follow these logs here. To be called on the event loop."""
        for log in logs:
            for waiter in self._watchers.followers.get(log, ()):
                waiter.wake()

    def wake_writer(self, log: str, why: Reason) -> None:
        """Wake the log's writer if it is here and was not woken for this reason. To be called on the event loop."""
        if log in self._watchers.listeners and (why == "read" or self._woken.get(log) != why):
            if why != "read":  # a log may be read, deserted and read again
                self._woken[log] = why
            self._watchers.wake_writer(log)

    def _run(self) -> None:
        failing: float | None = None
        self._polled = time.monotonic()
        while not self._closed:
            begin, opened = time.monotonic(), self._rows is not None
            try:
                self._poll()
                failing = None
            except Exception as error:  # noqa: BLE001 - if this thread died, readers would hang
                if failing is None:
                    _log.warning("logs of other processes cannot be watched for the moment: %s", error)
                    failing = begin
                elif begin - failing >= self._lease:
                    self._on_loop(self._fail_followers, StoreError(f"the store cannot be watched: {error}"))
                self._disconnect()
            # After a look that took long, at many logs, the pause is nine times as long: a tenth of a core at most.
            spent = time.monotonic() - begin if opened else 0.0  # to open the file is no look
            self._kick.wait(self._next_pause(min(9 * spent, POLL_IDLE) if failing is None else self._slowest))
            self._kick.clear()
        self._disconnect()

    def _next_pause(self, least: float) -> float:
        with self._lock:
            written, followed = self._watchers.listeners, self._watchers.followers
            if any(log not in written for log in followed):
                wanted = POLL_FOLLOWED
            else:
                wanted = POLL_WRITTEN if written else POLL_OWNERS if self._elsewhere else POLL_IDLE
            self._pause = min(wanted, self._slowest)
            return max(self._pause, least)

    def _poll(self) -> None:
        if self._rows is not None and self._rows.db.moved:
            _log.warning("the store's file was deleted or replaced: what was in it is gone, and a new one is used")
            self._rows.db.abandon()
            self._disconnect()
        if self._rows is None:
            self._rows, self._version = self._connect(), 0
            self._look_now.set()
        rows = self._rows
        # Time counts only while somebody was watching: between two polls a quarter of a lease at most.
        now = time.monotonic()
        self._now += min(now - self._polled, self._lease / 4)
        self._polled = now
        version: int = rows.db.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version or self._look_now.is_set():
            self._version = version
            self._look_now.clear()
            self._look(rows)
        if now >= self._owners_due:
            self._owners_due = now + POLL_OWNERS
            self._look_for_the_dead()
        self._find_lapsed(rows, now)
        self._mark_as_read(rows, now)
        if now >= self._sweep_due:
            self._sweep(rows, now)

    def _look_for_the_dead(self) -> None:
        dead = {owner for owner in self._elsewhere if owner == RELEASED or self._owners.is_dead(owner)}
        if dead != self._dead:
            self._dead = dead
            self._seen = {log: self._watch(log, pulse) for log, (pulse, _) in self._seen.items()}

    def _find_lapsed(self, rows: Rows, now: float) -> None:
        idle = {log: self._now - since for log, (_, since) in self._seen.items() if self._now - since >= self._lease}
        self._recoverable = {
            log: self._recoverable[log] if log in self._recoverable else rows.recoverable(log) for log in idle
        }
        waits = {log for log, has in self._recoverable.items() if has and idle[log] < self._lease + self._takeover}
        lapsed = {log: self._seen[log].pulse for log in idle.keys() - waits}
        if due := self.lapses.update(lapsed, {log: self._seen[log].pulse for log in waits}, now):
            self._on_loop(self.lapses.act, due)

    def _mark_as_read(self, rows: Rows, now: float) -> None:
        """Mark the logs that are followed here and written elsewhere; later, if that is impossible just now."""
        with self._lock:
            elsewhere = self._watchers.followers.keys() - self._watchers.listeners.keys()
        self._marked = {log: until for log, until in self._marked.items() if log in elsewhere}
        due = [log for log in elsewhere if log in self._seen and self._marked.get(log, 0.0) <= now]
        if due and self._write(rows, lambda: rows.mark_as_read(due, MARK)):
            self._marked |= dict.fromkeys(due, now + MARK / 3)

    def _sweep(self, rows: Rows, now: float) -> None:
        more = False

        def sweep() -> None:
            nonlocal more
            more = rows.sweep()

        done = self._write(rows, sweep)
        if done and rows.db.execute("PRAGMA freelist_count").fetchone() != (0,):
            with suppress(sqlite3.OperationalError):
                # A script, because `execute` runs one step of this statement, which gives back one page.
                rows.db.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        self._sweep_due = now + (0.0 if more else SWEEP_EVERY if done else SWEEP_AGAIN)

    def _write(self, rows: Rows, step: Callable[[], object]) -> bool:
        """Run a step in a transaction; False when somebody else is writing, or the file takes no writes."""
        if not self._file_lock.take():
            return False
        try:
            rows.db.execute("PRAGMA busy_timeout = 0")
            with transaction(rows.db):
                step()
        except sqlite3.OperationalError:
            return False
        finally:
            rows.db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000:.0f}")
            self._file_lock.release()
        return True

    def _look(self, rows: Rows) -> None:
        with self._lock:
            followed, written = list(self._watchers.followers), dict(self._written)
        pulses = rows.pulses()  # after the lists were copied: a log that is opened in between would look gone
        changed: list[str] = []
        for log in followed:
            before, now = self._seen.get(log), pulses.get(log)
            if before is None or now is None or before.pulse.last != now.last:
                changed.append(log)
        stopped: list[tuple[str, Reason]] = []
        for log, epoch in written.items():
            if log not in pulses:
                stopped.append((log, "gone"))
                continue
            before = self._seen.get(log)
            # Taken away since the last look; or before the first one, which may come late.
            if pulses[log].epoch != (epoch if before is None else before.pulse.epoch):
                stopped.append((log, "gone"))
            elif pulses[log].stop is not None:
                stopped.append((log, "stop"))
            elif pulses[log].read and not (before is not None and before.pulse.read):
                stopped.append((log, "read"))
        self._seen = {log: self._watch(log, pulse) for log, pulse in pulses.items()}
        self._elsewhere = {pulse.owner for pulse in pulses.values()} - {0, self._owners.id}
        if changed or stopped:
            self._on_loop(self._wake, changed, stopped)

    def _watch(self, log: str, pulse: Pulse) -> _Watch:
        before = self._seen.get(log)
        since = before.since if before is not None and before.pulse.beat == pulse.beat else self._now
        return _Watch(pulse, min(since, self._now - self._lease) if pulse.owner in self._dead else since)

    def _on_loop(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(partial(call, *args, **kwargs))

    def _fail_followers(self, error: StoreError) -> None:
        self._watchers.fail(error, list(self._watchers.followers))

    def _wake(self, changed: list[str], stopped: list[tuple[str, Reason]]) -> None:
        self.wake_readers(changed)
        for log, why in stopped:
            self.wake_writer(log, why)

    def _disconnect(self) -> None:
        if self._rows is not None:
            self._rows.db.close()
            self._rows = None
        self._file_lock.close()

"""Notices what other processes do to the file, on behalf of everyone in this one: one poll, however many readers.

SQLite tells nobody of a commit, but `PRAGMA data_version` says in two microseconds whether there was one. The same
look at the open logs serves all: readers who wait learn that something came, writers that they were asked to stop,
and a log whose counter stands still for the length of a lease has lost its writer and is sealed `lost`, also when
nobody reads it. What is told is only that there is something to see; everyone looks for themselves.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple

from headwater.log.sqlite.file import transaction
from headwater.log.sqlite.rows import Pulse, Rows

FOLLOW = 0.008
"""Seconds between polls while somebody here waits for a log that is written elsewhere."""
LISTEN = 0.05
"""Seconds between polls while a log is written here, which anyone anywhere may ask to stop."""
IDLE = 1.0
SWEEP = 30.0
CLOSING = 10.0
"""Seconds for which closing waits for the thread, which may be waiting for a lock itself."""
VACUUM = 2048
"""Pages of 4 kB given back to the disk after a sweep, at most; the rest waits for the next."""

_log = logging.getLogger(__name__)


class _Watch(NamedTuple):
    pulse: Pulse
    since: float
    """When, by the tailer's clock, the pulse's beat was first seen as it is."""


@dataclass
class _Listener:
    wake: Callable[[], None]
    told: Literal["stop", "gone"] | None = None


class SqliteTailer:
    """The thread that polls, with a connection of its own, and the readers and writers to be woken. One event loop.

    Its clock advances only while it polls: neither a jump of the wall clock nor a laptop's sleep makes a lease lapse.
    """

    def __init__(self, connect: Callable[[], Rows], lease: float) -> None:
        self._connect = connect
        self._lease = lease
        self._pace = min(IDLE, lease / 8)
        self._lock = threading.Lock()  # guards the two tables below
        self._followers: dict[str, list[asyncio.Event]] = {}
        self._listeners: dict[str, list[_Listener]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._kick = threading.Event()  # cuts the pause before the next poll short
        self._ask = threading.Event()  # makes it look, whether something was committed or not
        self._pause = 0.0
        self._closed = False
        # From here on the thread's own.
        self._rows: Rows | None = None
        self._version = 0
        self._seen: dict[str, _Watch] = {}
        self._now = 0.0
        self._polled = 0.0
        self._sweep_due = 0.0

    def start(self) -> None:
        """Begin to poll, unless that was done."""
        if self._loop is None and not self._closed:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="sqlite tailer", daemon=True)
            self._thread.start()

    async def aclose(self) -> None:
        """End the thread and wake every reader, who then finds the store closed. May be called again."""
        self._closed = True
        self._kick.set()
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.to_thread(thread.join, CLOSING)
        self.announce(list(self._followers))

    @contextmanager
    def follow(self, log: str) -> Generator[asyncio.Event, None, None]:
        """An event that is set when the log may have changed; clear it before you look, wait for it after."""
        changed = asyncio.Event()
        with self._lock:
            self._followers.setdefault(log, []).append(changed)
        try:
            yield changed
        finally:
            with self._lock:
                self._followers[log].remove(changed)
                if not self._followers[log]:
                    del self._followers[log]

    def listen(self, log: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called when the log is asked to stop or taken away; returns how to cease."""
        listener = _Listener(wake)
        with self._lock:
            self._listeners.setdefault(log, []).append(listener)
        self._ask.set()  # it may have been asked to stop already
        self._kick.set()

        def cease() -> None:
            with self._lock, suppress(KeyError, ValueError):
                self._listeners[log].remove(listener)
                if not self._listeners[log]:
                    del self._listeners[log]

        return cease

    def hurry(self) -> None:
        """Poll at the readers' pace from now on, because one of them begins to wait."""
        if self._pause > FOLLOW:
            self._kick.set()

    def announce(self, logs: Iterable[str]) -> None:
        """Wake the readers here who wait for these logs. For the event loop."""
        for log in logs:
            for changed in self._followers.get(log, ()):
                changed.set()

    def wake(self, log: str, why: Literal["stop", "gone"]) -> None:
        """Wake the log's writer if it is here and does not know yet. For the event loop."""
        for listener in list(self._listeners.get(log, ())):
            if listener.told != why:
                listener.told = why
                listener.wake()

    def _run(self) -> None:
        failing = False
        self._polled = time.monotonic()
        while not self._closed:
            begin = time.monotonic()
            try:
                self._poll()
                failing = False
            except Exception as error:  # noqa: BLE001 - a thread that died would strand readers
                if not failing:
                    _log.warning("logs of other processes cannot be watched for the moment: %s", error)
                failing = True
                self._disconnect()
            # A look that takes long, at many logs, is taken rarely: a tenth of a core is the most this may cost.
            spent = time.monotonic() - begin
            self._kick.wait(self._next_pause(self._pace if failing else min(9 * spent, IDLE)))
            self._kick.clear()
        self._disconnect()

    def _next_pause(self, least: float) -> float:
        with self._lock:
            if any(log not in self._listeners for log in self._followers):
                wanted = FOLLOW
            else:
                wanted = LISTEN if self._listeners else IDLE
            self._pause = max(min(wanted, self._pace), least)
            return self._pause

    def _poll(self) -> None:
        if self._rows is None:
            self._rows, self._version = self._connect(), 0
            self._ask.set()
        rows = self._rows
        # Time counts only as far as somebody was watching: at most a quarter of a lease may lie between two polls.
        now = time.monotonic()
        self._now += min(now - self._polled, self._lease / 4)
        self._polled = now
        version: int = rows.db.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version or self._ask.is_set():
            self._version = version
            self._ask.clear()
            self._look(rows)
        lapsed = [(log, watch) for log, watch in self._seen.items() if self._now - watch.since >= self._lease]
        for log, (pulse, _) in lapsed:
            with transaction(rows.db):
                rows.seal_lost(log, pulse.epoch, pulse.beat)
            del self._seen[log]
            self._tell([log], [(log, "gone")])
        if now >= self._sweep_due:
            self._sweep(rows, now)

    def _look(self, rows: Rows) -> None:
        with self._lock:
            followed, listened = list(self._followers), list(self._listeners)
        pulses = rows.pulses()  # after the names: a log that is opened in between would look gone
        changed: list[str] = []
        for log in followed:
            before, now = self._seen.get(log), pulses.get(log)
            if before is None or now is None or before.pulse.last != now.last:
                changed.append(log)
        woken: list[tuple[str, Literal["stop", "gone"]]] = []
        for log in listened:
            if log not in pulses:
                woken.append((log, "gone"))
            elif pulses[log].stop is not None:
                woken.append((log, "stop"))
        self._seen = {log: self._watch(log, pulse) for log, pulse in pulses.items()}
        self._tell(changed, woken)

    def _watch(self, log: str, pulse: Pulse) -> _Watch:
        before = self._seen.get(log)
        stood = before is not None and before.pulse.beat == pulse.beat
        return _Watch(pulse, before.since if before is not None and stood else self._now)

    def _tell(self, changed: list[str], woken: list[tuple[str, Literal["stop", "gone"]]]) -> None:
        if (changed or woken) and self._loop is not None:
            with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._pass_on, changed, woken)

    def _pass_on(self, changed: list[str], woken: list[tuple[str, Literal["stop", "gone"]]]) -> None:
        self.announce(changed)
        for log, why in woken:
            self.wake(log, why)

    def _sweep(self, rows: Rows, now: float) -> None:
        with transaction(rows.db):
            more = rows.sweep()
        if rows.db.execute("PRAGMA freelist_count").fetchone() != (0,):
            # As a script, because `execute` takes one step of this statement, which gives back one page.
            rows.db.executescript(f"PRAGMA incremental_vacuum({VACUUM})")
        self._sweep_due = now if more else now + SWEEP

    def _disconnect(self) -> None:
        if self._rows is not None:
            self._rows.db.close()
            self._rows = None

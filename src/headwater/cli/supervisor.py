"""Process supervisor of `headwater serve --workers N`: starts the workers, restarts dead ones, ends all at a signal.

uvicorn's own supervisor cannot run our `Worker`, which drains before it ends. Draining is the point of several workers:
one can be replaced while the others serve.
"""

import fcntl
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import tempfile
import threading
import time
from ctypes import c_bool
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from types import FrameType

from prometheus_client.multiprocess import mark_process_dead  # pyright: ignore[reportUnknownVariableType]

from headwater.cli.worker import CLOSE_WITHIN, Factory, Worker
from headwater.settings import Settings

logger = logging.getLogger(__name__)

FAILURES = 3
"""Workers in a row that end before they serve, after which the server ends: the cause is most likely a setting."""

_spawn = multiprocessing.get_context("spawn")  # a fork would inherit threads, locks and the model's memory


class Supervisor:
    """Keeps `settings.workers` processes running until SIGTERM or SIGINT."""

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings = settings
        self._listening = listening
        self._workers: dict[BaseProcess, c_bool] = {}  # each with whether it has begun to serve
        self._asked: list[int] = []
        self._failures = 0

    def run(self) -> int:
        """Start and watch the workers until a signal; the exit status, 1 if they could not be started."""
        with tempfile.TemporaryDirectory(prefix="headwater-metrics-", ignore_cleanup_errors=True) as counts:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = counts  # where the workers count, for a scrape of any of them
            folder = os.open(counts, os.O_RDONLY)
            fcntl.flock(folder, fcntl.LOCK_SH)  # or systemd-tmpfiles would empty it after ten days
            try:
                return self._run()
            finally:
                os.close(folder)

    def _run(self) -> int:
        for wanted in (signal.SIGTERM, signal.SIGINT):
            signal.signal(wanted, self._hear)
        while not self._asked and self._failures < FAILURES:
            while len(self._workers) < self._settings.workers:
                self._start()
            multiprocessing.connection.wait([worker.sentinel for worker in self._workers], timeout=0.5)
            self._bury()
        self._end(self._asked[0] if self._asked else signal.SIGTERM)
        return 1 if self._failures >= FAILURES else 0

    def _hear(self, number: int, _: FrameType | None) -> None:
        self._asked.append(number)
        if len(self._asked) > 1:
            self._tell(number)  # a second signal ends the workers' draining too

    def _start(self) -> None:
        serves = _spawn.RawValue(c_bool)
        worker = _spawn.Process(target=_work, args=(self._settings, self._listening, serves), name="headwater worker")
        # Ctrl-C in a terminal reaches workers too. A worker inherits that it is blocked: no import of its ends in a
        # traceback. Here it comes later; were it ignored meanwhile, it would be lost. The tracker's start unblocks it.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        worker.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        self._workers[worker] = serves

    def _bury(self) -> None:
        for worker, serves in list(self._workers.items()):
            if worker.is_alive():
                continue
            del self._workers[worker]
            if worker.pid is not None:
                mark_process_dead(worker.pid)
            self._failures = 0 if serves.value else self._failures + 1
            logger.error("worker %s ended with status %s; starting another", worker.pid, worker.exitcode)

    def _tell(self, number: int) -> None:
        for worker in self._workers:
            if worker.pid is not None and worker.is_alive():
                os.kill(worker.pid, number)
                if number == signal.SIGINT:
                    os.kill(worker.pid, signal.SIGTERM)  # for a worker that still starts, and ignores SIGINT

    def _end(self, number: int) -> None:
        self._tell(number)
        give_up = time.monotonic() + self._settings.drain + 2 * CLOSE_WITHIN
        for worker in self._workers:
            worker.join(max(give_up - time.monotonic(), 0.1))
            if worker.is_alive():
                logger.error("worker %s does not end; killed", worker.pid)
                worker.kill()
                worker.join()


def _work(settings: Settings, listening: socket.socket, serves: c_bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until the worker has started; the supervisor also sends SIGTERM
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    Worker(Factory(settings), serves).run([listening])


def _end_with_parent() -> None:
    """End this worker when the supervisor was killed, so that no orphan keeps the port."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

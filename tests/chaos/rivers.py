"""The stores that are put to the test, each with a fresh one of its kind for every try."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import redis_servers

from chaos.judge import Outcome, missing
from headwater.errors import Expired, NoSuchLog
from headwater.events import Entry
from headwater.log.redis import RedisStore
from headwater.log.sqlite import SqliteStore
from headwater.log.store import Limits, Store

LIMITS = Limits(lease=4.0, heartbeat=1.0)
"""A lease that a case can wait for, and that lapses for nobody alive on a busy machine."""
LEASE = 1.5
"""The lease where the writer dies, so that somebody must wait for it to lapse."""

ENGINES = {engine.name: engine for engine in redis_servers.engines()}
KINDS = ["sqlite", *ENGINES]


@dataclass(frozen=True)
class River:
    """One store that several servers share."""

    kind: str
    url: str
    folder: Path
    server: redis_servers.Server | None = None

    def open(self, limits: Limits = LIMITS, clock: Callable[[], float] | None = None, url: str = "") -> Store:
        """The store as one process opens it, perhaps by another way (`url`)."""
        if self.server is not None:
            return RedisStore(url or self.url, limits, clock)
        path = self.folder / "logs.sqlite"
        return SqliteStore(path, limits) if clock is None else SqliteStore(path, limits, clock)

    @property
    def redis(self) -> redis_servers.Server:
        """Its server; for cases that run on nothing else."""
        assert self.server is not None
        return self.server

    @contextmanager
    def held(self) -> Generator[None, None, None]:
        """Make it take nothing and say nothing meanwhile."""
        if self.server is None:
            other = sqlite3.connect(self.folder / "logs.sqlite", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                other.close()
        else:
            self.server.signal(SIGSTOP)
            try:
                yield
            finally:
                self.server.signal(SIGCONT)

    @asynccontextmanager
    async def handle(self, limits: Limits = LIMITS) -> AsyncGenerator[Store, None]:
        """The store as somebody opens it who has no part in the case."""
        store = self.open(limits)
        try:
            yield store
        finally:
            await store.aclose()

    async def truth(self, log: str, limits: Limits = LIMITS) -> Sequence[Entry] | None:
        """What is kept of a log once it has ended, for which this waits; None if it is gone."""
        async with self.handle(limits) as store:
            try:
                async with asyncio.timeout(4 * limits.lease):
                    return [entry async for page in store.read(log) for entry in page]
            except (Expired, NoSuchLog):
                return None

    def remains(self) -> Outcome:
        """Whether everything that is kept is kept for a time only."""
        stay = self.server.keys_without_ttl() if self.server is not None else []
        return missing(f"would stay for ever: {stay[:3]}") if stay else Outcome()


@contextmanager
def river(kind: str, *options: str) -> Generator[River, None, None]:
    """A new store of a kind, with nothing in it; `options` are for a Redis server."""
    if kind == "sqlite":
        folder = Path(tempfile.mkdtemp(prefix="hw-"))
        try:
            yield River(kind, f"sqlite://{folder}/logs.sqlite", folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    else:
        with redis_servers.serving(ENGINES[kind], *options) as server:
            yield River(kind, server.url, server.folder, server)

"""The stores under test; every try gets a fresh one."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import redis_servers
from redis.crc import key_slot
from redis_servers import Server
from upstash_double import UpstashDouble, upstash_before

from chaos.judge import Outcome, missing
from headwater.entries import Entry
from headwater.errors import Expired, NoSuchLog, StoreError
from headwater.log.lua.script import key
from headwater.log.redis.store import RedisStore
from headwater.log.redis.times import RedisTimes
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Flush, Limits, Store
from headwater.log.upstash.store import UpstashStore
from headwater.log.upstash.times import UpstashTimes

LIMITS = Limits(lease=4.0, heartbeat=1.0)
"""A lease that a case can wait for, and that lapses for nobody alive on a busy machine."""

ENGINES = {engine.name: engine for engine in redis_servers.engines()}
REDIS = (*ENGINES, "cluster")
KINDS = ("sqlite", *REDIS, "upstash")


@dataclass(frozen=True)
class River:
    """One store that several servers share."""

    kind: str
    url: str
    folder: Path
    servers: Sequence[Server] = ()
    """What keeps it, if that speaks Redis: one, or the primaries of a cluster in the order of their slots."""
    upstash: UpstashDouble | None = None

    @property
    def pace(self) -> float:
        """Seconds between the words of an answer: over REST they are flushed each second, and a case needs several."""
        return 0.005 if self.upstash is None else 0.06

    @property
    def flush(self) -> int:
        """How many entries readers beside the writer may be ahead of what is kept; over REST it goes by bytes."""
        return (Flush() if self.upstash is None else UpstashStore("http://of-none", "-").flush).events

    @property
    def lease(self) -> float:
        """The lease where the writer dies, so that somebody must wait for it to lapse; three flushes at least."""
        return 1.5 if self.upstash is None else 3.0

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a server that uses it."""
        if self.upstash is None:
            return {"store": self.url}
        rest = {"upstash_redis_rest_url": self.upstash.url, "upstash_redis_rest_token": self.upstash.token}
        return {"store": "upstash:", **rest}

    def open(
        self,
        limits: Limits = LIMITS,
        clock: Callable[[], float] | None = None,
        url: str = "",
        answer_within: float = 2.0,
    ) -> Store:
        """The store as one process opens it, perhaps by another way (`url`), and with so many seconds for a request."""
        if self.upstash is not None:
            times = UpstashTimes(answer_within=answer_within)
            return UpstashStore(url or self.upstash.url, self.upstash.token, limits, clock, times=times)
        if self.servers:
            return RedisStore(url or self.url, limits, clock, times=RedisTimes(answer_within=answer_within))
        path = self.folder / "logs.sqlite"
        return SqliteStore(path, limits) if clock is None else SqliteStore(path, limits, clock)

    def home(self, log: str) -> Server:
        """The server that keeps a log."""
        return self.servers[key_slot(key("log", log)) * len(self.servers) // 16384]

    def kept(self, log: str) -> list[bytes]:
        """The keys of a log that its server has."""
        return self.home(log).command("KEYS", f"*:{log}")

    @contextmanager
    def paused(self) -> Generator[None, None, None]:
        """Pause the store: it accepts nothing and answers nothing meanwhile."""
        with ExitStack() as after:
            if not self.servers:
                other = sqlite3.connect(self.folder / "logs.sqlite", isolation_level=None)
                after.callback(other.close)
                other.execute("BEGIN IMMEDIATE")
            for server in self.servers:
                server.signal(SIGSTOP)
                after.callback(server.signal, SIGCONT)
            yield

    @asynccontextmanager
    async def handle(self, limits: Limits = LIMITS) -> AsyncGenerator[Store, None]:
        """A handle on the store for a process that has no part in the case."""
        store = self.open(limits)
        try:
            yield store
        finally:
            await store.aclose()

    async def truth(self, log: str, limits: Limits = LIMITS) -> Sequence[Entry] | None:
        """What is kept of a log once it has ended, for which this waits; None if it is gone."""
        async with self.handle(limits) as store, asyncio.timeout(4 * limits.lease):
            while True:
                try:
                    return [entry async for page in store.read(log) for entry in page]
                except (Expired, NoSuchLog):
                    return None
                except StoreError:
                    await asyncio.sleep(0.1)  # a cluster may still be electing

    def remains(self) -> Outcome:
        """Whether everything that is kept is kept for a time only."""
        stay = [each for server in self.servers if server.runs for each in server.keys_without_ttl()]
        return missing(f"would stay for ever: {stay[:3]}") if stay else Outcome()


@contextmanager
def river(kind: str, *options: str) -> Generator[River, None, None]:
    """A new store of a kind, with nothing in it; `options` are for its Redis servers."""
    with ExitStack() as stack:
        if kind == "sqlite":
            folder = Path(tempfile.mkdtemp(prefix="hw-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            yield River(kind, f"sqlite://{folder}/logs.sqlite", folder)
        elif kind == "cluster":
            servers = stack.enter_context(redis_servers.clustered(ENGINES["valkey"], 3, *options))
            url = servers[0].url.replace("redis://", "redis+cluster://")
            yield River(kind, url, servers[0].folder, servers)
        elif kind == "upstash":
            server = stack.enter_context(redis_servers.serving(ENGINES["valkey"], *options))
            double = stack.enter_context(upstash_before(str(server.socket)))
            yield River(kind, double.url, server.folder, [server], double)
        else:
            server = stack.enter_context(redis_servers.serving(ENGINES[kind], *options))
            yield River(kind, server.url, server.folder, [server])

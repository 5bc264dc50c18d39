"""The stores that `bench.stores` measures: each with an engine of its own, which also says what it was asked to do.

A command is what Redis was sent (a script counts as one), what Upstash bills (a script and each command inside it), or
a transaction of SQLite's. Counted apart are the commands inside Redis's scripts, and SQLite's checks, two microseconds
each, which ask whether another process has committed anything.
"""

import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

from headwater.log.redis.store import RedisStore
from headwater.log.sqlite.rows import Rows
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Limits, Store
from headwater.log.upstash.store import UpstashStore

# The tests start the same servers, and are no package.
sys.path.append(str(Path(__file__).parents[1] / "tests"))
from redis_servers import Engine, engines, serving
from upstash_double import upstash_double

SENT = ("eval", "evalsha", "subscribe", "unsubscribe", "ping")
"""What Headwater sends; what else Redis counts was called inside a script, but for what this bench asks."""
ASIDE = ("info", "client", "hello", "config", "select", "flushall", "command")


LIMITS = Limits(lease=60)
"""A lease that outlives the busiest machine's pauses; beats and looks come as often as with the usual one."""


class Count(NamedTuple):
    """What an engine was asked to do."""

    commands: float
    checks: float = 0.0
    inside: float = 0.0


class Subject(NamedTuple):
    """A store with an engine of its own."""

    open: Callable[[], Store]
    """A new handle on it, as another process would have."""
    counted: Callable[[], Count]
    """What all handles have asked for since the engine started."""
    cpu: Callable[[], float] = time.process_time
    """Seconds of CPU that Headwater has used, without those of the engine."""


class Kind(NamedTuple):
    """A store that can be started as often as there is something to measure."""

    name: str
    start: Callable[[], AbstractContextManager[Subject]]
    most: int = 1000
    """Logs that one process can reasonably hold open on it."""
    pace: tuple[float, float, float] = (20, 5, 1)
    """Tokens a second in each of 1, some and `most` logs, such that a flush always carries the same number of them."""


def kinds() -> list[Kind]:
    """The stores that can be measured here."""
    # A thousand silent logs would be a thousand requests a second, which is too dear to be anyone's use of it.
    upstash = Kind("upstash double", _upstash, 50, (5, 5, 5))
    return [Kind("sqlite", _sqlite), *(_redis(engine) for engine in engines()), upstash]


class _Counting:
    """A connection that counts the transactions and checks it carries out."""

    def __init__(self, db: sqlite3.Connection, tally: Counter[str]) -> None:
        self._db = db
        self._tally = tally

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        self._tally[statement] += 1
        return self._db.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


class _CountedStore(SqliteStore):
    def __init__(self, path: Path, tally: Counter[str]) -> None:
        self._tally = tally
        super().__init__(path, LIMITS)

    def _connect(self) -> Rows:
        rows = super()._connect()
        rows.db = cast("sqlite3.Connection", _Counting(rows.db, self._tally))
        return rows


@contextmanager
def _sqlite() -> Generator[Subject, None, None]:
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="hw-") as folder:
        yield Subject(
            lambda: _CountedStore(Path(folder) / "logs.sqlite", tally),
            lambda: Count(tally["BEGIN IMMEDIATE"] + tally["BEGIN"], tally["PRAGMA data_version"]),
        )


def _redis(engine: Engine) -> Kind:
    @contextmanager
    def start() -> Generator[Subject, None, None]:
        with serving(engine) as server, server.client() as client:

            def counted() -> Count:
                stats = cast("dict[str, dict[str, int]]", client.info("commandstats"))  # pyright: ignore[reportUnknownMemberType]
                calls = {name.removeprefix("cmdstat_").split("|")[0]: stat["calls"] for name, stat in stats.items()}
                inside = sum(count for name, count in calls.items() if name not in (*SENT, *ASIDE))
                return Count(sum(calls.get(name, 0) for name in SENT), inside=inside)

            yield Subject(lambda: RedisStore(server.url, LIMITS), counted)

    return Kind(engine.name, start)


@contextmanager
def _upstash() -> Generator[Subject, None, None]:
    with upstash_double() as double:
        yield Subject(
            lambda: UpstashStore(double.url, double.token, LIMITS),
            lambda: Count(double.carried_out()),
            time.thread_time,  # the double runs in another thread of this process
        )

"""The stores that `bench.stores` measures: each with its own database, whose commands are counted.

A command is what was sent to Redis (a script counts as one), what Upstash bills (a script, and each command inside it),
or a transaction of SQLite. Counted separately: the commands inside Redis's scripts, and SQLite's checks for commits by
another process, which take two microseconds each.
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

# The tests start the same servers, but are not a package.
sys.path.append(str(Path(__file__).parents[1] / "tests"))
from redis_servers import Engine, engines, serving
from upstash_double import upstash_double

SENT = ("eval", "evalsha", "subscribe", "unsubscribe", "ping")
"""Commands that Headwater sends. Redis counts others as well: those inside scripts, and this benchmark's own."""
ASIDE = ("info", "client", "hello", "config", "select", "flushall", "command")
"""Commands of this benchmark and of connection set-up, which are not counted."""

LIMITS = Limits(lease=60)
"""A lease that does not lapse on a busy machine; heartbeats and checks are as frequent as usual."""


class Count(NamedTuple):
    """The number of commands that a database executed."""

    commands: float
    checks: float = 0.0
    inside: float = 0.0


class Subject(NamedTuple):
    """A store with its own database."""

    open: Callable[[], Store]
    """Opens another handle on the same data, as another process would."""
    counted: Callable[[], Count]
    """Commands of all handles since the database started."""
    cpu: Callable[[], float] = time.process_time
    """CPU time of Headwater in seconds, without the database's."""


class Kind(NamedTuple):
    """A kind of store, and how to start a fresh one."""

    name: str
    start: Callable[[], AbstractContextManager[Subject]]
    most: int = 1000
    """Number of logs that one process can reasonably keep open."""
    pace: tuple[float, float, float] = (20, 5, 1)
    """Tokens per second and log with 1, `most / 10` and `most` logs, so that a flush holds equally many tokens."""


def kinds() -> list[Kind]:
    """The kinds of store that can be measured on this machine."""
    # Fewer logs on Upstash: a thousand silent logs would be a thousand billed requests a second.
    upstash = Kind("upstash double", _upstash, 50, (5, 5, 5))
    return [Kind("sqlite", _sqlite), *(_redis(engine) for engine in engines()), upstash]


class _Counting:
    """A database connection that counts transactions and checks."""

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
        rows.db = cast("Any", _Counting(rows.db, self._tally))
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

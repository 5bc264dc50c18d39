"""The checks of `headwater doctor`: whether a server with these settings would work here, and what to change."""

import asyncio
import math
import os
import statistics
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import httpx

from headwater.answer import is_token
from headwater.errors import HeadwaterError, Unsupported
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Store
from headwater.models.embedded import weights
from headwater.prompt import Message, Parameters, Prompt
from headwater.settings import Settings, unknown_variables
from headwater.web.capacity import streams
from headwater.web.hosts import is_loopback
from headwater.web.routes.server import STATIC
from headwater.wiring.keys import key_file, keys_of, ways_of
from headwater.wiring.models import catalogue, choose
from headwater.wiring.stores import describe_store, open_store, url_of

SLOW, SKEW, FEW = 0.05, 5.0, 1000
"""Seconds of a slow store, seconds between two clocks that differ, and streams that are few."""
WITHIN = 30.0
"""Seconds for one check."""
_NETWORKED = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph", "glusterfs", "fuse.glusterfs")
_CLOCK = "set both clocks by NTP: tokens, sessions and ages compare them"

Level = Literal["ok", "warning", "fault"]


class Finding(NamedTuple):
    """What a check found."""

    level: Level
    what: str
    words: str
    """What is so, and with a warning or a fault what to do."""


async def examine(settings: Settings, files: int, ask: bool) -> AsyncGenerator[Finding]:
    """Check all that a server with these settings needs; `files` is the limit on open files.

    With `ask` the model is asked for one token, which may cost money.
    """
    for finding in (*_configuration(settings), *_access(settings), *_machine(files)):
        yield finding
    async for finding in _store(settings):
        yield finding
    async for finding in _model(settings, ask):
        yield finding


def _configuration(settings: Settings) -> Iterator[Finding]:
    unknown = unknown_variables()
    for name, near in unknown.items():
        yield Finding("warning", "settings", f"{name} is no setting{f'; did you mean {near}?' if near else ''}")
    if not unknown:
        yield Finding("ok", "settings", "all variables that begin with HEADWATER_ are settings")
    for path in (Path(".env"), key_file(settings).path):
        with suppress(OSError):  # it is not there, or `_access` tells that it cannot be read
            if path.stat().st_mode & 0o077:
                yield Finding("warning", "files", f"others on this machine may read {path}: chmod 600 {path}")


def _access(settings: Settings) -> Iterator[Finding]:
    try:
        keys, ways = keys_of(settings), ways_of(settings)
    except HeadwaterError as error:
        yield Finding("fault", "keys", str(error))
        return
    needed = keys.required or ways.tokens is not None
    if not needed:
        open_words = "none needed: this machine only" if is_loopback(settings.host) else "none needed by anybody"
        yield Finding("ok" if is_loopback(settings.host) else "warning", "keys", open_words)
    elif keys.required and not len(keys.current()) and ways.tokens is None:
        yield Finding("fault", "keys", "one is needed, and none is valid: headwater keys create")
    else:
        yield Finding("ok", "keys", f"{len(keys.current())} valid{', and tokens' if ways.tokens else ''}")
    if needed and settings.operator_key is None:
        words = "none: /metrics and headwater top are refused; set HEADWATER_OPERATOR_KEY"
        yield Finding("warning", "operator key", words)


def _machine(files: int) -> Iterator[Finding]:
    fit = f"{streams(files):,} open streams fit ({files:,} open files)"
    few = streams(files) < FEW
    yield Finding("warning" if few else "ok", "open files", fit + "; raise it: ulimit -Hn, LimitNOFILE" * few)
    if (STATIC / "index.html").is_file():
        yield Finding("ok", "page", "built")
    else:
        yield Finding("warning", "page", "the chat page was not built: make page in a checkout; the API works without")


async def _store(settings: Settings) -> AsyncGenerator[Finding]:
    try:
        store = open_store(settings)
    except HeadwaterError as error:
        yield Finding("fault", "store", str(error))
        return
    try:
        async with asyncio.timeout(WITHIN):
            await store.check()
            took = await _round_trips(store)
        level: Level = "warning" if took > SLOW else "ok"
        slow = "; keep it nearer, each answer waits for it" if took > SLOW else ""
        yield Finding(level, "store", f"{describe_store(settings)} writes and reads in {took * 1000:.3g} ms{slow}")
        for finding in await asyncio.to_thread(lambda: [*_of_the_kind(settings, store)]):
            yield finding
    except TimeoutError:
        yield Finding("fault", "store", f"{describe_store(settings)} did not answer within {WITHIN:g} s")
    except HeadwaterError as error:
        yield Finding("fault", "store", f"{error} ({describe_store(settings)})")
    finally:
        await store.aclose()


async def _round_trips(store: Store) -> float:
    """The median time of a write, in seconds; what is written is taken away again."""
    name, took = f"doctor-{os.getpid()}", list[float]()
    for _ in range(5):
        began = time.monotonic()
        await store.put(name, b"headwater doctor", ttl=60)
        took.append(time.monotonic() - began)
    await store.delete(name)
    return statistics.median(took)


def _of_the_kind(settings: Settings, store: Store) -> Iterator[Finding]:
    url = url_of(settings)
    if isinstance(store, SqliteStore):
        kind = _file_system(store.path)
        if kind in _NETWORKED:
            yield Finding("fault", "store", f"{store.path} is on {kind}; SQLite needs a local disk, or name a Redis")
    elif url == "upstash:":
        token = settings.upstash_redis_rest_token
        assert token is not None
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        began = time.time()
        answer = httpx.post(str(settings.upstash_redis_rest_url), json=["TIME"], headers=headers, timeout=10)
        if answer.is_success:
            yield _clock(answer.json()["result"], began)
    elif url != "memory:":
        yield from _redis(url)


def _redis(url: str) -> Iterator[Finding]:
    import redis

    clustered = urlsplit(url).scheme.endswith("+cluster")
    made: Any = redis.RedisCluster if clustered else redis.Redis
    client = made.from_url(url.replace("+cluster", "", 1) if clustered else url, socket_timeout=5)
    try:
        node = {"target_nodes": client.get_random_node()} if clustered else {}
        began = time.time()
        yield _clock(client.execute_command("TIME", **node), began)
        memory, disk = client.info("memory", **node), client.info("persistence", **node)
        if (policy := memory.get("maxmemory_policy", "noeviction")) != "noeviction":
            evicts = f"Redis evicts answers while they are read ({policy}): CONFIG SET maxmemory-policy noeviction"
            yield Finding("warning", "eviction", evicts)
        else:
            yield Finding("ok", "eviction", "none (noeviction)")
        if disk.get("aof_enabled"):
            yield Finding("ok", "persistence", "appendonly")
        else:
            forgets = "a restart of Redis loses what it has not saved: CONFIG SET appendonly yes"
            yield Finding("warning", "persistence", forgets)
    except redis.RedisError as error:
        words = f"Redis does not tell its settings here ({error}); see docs/stores.md for those it should have"
        yield Finding("warning", "eviction", words)
    finally:
        client.close()


def _clock(told: tuple[Any, Any], began: float) -> Finding:
    """How far the store's clock is from this machine's, which was `began` when it was asked."""
    ended = time.time()
    skew = int(told[0]) + int(told[1]) / 1e6 - (began + ended) / 2
    words = f"the store's is {abs(skew):.2f} s {'ahead' if skew > 0 else 'behind'}"
    return Finding("warning", "clock", f"{words}; {_CLOCK}") if abs(skew) > SKEW else Finding("ok", "clock", words)


def _file_system(path: Path) -> str:
    """The kind of file system that a path is on; empty where the system does not tell."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    where = path.absolute()
    fitting = [(len(Path(mount).parts), kind) for mount, kind in mounts if where.is_relative_to(mount)]
    return max(fitting)[1] if fitting else ""


async def _model(settings: Settings, ask: bool) -> AsyncGenerator[Finding]:
    choice = choose(settings)
    if choice.notice:
        yield Finding("warning", "model", f"{choice.notice} Set OPENAI_API_KEY or HEADWATER_MODEL for another")
    if choice.model == "local" and weights.locate(settings.data_dir) is None:
        yield Finding("warning", "model", "the weights are not here yet; the first start downloads them")
        return
    try:
        models = catalogue(settings, choice.model)
    except Unsupported as error:
        yield Finding("fault", "model", str(error))
        return
    try:
        async with asyncio.timeout(WITHIN):
            await models.prepare()
            if not ask:
                yield Finding("ok", "model", f"{choice.model} can be built; --ask asks it for a token")
                return
            prompt = Prompt(
                model=choice.model,
                messages=[Message("user", "Say one word.")],
                parameters=Parameters(max_tokens=16),
            )
            began, first = time.monotonic(), math.nan
            stream = (await models.get(models.chat)).stream(models.chat.addressed(prompt))
            async with aclosing(stream):
                async for batch in stream:
                    if any(map(is_token, batch)):
                        first = time.monotonic() - began
                        break
        said = f"{choice.model} said its first token after {first:.2f} s"
        yield Finding("ok", "model", said) if first > 0 else Finding("fault", "model", f"{choice.model} said nothing")
    except TimeoutError:
        yield Finding("fault", "model", f"{choice.model} did not answer within {WITHIN:g} s")
    except HeadwaterError as error:
        yield Finding("fault", "model", f"{error.told} In detail: {error}")
    finally:
        await models.aclose()

"""`headwater top`, `streams` and `cache` beside a server that runs, as its operator types them."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from servers import Serving, serve
from serving import chat, frames, post_chat
from upstream import Upstream

KEY = "operators-key-0123456789"


class Ran(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


async def headwater(server: Serving, *arguments: str, key: str = KEY, typed: str = "") -> Ran:
    """Run a command of the operator against the server."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "OPENAI_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headwater", *arguments, "--url", str(server.client.base_url)),
        env={**clean, "HEADWATER_OPERATOR_KEY": key, "COLUMNS": "160"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(typed.encode())
    return Ran(process.returncode or 0, out.decode(), err.decode())


@asynccontextmanager
async def operated(folder: Path) -> AsyncGenerator[tuple[Serving, Upstream]]:
    """A server with keys of two tenants and one of its operator."""
    async with Upstream(tokens=["a", "b"]) as upstream:
        settings = {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": upstream.url,
            "HEADWATER_API_KEYS": "acme:acme-key-1,other:other-key-1",
            "HEADWATER_OPERATOR_KEY": KEY,
        }
        async with serve(folder, **settings) as server:
            yield server, upstream


def bearer(key: str) -> dict[str, str]:
    """The header that brings a key."""
    return {"Authorization": f"Bearer {key}"}


async def test_the_operator_sees_what_the_cache_saved_and_purges_one_tenant(tmp_path: Path) -> None:
    """The other tenant's answers are still found, and the purge asks first."""
    async with operated(tmp_path) as (server, upstream):
        for key in ("acme-key-1", "acme-key-1", "other-key-1"):
            await post_chat(server.client, **bearer(key))
        overview = await headwater(server, "top", "--once")
        stats = await headwater(server, "cache", "stats")
        refused = await headwater(server, "cache", "purge", "--tenant", "acme", typed="n\n")
        kept = await post_chat(server.client, **bearer("acme-key-1"))
        purged = await headwater(server, "cache", "purge", "--tenant", "acme", "--yes")
        anew = await post_chat(server.client, **bearer("acme-key-1"))
        others = await post_chat(server.client, **bearer("other-key-1"))
        calls = upstream.calls

    rows = {line.split()[0]: line.split() for line in overview.out.splitlines()[1:]}
    assert rows["all"][1:4] == ["3", "33%", "0"]
    assert rows["acme"][1:3] == ["2", "50%"]
    assert "acme" in stats.out
    assert stats.out.splitlines()[2].split()[:6] == ["acme", "1", "0", "1", "0", "50%"]
    assert (refused.code, purged.code) == (1, 0), purged
    assert "hit" in kept.headers["cache-status"]
    assert anew.headers["cache-status"] == "headwater; fwd=miss"
    assert "hit" in others.headers["cache-status"]
    assert calls == 3


async def test_the_operator_sees_the_answers_that_run_and_whoever_has_no_key_does_not(tmp_path: Path) -> None:
    """The list says of which process it is, and nothing that was asked or answered."""
    async with Upstream(tokens=["a", "b"], gated=True) as upstream:
        settings = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url, "HEADWATER_OPERATOR_KEY": KEY}
        async with serve(tmp_path, **settings, HEADWATER_API_KEYS="acme:acme-key-1") as server:
            idle = await headwater(server, "streams")
            question, key = chat("a secret question"), bearer("acme-key-1")
            async with server.client.stream("POST", "/api/stream/completion/chat", json=question, headers=key) as read:
                upstream.release()
                events = frames(read)
                start = await anext(events)
                shown = await headwater(server, "streams")
                denied = await headwater(server, "streams", key="acme-key-1")
            process = server.process.pid

    assert "No answer is being generated" in idle.out
    assert f"Process {process} on " in shown.out
    assert start["message_id"] in shown.out
    assert "acme" in shown.out
    assert "secret" not in shown.out
    assert denied.code == 1
    assert "operator" in denied.err
    assert start["message_id"] not in denied.out + denied.err

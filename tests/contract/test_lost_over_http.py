"""What a client of one server sees when another server's answer can neither be continued nor ended in the store."""

import asyncio
import sqlite3
from pathlib import Path

from serving import chat, frames, headwater, parse, post_chat

from headwater.events import Finish, TextDelta
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Limits
from headwater.models.scripted import SILENCE, Scripted
from headwater.testing.contract_harness import GIVING_UP, QUICK, until

SILENT = Limits(lease=60.0, heartbeat=30.0)
"""Of a server that looks dead to others: it sends no heartbeat in any test."""
HELLO = TextDelta("Hello")


async def test_a_client_elsewhere_is_told_and_asks_again(tmp_path: Path) -> None:
    """The write lock stays taken: GET ends as lost, the same POST is refused; once it is free, a new answer is made."""
    path = tmp_path / "logs.db"
    dead = SqliteStore(path, SILENT)
    store = SqliteStore(path, GIVING_UP, answer_within=2.5)
    async with (
        headwater(Scripted([HELLO, SILENCE]), dead) as first,
        headwater(Scripted([HELLO, Finish("stop")]), store) as second,
        first.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response,
    ):
        where = response.headers["location"]
        async for frame in frames(response):
            if frame["type"] == "text-delta":
                break
        other = sqlite3.connect(path, isolation_level=None)
        await until(lambda: other.execute("SELECT last FROM logs").fetchone() >= (2,))
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(10):
            got = parse((await second.client.get(where)).content)
            refused = await post_chat(second.client)
        assert [frame["type"] for frame in got] == ["start", "text-delta", "error"]
        assert (got[-1]["code"], got[-1]["retryable"], got[-1].id) == ("lost", True, None)
        assert (refused.status_code, refused.json()["code"]) == (503, "store")
        other.close()

        async def fresh() -> bool:
            return (await post_chat(second.client)).headers["cache-status"].startswith("headwater; fwd=miss")

        await until(fresh)
        after = got[-2].id
        assert after is not None
        rest = parse((await second.client.get(where, headers={"Last-Event-ID": after})).content)
        assert [(frame["type"], frame["code"]) for frame in rest] == [("error", "lost")]
        assert rest[0].id is not None
        assert rest[0].id.startswith("2-3.")


async def test_a_question_after_the_file_was_deleted_is_a_miss(tmp_path: Path) -> None:
    """The same question is a miss, never a hit that leads nowhere, and the log of before is unknown."""
    path = tmp_path / "logs.db"
    store = SqliteStore(path, QUICK)
    async with headwater(Scripted([HELLO, Finish("stop")]), store) as server:
        whole = await post_chat(server.client)
        await asyncio.to_thread(path.unlink)
        again = await post_chat(server.client)
        gone = await server.client.get(whole.headers["location"])
    assert whole.headers["cache-status"] == again.headers["cache-status"] == "headwater; fwd=miss"
    assert parse(whole.content)[1:] == parse(again.content)[1:]
    assert gone.status_code == 404

"""Answers whose provider keeps the run: the same words go on in the same log, and a stop ends the run."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from responses_upstream import ResponsesUpstream, words
from serving import Frame, Headwater, chat, frames, headwater, parse, post_chat, text_of, until

from headwater.answers.generation import Timeouts
from headwater.log.sqlite.store import SqliteStore
from headwater.models.openai.connection import Account
from headwater.models.openai.responses import ResponsesModel

WORDS = words(40)
TEXT = "".join(WORDS)
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


@asynccontextmanager
async def served(upstream: ResponsesUpstream, **options: Any) -> AsyncGenerator[Headwater, None]:
    model = ResponsesModel("gpt-test", Account(upstream.url, "sk-key"))
    try:
        async with headwater(model, **options) as server:
            yield server
    finally:
        await model.aclose()


def seams(told: list[Frame]) -> list[str]:
    return [f"{frame['cause']}: {frame['way']}" for frame in told if frame["type"] == "continued"]


async def read_until(told: AsyncIterator[Frame], word: str) -> None:
    async for frame in told:
        if word in frame.get("text", ""):
            break


@pytest.mark.parametrize("fields", [{}, {"tools": [TOOL]}, {"response_format": {"type": "json_object"}}], ids=str)
async def test_a_connection_that_breaks(fields: dict[str, Any]) -> None:
    """The rest comes of the same run, with its usage; such an answer is cached. Tools and forms do not hinder it."""
    async with ResponsesUpstream(tokens=WORDS, cuts=[34]) as upstream, served(upstream) as server:
        path, body = "/api/stream/completion/chat", chat(**fields)
        answer = await server.client.post(path, json=body)
        told = parse(answer.content)
        assert (text_of(told), seams(told)) == (TEXT, ["provider: reattach"])
        assert told[-1]["usage"]["output_tokens"] == 2
        assert told[-1]["usage"]["details"]["continued"] == 1
        assert "uncounted" not in told[-1]["usage"]["details"]
        again = await server.client.post(path, json=body)
        assert again.headers["cache-status"].startswith("headwater; hit")
        assert [request.method for request in upstream.requests] == ["POST", "GET"]
        assert not upstream.runs[0].cancelled


async def test_a_call_that_is_cut() -> None:
    """The rest of its arguments is of the same run, so the halves can be joined."""
    async with ResponsesUpstream(tokens=(), tool_calls=[("call_a", "look_up", ['{"q":', "1}"])], cuts=[4]) as upstream:
        async with served(upstream) as server:
            told = parse((await post_chat(server.client)).content)
            assert "".join(frame["arguments"] for frame in told if frame["type"] == "tool-call-delta") == '{"q":1}'
            assert (seams(told), told[-1]["reason"]) == (["provider: reattach"], "tool_calls")


async def test_a_provider_that_falls_silent() -> None:
    """The run goes on while its stream does not, so it is come back to, and not cancelled."""
    async with ResponsesUpstream(tokens=WORDS, stalls=[34]) as upstream:
        async with served(upstream, timeouts=Timeouts(silence=0.2, retries=0)) as server:
            told = parse((await post_chat(server.client)).content)
            assert (text_of(told), seams(told)) == (TEXT, ["stalled: reattach"])
            assert not upstream.runs[0].cancelled


async def test_a_run_that_is_gone() -> None:
    """The answer ends with the error that broke it off, and has no seam."""
    async with ResponsesUpstream(tokens=WORDS, cuts=[34], gone=404) as upstream, served(upstream) as server:
        told = parse((await post_chat(server.client)).content)
        assert (text_of(told), seams(told)) == ("".join(WORDS[:30]), [])
        assert (told[-1]["type"], told[-1]["code"]) == ("error", "provider_cut")


async def test_a_stop_ends_the_run() -> None:
    """Which would go on without a connection, and be paid."""
    async with ResponsesUpstream(tokens=WORDS, gated=True) as upstream, served(upstream) as server:
        upstream.release()
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
            told = frames(response)
            await read_until(told, "word0 ")
            await server.client.post(response.headers["location"] + "/stop")
            assert [frame["type"] async for frame in told][-1] == "stop"
        await until(lambda: upstream.runs[0].cancelled, "the run was cancelled", 1.0)


async def test_a_server_that_goes_away(tmp_path: Path) -> None:
    """Another server on its store comes back to the run, which nobody has cancelled."""
    async with ResponsesUpstream(tokens=WORDS, gated=True) as upstream:
        async with served(upstream, store=SqliteStore(tmp_path / "logs")) as second:
            async with served(upstream, store=SqliteStore(tmp_path / "logs")) as first:
                upstream.release(12)
                async with first.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
                    location = response.headers["location"]
                    await read_until(frames(response), "word9 ")
                reading = asyncio.create_task(second.client.get(location))
            upstream.release(len(WORDS))
            told = parse((await reading).content)
            assert (text_of(told), seams(told)) == (TEXT, ["server: reattach"])
            assert [request.method for request in upstream.requests] == ["POST", "GET"]
            assert not upstream.runs[0].cancelled


async def test_a_stop_while_no_server_runs(tmp_path: Path) -> None:
    """The server that finds it ends the run, although it has not begun it."""
    async with ResponsesUpstream(tokens=WORDS, gated=True) as upstream:
        async with served(upstream, store=SqliteStore(tmp_path / "logs")) as first:
            upstream.release()
            async with first.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
                location = response.headers["location"]
                await read_until(frames(response), "word0 ")
        store = SqliteStore(tmp_path / "logs")
        assert await store.stop(location.rpartition("/")[2], "anyone")
        await store.aclose()
        assert not upstream.runs[0].cancelled
        async with served(upstream, store=SqliteStore(tmp_path / "logs")) as second:
            assert parse((await second.client.get(location)).content)[-1] == {"type": "stop", "by": "anyone"}
            await until(lambda: upstream.runs[0].cancelled, "the run was cancelled")


async def test_an_answer_that_nobody_goes_on_with() -> None:
    """Where the server that goes away is to leave no answer behind, its run ends with it."""
    async with ResponsesUpstream(tokens=WORDS, gated=True) as upstream:
        async with served(upstream) as server:
            upstream.release()
            async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
                await read_until(frames(response), "word0 ")
        assert upstream.runs[0].cancelled

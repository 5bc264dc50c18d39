"""Two server processes on one store: each serves, stops and seals the logs of the other."""

import asyncio
import signal
import time
from pathlib import Path

from servers import serve
from serving import chat, frames, parse, post_chat, text_of
from upstream import Upstream

LEASE = 1.5


def settings(upstream: Upstream, river: dict[str, str], **more: str) -> dict[str, str]:
    """An OpenAI-compatible provider, and the store that the test's servers share."""
    return {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url, **river, **more}


async def test_identical_requests_to_two_servers_make_one_call(tmp_path: Path, river: dict[str, str]) -> None:
    """The second request reads the log of the first, whichever server it reaches; later requests hit the cache."""
    async with Upstream(tokens=["a", "b", "c"], gated=True) as upstream:
        async with (
            serve(tmp_path, **settings(upstream, river)) as one,
            serve(tmp_path, **settings(upstream, river)) as two,
        ):
            asking = [asyncio.create_task(post_chat(server.client)) for server in (one, two) * 10]
            await upstream.received()
            upstream.release(3)
            answers = await asyncio.gather(*asking)
            later = [await post_chat(server.client) for server in (one, two)]

    assert upstream.calls == 1
    assert {text_of(parse(answer.content)) for answer in [*answers, *later]} == {"abc"}
    assert all(answer.headers["cache-status"].startswith("headwater; hit") for answer in later)


async def test_the_death_of_a_producer_ends_its_log_as_lost_and_frees_the_name(
    tmp_path: Path, river: dict[str, str]
) -> None:
    """Where answers do not go on, readers on another server get the prefix, then `lost`, within the lease and 2 s.

    So does a client that had seen more than was stored.
    """
    async with Upstream(tokens=["a", "b", "c"], silent_after=2) as upstream:
        environment = {**settings(upstream, river), "HEADWATER_CONTINUE": "off"}
        async with serve(tmp_path, **environment) as survivor:
            async with serve(tmp_path, **environment) as producer:
                own = asyncio.create_task(_types_until_it_breaks(producer.client))
                await upstream.received()
                async with survivor.client.stream(
                    "POST", "/api/stream/completion/chat", json=chat(), timeout=30
                ) as response:
                    location = response.headers["location"]
                    read = frames(response)
                    assert [(await anext(read))["type"] for _ in range(3)] == ["start", "text-delta", "text-delta"]
                    await producer.kill()
                    killed = time.monotonic()
                    lost = await anext(read)
                    assert time.monotonic() - killed < LEASE + 2
                assert (lost["type"], lost["code"], lost.offset) == ("error", "lost", "2-4")
                assert (await own)[-1] == "text-delta"

            ahead = await survivor.client.get(location, headers={"last-event-id": "1-9"})
            assert [(frame["type"], frame.offset) for frame in parse(ahead.content)] == [("error", "2-4")]
            assert (await survivor.client.get(location, headers={"last-event-id": "2-4"})).status_code == 204

            again = asyncio.create_task(post_chat(survivor.client))
            await upstream.received(2)
            again.cancel()


async def test_a_stop_through_another_server_ends_a_silent_generation(tmp_path: Path, river: dict[str, str]) -> None:
    """Within a second; the connection to the provider closes too."""
    async with Upstream(tokens=["a", "b"], silent_after=1) as upstream:
        async with (
            serve(tmp_path, **settings(upstream, river)) as one,
            serve(tmp_path, **settings(upstream, river)) as two,
        ):
            async with one.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
                read = frames(response)
                assert [(await anext(read))["type"] for _ in range(2)] == ["start", "text-delta"]
                request = await upstream.received()
                async with asyncio.timeout(1):
                    stopped = await two.client.post(response.headers["location"] + "/stop")
                    await request.closed.wait()
                assert (await anext(read))["type"] == "stop"

    assert (stopped.status_code, stopped.json()["state"], stopped.json()["text"]) == (200, "stopped", "a")


async def test_answers_survive_the_server(tmp_path: Path, river: dict[str, str]) -> None:
    """An answer finished before a crash is a cache hit after it."""
    async with Upstream(tokens=["kept"]) as upstream:
        async with serve(tmp_path, **settings(upstream, river)) as server:
            first = await post_chat(server.client)
            await server.kill()
        async with serve(tmp_path, **settings(upstream, river)) as server:
            second = await post_chat(server.client)

    assert upstream.calls == 1
    assert second.headers["cache-status"].startswith("headwater; hit")
    assert parse(first.content)[1:] == parse(second.content)[1:]


async def test_a_terminated_server_ends_its_answers_with_an_error(tmp_path: Path, river: dict[str, str]) -> None:
    """Answers that still run after the drain time end with an `error`, not with a broken connection."""
    async with Upstream(tokens=["a", "b"], silent_after=1) as upstream:
        async with serve(tmp_path, **settings(upstream, river)) as server:
            async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
                read = frames(response)
                assert [(await anext(read))["type"] for _ in range(2)] == ["start", "text-delta"]
                server.process.terminate()
                last = await anext(read)
            async with asyncio.timeout(5):
                status = await server.process.wait()

    assert (last["code"], last["retryable"]) == ("shutdown", True)
    assert status == -signal.SIGTERM  # uvicorn closes everything, then ends with the signal


async def _types_until_it_breaks(client: "object") -> list[str]:
    import httpx

    assert isinstance(client, httpx.AsyncClient)
    seen: list[str] = []
    try:
        async with client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
            async for frame in frames(response):
                seen.append(frame["type"])  # noqa: PERF401 - the frames must survive the exception
    except httpx.TransportError:
        return seen
    raise AssertionError("the connection of a killed server closed cleanly")

"""A rolling upgrade: two versions share a store, and each serves the logs of the other whole."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from servers import HEADWATER, NEWER_VERSION, Serving, serve
from serving import Frame, chat, frames, parse, post_chat, text_of
from upstream import Upstream

both_ways = pytest.mark.parametrize(
    ("writing", "reading"), [(NEWER_VERSION, HEADWATER), (HEADWATER, NEWER_VERSION)], ids=["older reads", "newer reads"]
)


def settings(upstream: Upstream, river: dict[str, str]) -> dict[str, str]:
    """An OpenAI-compatible provider, and the store that the two versions share."""
    return {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url, **river}


def types(writing: Sequence[str], tokens: int) -> list[str]:
    """The event types that a version writes for an answer of this many tokens."""
    token = ["source", "text-delta"] if writing == NEWER_VERSION else ["text-delta"]
    return ["start", *token * tokens, "finish"]


async def whole(server: Serving, location: str) -> tuple[list[Frame], bytes, dict[str, Any]]:
    """A log in each form of the native routes: stream, bare text, JSON state."""
    stream = await server.client.get(location)
    text = await server.client.get(location, headers={"accept": "text/plain"})
    state = await server.client.get(location, headers={"accept": "application/json"})
    assert [response.status_code for response in (stream, text, state)] == [200, 200, 200]
    return parse(stream.content), text.content, state.json()


@both_ways
async def test_a_log_of_one_version_is_served_whole_by_the_other(
    writing: Sequence[str], reading: Sequence[str], tmp_path: Path, river: dict[str, str]
) -> None:
    """Live, resumed after every event, from the cache, and in every form."""
    async with Upstream(tokens=["a", "b", "c"], gated=True) as upstream:
        async with (
            serve(tmp_path, program=writing, **settings(upstream, river)) as writer,
            serve(tmp_path, program=reading, **settings(upstream, river)) as reader,
        ):
            asking = asyncio.create_task(post_chat(writer.client))
            await upstream.received()
            upstream.release()
            async with reader.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
                location = response.headers["location"]
                assert response.headers["cache-status"].endswith("collapsed")
                read = frames(response)
                live = [await anext(read)]
                while live[-1]["type"] != "text-delta":
                    live.append(await anext(read))
                upstream.release(2)
                live += [frame async for frame in read]
            await asking

            assert live[0].pop("cache") == {"status": "joined"}  # which only who asked is told
            assert [frame["type"] for frame in live] == types(writing, 3)
            for frame in live[:-1]:
                resumed = await reader.client.get(location, headers={"last-event-id": frame.id or ""})
                assert parse(resumed.content) == live[live.index(frame) + 1 :]
            assert (await reader.client.get(location, headers={"last-event-id": live[-1].id or ""})).status_code == 204

            own, other = await whole(writer, location), await whole(reader, location)
            hit = await post_chat(reader.client)

    stream, text, state = other
    assert stream == live == own[0]
    assert (text_of(stream), text, state["text"], state["state"]) == ("abc", b"abc", "abc", "finished")
    # Only the newer version knows what a source is.
    assert {**state, "metadata": {}} == {**own[2], "metadata": {}}
    assert hit.headers["cache-status"].startswith("headwater; hit")
    assert [dict(frame) for frame in parse(hit.content)[1:]] == [dict(frame) for frame in live[1:]]
    assert upstream.calls == 1


@both_ways
@pytest.mark.parametrize("river", ["sqlite"], indirect=True)
async def test_a_reader_goes_on_at_the_other_version(
    writing: Sequence[str], reading: Sequence[str], tmp_path: Path, river: dict[str, str]
) -> None:
    """A stream that begins at the server that drains resumes at the one that replaces it."""
    async with Upstream(tokens=["a", "b"], gated=True) as upstream:
        async with (
            serve(tmp_path, program=writing, **settings(upstream, river), HEADWATER_DRAIN="20") as leaving,
            serve(tmp_path, program=reading, **settings(upstream, river)) as staying,
        ):
            async with leaving.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
                location = response.headers["location"]
                upstream.release()
                read = frames(response)
                seen = [await anext(read)]
                while seen[-1]["type"] != "text-delta":
                    seen.append(await anext(read))
            leaving.process.terminate()  # while it drains, it finishes what it began
            resuming = asyncio.create_task(staying.client.get(location, headers={"last-event-id": seen[-1].id or ""}))
            upstream.release()
            rest = parse((await resuming).content)

    assert [frame["type"] for frame in [*seen, *rest]] == types(writing, 2)
    assert text_of([*seen, *rest]) == "ab"
    assert upstream.calls == 1

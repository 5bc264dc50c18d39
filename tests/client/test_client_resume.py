"""Resuming: an answer is whole, wherever its connection breaks."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from canned import canned, response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proxy import Proxy, breakable, spread
from reading import HI, QUICK, quick, read
from serving import Headwater, headwater

from headwater.client import NothingListens, Patience, Unreachable
from headwater.errors import Expired, ModelError, NoSuchLog
from headwater.events import (
    Error,
    Event,
    Finish,
    Metadata,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from headwater.models.scripted import SILENCE, Scripted, Step
from headwater.web.response import Pace

SHORT: list[Step] = [TextDelta("né"), TextDelta("\U0001f600\n\n"), Finish("stop", Usage(3, 2))]
RICH: list[Step] = [
    Metadata({"left_out": 2}),
    ReasoningDelta("Hm."),
    [ToolCallStart("c1", "weather"), ToolCallDelta("c1", '{"city":"\u2028"}'), ToolCallEnd("c1")],
    TextDelta(""),
    *[TextDelta(f"word{n} ") for n in range(40)],
    Finish("tool_calls"),
]
LONG: list[Step] = [[TextDelta("x" * 30_000), TextDelta("\u20ac" * 10_000)], Finish("length")]
BROKEN: list[Step] = [TextDelta("Once"), ModelError("the provider failed", code="provider_error", retryable=True)]
REFUSED: list[Step] = [ModelError("too fast", code="rate_limited", status=429, retryable=True, retry_after=7)]
TRANSCRIPTS = {"short": SHORT, "rich": RICH, "long": LONG, "broken": BROKEN, "refused": REFUSED}


class Setting:
    """A scripted server behind a proxy, and the events that a client reads without any break."""

    def __init__(self, server: Headwater, proxy: Proxy, uncut: list[Event], size: int) -> None:
        self.server, self.proxy, self.uncut, self.size = server, proxy, uncut, size


@pytest.fixture(params=list(TRANSCRIPTS))
async def played(request: pytest.FixtureRequest) -> AsyncGenerator[Setting, None]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(headwater(Scripted(TRANSCRIPTS[request.param])))
        proxy = await stack.enter_async_context(breakable(server.client))
        whole = await server.client.post("/api/stream/completion/chat", json={"messages": HI})
        # 600 bytes for headers and chunk sizes; a cut may fall after the end.
        yield Setting(server, proxy, await outcome(server.client.base_url), len(whole.content) + 600)


async def outcome(url: httpx.URL | str, no_cache: bool = True) -> list[Event]:
    """The events that a client reads; a refusal before the first event counts as the ending."""
    async with quick(url) as client:
        try:
            answer = await client.chat(HI, no_cache=no_cache)
        except ModelError as failure:
            return [Error(failure.code, str(failure), failure.retryable, failure.retry_after)]
        events = await read(answer)
        assert answer.ending == events[-1]
        assert answer.text == "".join(event.text for event in events if isinstance(event, TextDelta))
        return events


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 10**6), min_size=1, max_size=3), no_cache=st.booleans())
async def test_cut_and_resume_is_uncut(played: Setting, cuts: list[int], no_cache: bool) -> None:
    """With several cuts in headers and body, of a running answer and of a replay."""
    played.proxy.cuts = spread(cuts, played.size)

    assert await outcome(played.proxy.url, no_cache) == played.uncut

    played.proxy.cuts.clear()


async def test_an_answer_cut_at_every_byte_is_uncut() -> None:
    """A short replay, for every position."""
    model = Scripted([TextDelta("né"), Finish("stop")])
    async with headwater(model) as server, breakable(server.client) as proxy, quick(proxy.url) as client:
        uncut = await read(await client.chat(HI))
        location = (await client.chat(HI)).location
        whole = await server.client.get(location)
        head = sum(len(name) + len(value) + 4 for name, value in whole.headers.raw)
        # From the end of the headers to the ending, plus some bytes for the chunk sizes.
        for place in range(head - 10, head + len(whole.content) + 10):
            proxy.cuts = [place]
            seen = proxy.connections
            assert await read(await client.attach(location)) == uncut
            assert proxy.connections - seen == 2 or place > head + len(whole.content) - 5


async def test_a_break_in_mid_answer_resumes_after_the_last_event() -> None:
    """Nothing is repeated, and `on_retry` gets the reason."""
    gate = asyncio.Event()
    told: list[str] = []
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with headwater(model) as server, breakable(server.client) as proxy:
        async with quick(proxy.url, on_retry=lambda why, _: told.append(why)) as client:
            answer = await client.chat(HI)
            assert [type(await anext(answer)), await anext(answer)] == [Start, TextDelta("a")]
            assert (str(answer.offset), answer.text, answer.ending) == ("1-2", "a", None)

            proxy.cut()
            gate.set()

            assert await read(answer) == [TextDelta("b"), Finish("stop")]
            assert (str(answer.offset), answer.text, answer.ending) == ("1-4", "ab", Finish("stop"))
            assert len(told) == 1
            assert told[0].startswith("the connection ")
    assert len(model.prompts) == 1


async def test_another_client_goes_on_where_the_first_one_stopped() -> None:
    """With location and offset; an id in place of the location will do."""
    async with headwater(Scripted([TextDelta("a"), TextDelta("b"), Finish("stop")])) as server:
        async with quick(server.client.base_url) as client:
            first = await client.complete("Once")
            await anext(first)
            await anext(first)
            await first.aclose()
        async with quick(server.client.base_url) as client:
            for place in (first.location, first.id, f"http://elsewhere{first.location}"):
                again = await client.attach(place, after=first.offset)
                assert await read(again) == [TextDelta("b"), Finish("stop")]


async def test_leaving_the_loop_loses_nothing() -> None:
    """A second loop goes on, also after the connection was closed."""
    async with headwater(Scripted(RICH)) as server, quick(server.client.base_url) as client:
        uncut = await read(await client.chat(HI))
        answer = await client.chat(HI)
        seen = [await anext(answer)]
        async for event in answer:
            seen.append(event)
            if len(seen) == 3:
                break
        await answer.aclose()

        assert [*uncut[1:3], *await read(answer)] == [*seen[1:], *uncut[3:]]


async def test_a_client_at_the_end_of_a_log_gets_the_whole_answer_from_its_state() -> None:
    """The server has nothing more to stream (204), and the JSON state knows the answer and its ending."""
    async with headwater(Scripted([*RICH[:-1], Finish("length", Usage(3, 2))])) as server:
        async with quick(server.client.base_url) as client:
            answer = await client.chat(HI)
            await read(answer)

            again = await client.attach(answer.location, after=str(answer.offset))

            assert await read(again) == [Finish("length", Usage(3, 2))]
            for name in ("text", "reasoning", "tools", "metadata", "usage", "model", "ending", "offset"):
                assert getattr(again, name) == getattr(answer, name)
            assert (again.reasoning, again.metadata, len(again.tools)) == ("Hm.", {"left_out": 2}, 1)


async def test_the_state_of_an_older_server_has_text_only() -> None:
    """During a rolling upgrade the client may be newer than the server."""
    body = b"""{"id":"abcdefgh-1","state":"finished","text":"ab","ending":{"type":"finish","reason":"stop"},
        "offset":"1-3","model":"m","usage":null,"timing":{"first_token":0.1,"duration":0.2}}"""
    async with canned(response("204 No Content", b""), response("200 OK", body)) as peer, quick(peer.url) as client:
        answer = await client.attach("/api/streams/abcdefgh-1", after="1-3")
        assert await read(answer) == [Finish("stop")]
        assert (answer.text, answer.reasoning, answer.tools, answer.metadata) == ("ab", "", (), {})


async def test_a_log_that_failed_at_once_can_be_attached_to() -> None:
    """The server sends problem JSON instead of a stream; the client still gets the two events of the log."""
    async with headwater(Scripted(REFUSED)) as server, quick(server.client.base_url) as client:
        refused = await server.client.post("/api/stream/completion/chat", json={"messages": HI})
        assert refused.status_code == 429

        answer = await client.attach(refused.headers["location"])

        assert await read(answer) == [Start("", "scripted"), Error("rate_limited", "Too fast.", True, 7.0)]


async def test_a_deleted_log_is_expired_and_an_unknown_one_is_no_such_log() -> None:
    """Also if it is deleted while its reader is disconnected."""
    async with headwater(Scripted([TextDelta("a"), SILENCE])) as server, breakable(server.client) as proxy:
        async with quick(proxy.url) as client:
            answer = await client.chat(HI)
            await anext(answer)
            await anext(answer)
            proxy.cut()
            proxy.refusing = True
            await server.client.delete(answer.location)
            proxy.refusing = False

            with pytest.raises(Expired) as gone:
                await anext(answer)
            assert (gone.value.code, gone.value.status) == ("expired", 410)
            with pytest.raises(Expired):
                await client.attach(answer.location)
            with pytest.raises(NoSuchLog):
                await client.attach("0123456789ab-0123456789abcdef")


async def test_an_offset_beyond_the_end_is_expired() -> None:
    """There is nothing to go on with."""
    async with headwater(Scripted(SHORT)) as server, quick(server.client.base_url) as client:
        answer = await client.chat(HI)
        await read(answer)

        with pytest.raises(Expired):
            await client.attach(answer.location, after="1-99")


async def test_a_silent_connection_counts_as_dead() -> None:
    """Without a heartbeat the client closes it and reconnects."""
    gate = asyncio.Event()
    patience = Patience(pause=0.001, longest=0.001, silence=0.1, attempts=1000)
    told: list[str] = []

    def retrying(why: str, _: float) -> None:
        told.append(why)
        if len(told) == 3:
            gate.set()

    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with headwater(model, pace=Pace(hold=0.01, heartbeat=60)) as server:
        async with quick(server.client.base_url, patience=patience, on_retry=retrying) as client:
            answer = await client.chat(HI)
            assert (await read(answer))[1:] == [TextDelta("a"), TextDelta("b"), Finish("stop")]
    assert told[:3] == ["the server has sent nothing for 0.1 s"] * 3


async def test_heartbeats_keep_a_silent_connection() -> None:
    """A slow model causes no reconnect."""
    gate = asyncio.Event()
    patience = Patience(pause=0.001, longest=0.001, silence=0.4)
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with headwater(model, pace=Pace(heartbeat=0.02)) as server, breakable(server.client) as proxy:
        async with quick(proxy.url, patience=patience) as client:
            answer = await client.chat(HI)
            reading = asyncio.create_task(read(answer))
            # Twice the silence that the client accepts.
            await asyncio.wait({reading}, timeout=0.8)
            gate.set()
            assert (await reading)[-1] == Finish("stop")
    assert proxy.connections == 1


async def test_retries_are_limited_and_every_event_resets_their_count() -> None:
    """After the last one reading raises, and `offset` says where to go on later."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    patience = QUICK._replace(attempts=3)
    async with headwater(model) as server, breakable(server.client) as proxy:
        async with quick(proxy.url, patience=patience) as client:
            answer = await client.chat(HI)
            await anext(answer)
            await anext(answer)
            proxy.refusing = True
            proxy.cut()

            with pytest.raises(Unreachable):
                await anext(answer)
            assert proxy.connections == 1 + 3

            proxy.refusing = False
            gate.set()
            again = await client.attach(answer.location, after=answer.offset)
            assert await read(again) == [TextDelta("b"), Finish("stop")]


async def test_a_retried_question_joins_its_first_generation() -> None:
    """All three POSTs have one idempotency key, so the model is asked once."""
    model = Scripted([TextDelta("a"), Finish("stop")])
    async with headwater(model) as server, breakable(server.client) as proxy, quick(proxy.url) as client:
        proxy.cuts = [20, 20]
        answer = await client.chat(HI, no_cache=True)

        assert (await read(answer))[1:] == [TextDelta("a"), Finish("stop")]
    assert proxy.connections == 3
    assert len(model.prompts) == 1


async def test_a_server_that_is_not_running_raises_nothing_listens() -> None:
    """After some retries for a question, because the server may be restarting; at once for `about`."""
    told: list[str] = []
    async with quick("http://127.0.0.1:9", on_retry=lambda why, _: told.append(why)) as client:
        with pytest.raises(NothingListens, match=r"nothing listens at http://127.0.0.1:9$"):
            await client.about()
        assert told == []
        with pytest.raises(NothingListens):
            await client.chat(HI)
    assert len(told) == QUICK.requests


QUESTION = {"messages": [{"role": "user", "content": "Hi"}], "model": "scripted", "max_tokens": 50, "stream": True}
DOORS: dict[str, dict[str, Any]] = {
    "/api/stream/completion/chat": QUESTION,
    "/v1/chat/completions": QUESTION,
    "/v1/completions": {"prompt": "Hi", "stream": True},
    "/v1/responses": {"input": "Hi", "stream": True},
    "/v1/messages": QUESTION,
    "/agui": {"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "user", "content": "Hi"}]},
    "/api/chat": {"id": "c", "messages": [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}]},
}


@pytest.mark.parametrize("door", DOORS)
async def test_a_stream_of_any_dialect_is_read_on_after_its_last_id(door: str) -> None:
    """Whoever asked, and in which words: `Location` and the last `id` are enough."""
    words = [TextDelta(f"{n} ") for n in range(9)]
    async with headwater(Scripted([*words, Finish("stop")])) as server, quick(server.client.base_url) as client:
        told = await server.client.post(door, json=DOORS[door])
        assert told.status_code == 200, told.text
        ids = re.findall(r"^id: (\S+)$", told.text, re.MULTILINE)
        whole = await (await client.attach(told.headers["location"])).read()
        rests = [await (await client.attach(told.headers["location"], after=id)).read() for id in ids]
    assert whole.text == "".join(word.text for word in words)
    assert len({rest.text for rest in rests}) == len(words) + 1
    assert all(whole.text.endswith(rest.text) and rest.ending == Finish("stop") for rest in rests)

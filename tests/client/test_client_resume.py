"""An answer is whole, wherever its connection breaks."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

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
    """A server that plays a script, a proxy before it, and what a client hears over a connection that holds."""

    def __init__(self, server: Headwater, proxy: Proxy, uncut: list[Event], size: int) -> None:
        self.server, self.proxy, self.uncut, self.size = server, proxy, uncut, size


@pytest.fixture(params=list(TRANSCRIPTS))
async def played(request: pytest.FixtureRequest) -> AsyncGenerator[Setting, None]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(headwater(Scripted(TRANSCRIPTS[request.param])))
        proxy = await stack.enter_async_context(breakable(server.client))
        whole = await server.client.post("/api/stream/completion/chat", json={"messages": HI})
        # Headers and chunk sizes come on top of the body; a cut may fall behind the end too.
        yield Setting(server, proxy, await outcome(server.client.base_url), len(whole.content) + 600)


async def outcome(url: httpx.URL | str, no_cache: bool = True) -> list[Event]:
    """What a client gets to hear; a refusal before the first event is the ending that it tells."""
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
    """Several times, in the headers and in the body, of a running answer and of a replay."""
    played.proxy.cuts = spread(cuts, played.size)

    assert await outcome(played.proxy.url, no_cache) == played.uncut

    played.proxy.cuts.clear()


async def test_an_answer_cut_at_every_byte_is_uncut() -> None:
    """A short replay, so that no position is left out."""
    model = Scripted([TextDelta("né"), Finish("stop")])
    async with headwater(model) as server, breakable(server.client) as proxy, quick(proxy.url) as client:
        uncut = await read(await client.chat(HI))
        location = (await client.chat(HI)).location
        whole = await server.client.get(location)
        head = sum(len(name) + len(value) + 4 for name, value in whole.headers.raw)
        # From the last of the headers to the ending, and some bytes more for the sizes of the chunks.
        for place in range(head - 10, head + len(whole.content) + 10):
            proxy.cuts = [place]
            seen = proxy.connections
            assert await read(await client.attach(location)) == uncut
            assert proxy.connections - seen == 2 or place > head + len(whole.content) - 5


async def test_a_break_in_the_middle_goes_on_behind_the_last_event() -> None:
    """The part that was seen is not told again, and the application learns why it had to wait."""
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


async def test_another_client_goes_on_where_the_first_one_stood() -> None:
    """Location and offset are all that is needed; an id alone will do too."""
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
    """A second loop goes on, also when the connection was closed between."""
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
    """During a rolling upgrade either may be the newer one."""
    body = b"""{"id":"abcdefgh-1","state":"finished","text":"ab","ending":{"type":"finish","reason":"stop"},
        "offset":"1-3","model":"m","usage":null,"timing":{"first_token":0.1,"duration":0.2}}"""
    async with canned(response("204 No Content", b""), response("200 OK", body)) as peer, quick(peer.url) as client:
        answer = await client.attach("/api/streams/abcdefgh-1", after="1-3")
        assert await read(answer) == [Finish("stop")]
        assert (answer.text, answer.reasoning, answer.tools, answer.metadata) == ("ab", "", (), {})


async def test_a_log_that_failed_at_once_can_be_attached_to() -> None:
    """The server says a problem where a stream would begin with the failure; by its events it is a log like others."""
    async with headwater(Scripted(REFUSED)) as server, quick(server.client.base_url) as client:
        refused = await server.client.post("/api/stream/completion/chat", json={"messages": HI})
        assert refused.status_code == 429

        answer = await client.attach(refused.headers["location"])

        assert await read(answer) == [Start("", "scripted"), Error("rate_limited", "too fast", True, 7.0)]


async def test_a_log_that_is_gone_is_expired_and_one_that_never_was_is_not_there() -> None:
    """Also when it goes while its reader is away."""
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


async def test_an_offset_of_another_life_of_the_log_is_expired() -> None:
    """Nothing can be continued from there, so nothing is."""
    async with headwater(Scripted(SHORT)) as server, quick(server.client.base_url) as client:
        answer = await client.chat(HI)
        await read(answer)

        with pytest.raises(Expired):
            await client.attach(answer.location, after="1-99")


async def test_a_connection_without_a_byte_is_dead() -> None:
    """The server's heartbeat stays out; the client hangs up and comes back, as often as it takes."""
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
    """A model that thinks for long costs no reconnect."""
    gate = asyncio.Event()
    patience = Patience(pause=0.001, longest=0.001, silence=0.4)
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with headwater(model, pace=Pace(heartbeat=0.02)) as server, breakable(server.client) as proxy:
        async with quick(proxy.url, patience=patience) as client:
            answer = await client.chat(HI)
            reading = asyncio.create_task(read(answer))
            # Twice as long as the client bears silence.
            await asyncio.wait({reading}, timeout=0.8)
            gate.set()
            assert (await reading)[-1] == Finish("stop")
    assert proxy.connections == 1


async def test_attempts_are_bounded_and_every_event_starts_the_count_again() -> None:
    """A server that stays away ends the reading, with the place from which to go on another day."""
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


async def test_a_question_that_got_no_answer_joins_its_first_run() -> None:
    """Each attempt carries the same key, so that the model is asked once although the POST is sent three times."""
    model = Scripted([TextDelta("a"), Finish("stop")])
    async with headwater(model) as server, breakable(server.client) as proxy, quick(proxy.url) as client:
        proxy.cuts = [20, 20]
        answer = await client.chat(HI, no_cache=True)

        assert (await read(answer))[1:] == [TextDelta("a"), Finish("stop")]
    assert proxy.connections == 3
    assert len(model.prompts) == 1


async def test_a_server_that_is_not_there_is_said_to_be_absent() -> None:
    """After some attempts for a question, since it may just be restarting; at once for what costs nothing."""
    told: list[str] = []
    async with quick("http://127.0.0.1:9", on_retry=lambda why, _: told.append(why)) as client:
        with pytest.raises(NothingListens, match=r"nothing listens at http://127.0.0.1:9$"):
            await client.about()
        assert told == []
        with pytest.raises(NothingListens):
            await client.chat(HI)
    assert len(told) == QUICK.requests

"""The Python client: asking, reading and stopping."""

import asyncio

from reading import HI, quick, read
from serving import headwater, until

from headwater.answer import ToolCall
from headwater.client import Client
from headwater.events import (
    Finish,
    Metadata,
    ReasoningDelta,
    Saved,
    Start,
    Stop,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Usage,
)
from headwater.models.scripted import SILENCE, Scripted, Step
from headwater.prompt import Message


async def test_a_chat_is_answered_event_by_event() -> None:
    """Afterwards the answer has its text, ending, model and offset."""
    async with headwater(Scripted([TextDelta("Hel"), TextDelta("lo"), Finish("stop", Usage(3, 2))])) as server:
        async with Client(str(server.client.base_url)) as client:
            answer = await client.chat(HI)

            events = await read(answer)

            assert events == [Start("", "scripted"), TextDelta("Hel"), TextDelta("lo"), Finish("stop", Usage(3, 2))]
            assert (answer.text, answer.ending, str(answer.offset)) == ("Hello", events[-1], "1-4")
            assert answer.location == f"/api/streams/{answer.id}"
            assert (answer.cache_status, answer.age, answer.model) == ("headwater; fwd=miss", None, "scripted")


async def test_an_answer_adds_up_its_events_of_every_kind() -> None:
    """Reasoning, tool calls, metadata and usage beside the text, of the events iterated so far."""
    script: list[Step] = [
        Metadata({"left_out": 2}),
        ReasoningDelta("Hm"),
        ReasoningDelta("."),
        [ToolCallStart("c1", "look"), ToolCallDelta("c1", '{"x"'), ToolCallDelta("c1", ":1}"), ToolCallEnd("c1")],
        [ToolResult("c1", "one "), ToolResult("c1", "two")],
        TextDelta("Two."),
        Finish("stop", Usage(3, 2)),
    ]
    async with headwater(Scripted(script)) as server, quick(server.client.base_url) as client:
        answer = await client.chat(HI)
        assert (answer.reasoning, answer.tools, answer.metadata, answer.usage) == ("", (), {}, None)

        await read(answer)

        assert (answer.text, answer.reasoning, answer.metadata) == ("Two.", "Hm.", {"left_out": 2})
        assert answer.tools == (ToolCall("c1", "look", '{"x":1}', True, "one two"),)
        assert answer.usage == Usage(3, 2)


async def test_events_arrive_while_the_model_still_thinks() -> None:
    """Nothing between model and client buffers them."""
    gate = asyncio.Event()
    async with headwater(Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])) as server:
        async with quick(server.client.base_url) as client:
            answer = await client.chat(HI)
            assert (await anext(answer), await anext(answer))[1] == TextDelta("a")
            gate.set()
            assert await read(answer) == [TextDelta("b"), Finish("stop")]


async def test_what_is_asked_reaches_the_model() -> None:
    """Named parameters, other fields unchanged, and a completion as one user turn."""
    model = Scripted([Finish("stop")])
    async with headwater(model) as server, quick(server.client.base_url) as client:
        await client.chat([{"role": "user", "content": "né"}], model="scripted", temperature=0.5, max_tokens=7, top_k=3)
        await client.complete("Once upon", seed=1)

    chat, completion = model.prompts
    assert (chat.kind, chat.messages, chat.extra) == ("chat", [Message("user", "né")], {"top_k": 3})
    assert (chat.parameters.temperature, chat.parameters.max_tokens) == (0.5, 7)
    assert (completion.kind, completion.messages[0].content) == ("completion", "Once upon")


async def test_a_repeated_question_hits_the_cache_unless_that_is_forbidden() -> None:
    """A replay has an age; `no_cache` asks the model again."""
    model = Scripted([TextDelta("a"), Finish("stop", Usage(3, 2))])
    async with headwater(model) as server, quick(server.client.base_url) as client:
        first = await read(await client.chat(HI))
        replay = await client.chat(HI)
        assert await read(replay) == first
        assert replay.cache_status.startswith("headwater; hit; ttl=")
        assert replay.age == 0
        assert replay.saved is not None
        assert (replay.saved.tokens, replay.saved.cost) == (5, None)
        assert len(model.prompts) == 1

        afresh = await client.chat(HI, no_cache=True)
        assert await read(afresh) == first
        assert (afresh.cache_status, afresh.age) == ("headwater; fwd=request", None)
        assert len(model.prompts) == 2
        assert (await client.chat(HI)).id.startswith(afresh.id)


async def test_stop_ends_the_answer_while_the_model_is_silent() -> None:
    """The reader gets the ending over its open connection."""
    model = Scripted([TextDelta("a"), SILENCE])
    async with headwater(model) as server, quick(server.client.base_url) as client:
        answer = await client.chat(HI)
        await anext(answer)
        await anext(answer)

        assert await answer.stop() == "stopped"

        assert model.running == 0
        assert await read(answer) == [Stop("anyone")]
        assert (answer.text, answer.ending) == ("a", Stop("anyone"))
        assert await answer.stop() == "stopped"


async def test_a_client_that_leaves_does_not_end_the_answer() -> None:
    """The generation goes on, and another client reads it."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with headwater(model) as server:
        async with quick(server.client.base_url) as client:
            async with await client.chat(HI) as answer:
                await anext(answer)
        gate.set()
        await until(lambda: not server.answers.running, "the generation has ended")
        async with quick(server.client.base_url) as client:
            assert (await read(await client.attach(answer.location)))[-1] == Finish("stop")
    assert len(model.prompts) == 1


async def test_a_reader_that_is_cancelled_can_read_on() -> None:
    """A timeout around one event costs the connection, but no event."""
    gate = asyncio.Event()
    async with headwater(Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])) as server:
        async with quick(server.client.base_url) as client:
            answer = await client.chat(HI)
            await anext(answer)
            await anext(answer)
            reading = asyncio.create_task(read(answer))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait({reading})
            gate.set()
            assert await read(answer) == [TextDelta("b"), Finish("stop")]


async def test_many_answers_are_read_at_once() -> None:
    """More at once than an HTTP client opens connections by default."""
    gate = asyncio.Event()
    async with headwater(Scripted([TextDelta("a"), gate, Finish("stop", Usage(3, 2))])) as server:
        async with quick(server.client.base_url) as client:
            answers = await asyncio.gather(*(client.chat(HI) for _ in range(120)))
            assert {answer.saved for answer in answers} == {None}
            gate.set()
            read_events = await asyncio.gather(*(read(answer) for answer in answers))
    assert all(events == read_events[0] for events in read_events)
    assert sum(answer.cache_status.endswith("; collapsed") for answer in answers) == 119
    assert sum(answer.saved == Saved(0.0, 5) for answer in answers) == 119


async def test_a_server_describes_itself() -> None:
    """Its version and its model."""
    async with headwater(Scripted([])) as server, quick(server.client.base_url) as client:
        about = await client.about()
    assert (about.version, about.model, about.demo, about.notice) == ("0", "scripted", False, None)

"""Models of OpenAI's Responses API: what is asked, what is told, and how a run is come back to."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter
from responses_upstream import ResponsesUpstream, words
from ways import HELLO, KEY, answer, joined, until_failure

from headwater.answer import Answer, Fold, ToolCall
from headwater.errors import CannotContinue, ModelError
from headwater.events import (
    Event,
    Finish,
    Metadata,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from headwater.models.model import RUN, Reattaches, Shown
from headwater.models.openai.connection import Account
from headwater.models.openai.responses import ResponsesModel
from headwater.prompt import (
    Audio,
    File,
    Image,
    Message,
    MessageToolCall,
    Parameters,
    Prompt,
    ProviderPart,
    ProviderTool,
    Text,
    Tool,
)
from headwater.settings import Settings
from headwater.wiring.models import catalogue

COUNTED = Usage(
    3, 2, {"input_token_details": {"cache_read": 1, "cache_creation": 0}, "output_token_details": {"reasoning": 1}}
)
FIRST = Metadata({RUN: "resp_1"})
CALLS = [("call_a", "look_up", ['{"q":', "1}"]), ("call_b", "look_up", ["{}"])]


def model_of(upstream: ResponsesUpstream, *, keeps: bool = True) -> ResponsesModel:
    return ResponsesModel("gpt-test", Account(upstream.url, KEY, keeps=keeps))


async def reattached(upstream: ResponsesUpstream, shown: Shown) -> list[Event]:
    """What comes of the first run behind what was shown."""
    model = model_of(upstream)
    try:
        async with aclosing(model.reattach("resp_1", HELLO, shown)) as batches:
            return [event async for batch in batches for event in batch]
    finally:
        await model.aclose()


# ---- The request


async def test_every_turn_of_a_conversation_becomes_an_item() -> None:
    """Texts, pictures, sounds and files, the model's turns, its calls and what they returned."""
    call = MessageToolCall("call_a", "look_up", '{"q":1}')
    parts = [
        Text("See"),
        Image(url="http://x/a.png", detail="low"),
        Image(data="QQ==", media_type="image/png"),
        Audio(data="QQ==", media_type="audio/mpeg"),
        File(id="file_1"),
        File(url="http://x/a.pdf"),
        File(data="QQ==", media_type="application/pdf", name="a.pdf"),
        ProviderPart({"type": "input_image", "file_id": "file_2"}),
        ProviderPart({"type": "text", "text": "cached", "cache_control": {}}),
    ]
    messages = [
        Message("system", "Be brief"),
        Message("user", parts),
        Message("assistant", "Looking", tool_calls=[call]),
        Message("tool", "42", tool_call_id="call_a"),
        Message("assistant", [Text("It is 42")]),
        Message("user", "Thanks"),
    ]
    async with ResponsesUpstream() as upstream:
        await answer(model_of(upstream), Prompt(model="m", messages=messages))
        body = upstream.requests[0].body
    assert body["input"] == [
        {"role": "system", "content": "Be brief"},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "See"},
                {"type": "input_image", "image_url": "http://x/a.png", "detail": "low"},
                {"type": "input_image", "image_url": "data:image/png;base64,QQ=="},
                {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
                {"type": "input_file", "file_id": "file_1"},
                {"type": "input_file", "file_url": "http://x/a.pdf"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,QQ==", "filename": "a.pdf"},
                {"type": "input_image", "file_id": "file_2"},
                {"type": "input_text", "text": "cached"},
            ],
        },
        {"role": "assistant", "content": "Looking"},
        {"type": "function_call", "call_id": "call_a", "name": "look_up", "arguments": '{"q":1}'},
        {"type": "function_call_output", "call_id": "call_a", "output": "42"},
        {"role": "assistant", "content": "It is 42"},
        {"role": "user", "content": "Thanks"},
    ]
    assert {name: body[name] for name in ("model", "stream", "background", "store")} == {
        "model": "gpt-test",
        "stream": True,
        "background": True,
        "store": True,
    }


async def test_parameters_and_fields_have_the_words_of_this_api() -> None:
    """Also those that the chat API has other words for; what names other requests is not sent."""
    extra: dict[str, Any] = {
        "reasoning_effort": "low",
        "reasoning": {"summary": "auto"},
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "tool_choice": {"type": "function", "function": {"name": "look_up"}},
        "parallel_tool_calls": False,
        "previous_response_id": "resp_of_somebody_else",
        "input": "other",
    }
    tools = [
        Tool("look_up", "Looks", {"type": "object"}),
        Tool("strictly", strict=True),
        ProviderTool({"type": "web_search"}),
        ProviderTool({"type": "function", "function": {"name": "own", "x": 1}}),
    ]
    prompt = Prompt(
        model="m",
        messages=HELLO.messages,
        parameters=Parameters(temperature=0.5, max_tokens=9),
        tools=tools,
        extra=extra,
        carried={"user": "u", "metadata": {"a": "b"}},
    )
    async with ResponsesUpstream() as upstream:
        await answer(model_of(upstream), prompt)
        body = upstream.requests[0].body
    function = {"type": "function", "strict": False, "parameters": None}
    assert body == {
        "model": "gpt-test",
        "input": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "background": True,
        "store": True,
        "temperature": 0.5,
        "max_output_tokens": 9,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": {}}},
        "tool_choice": {"type": "function", "name": "look_up"},
        "parallel_tool_calls": False,
        "user": "u",
        "metadata": {"a": "b"},
        "tools": [
            {**function, "name": "look_up", "description": "Looks", "parameters": {"type": "object"}},
            {**function, "name": "strictly", "strict": True},
            {"type": "web_search"},
            {**function, "name": "own", "x": 1},
        ],
    }


@pytest.mark.parametrize("of_request", [True, False])
async def test_without_leave_the_provider_keeps_nothing(of_request: bool) -> None:
    """The operator, or the request, does not allow it: the run ends with its connection."""
    carried = {"store": False} if of_request else {}
    async with ResponsesUpstream() as upstream:
        events = await answer(model_of(upstream, keeps=of_request), msgspec.structs.replace(HELLO, carried=carried))
        assert events == [TextDelta("Hel"), TextDelta("lo"), Finish("stop", COUNTED)]
        assert upstream.requests[0].body["store"] is False
        assert "background" not in upstream.requests[0].body


async def test_a_server_without_background_is_asked_once_more_and_remembered() -> None:
    """As `background: false` is what it has."""
    async with ResponsesUpstream(keeps=False) as upstream:
        model = model_of(upstream)
        for _ in range(2):
            assert await answer(model) == [TextDelta("Hel"), TextDelta("lo"), Finish("stop", COUNTED)]
        assert ["background" in request.body for request in upstream.requests] == [True, False, False]


@pytest.mark.parametrize(
    ("setting", "kept"),
    [({}, True), ({"continue_": "off"}, False), ({"continue_by": ["prefill"]}, False)],
    ids=["by default", "off", "another way"],
)
async def test_a_name_finds_it(setting: dict[str, Any], kept: bool) -> None:
    """Whatever the other settings say. The provider keeps runs only where one may come back to them."""
    async with ResponsesUpstream() as upstream:
        chosen = Settings(openai_base_url=upstream.url, openai_wire=False, think_tags=True, **setting)  # pyright: ignore[reportCallIssue, reportArgumentType]
        models = catalogue(chosen, "openai-responses:gpt-5-pro")
        model = await models.get(models.chat)
        assert isinstance(model, Reattaches)
        assert model.name == "openai-responses:gpt-5-pro"
        await answer(model)
        assert ("background" in upstream.requests[0].body) is kept
        await models.aclose()


# ---- The answer


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tokens": ["Hel", "lo"]}, [TextDelta("Hello"), Finish("stop", COUNTED)]),
        (
            {"reasoning": ["Hm.", "So."], "tokens": ["x"]},
            [ReasoningDelta("Hm.\n\nSo."), TextDelta("x"), Finish("stop", COUNTED)],
        ),
        (
            {"tokens": (), "tool_calls": CALLS},
            [
                ToolCallStart("call_a", "look_up"),
                ToolCallDelta("call_a", '{"q":'),
                ToolCallDelta("call_a", "1}"),
                ToolCallEnd("call_a"),
                ToolCallStart("call_b", "look_up"),
                ToolCallDelta("call_b", "{}"),
                ToolCallEnd("call_b"),
                Finish("tool_calls", COUNTED),
            ],
        ),
        ({"refusal": "No."}, [TextDelta("No."), Finish("content_filter", COUNTED)]),
        ({"reason": "max_output_tokens"}, [TextDelta("Hello"), Finish("length", COUNTED)]),
        ({"reason": "content_filter"}, [TextDelta("Hello"), Finish("content_filter", COUNTED)]),
        ({"tokens": ()}, [Finish("other", COUNTED)]),
    ],
    ids=["text", "reasoning", "tools", "refusal", "length", "filter", "nothing"],
)
async def test_an_answer_streamed_and_whole(fields: dict[str, Any], told: list[Event]) -> None:
    """The events of a stream, of a run that is read again, and of one that is read once it is whole, are the same."""
    async with ResponsesUpstream(**fields) as upstream:
        assert joined(await answer(model_of(upstream))) == [FIRST, *told]
        assert joined(await reattached(upstream, Shown(""))) == told
        upstream.streams_again = False
        whole = joined(await reattached(upstream, Shown("")))
        arguments = [event.arguments for event in told if isinstance(event, ToolCallDelta)]
        assert "".join(e.arguments for e in whole if isinstance(e, ToolCallDelta)) == "".join(arguments)
        assert [e for e in whole if not isinstance(e, ToolCallDelta)] == [
            e for e in told if not isinstance(e, ToolCallDelta)
        ]


async def test_the_events_of_the_fake_provider_are_those_of_openai() -> None:
    """OpenAI's own client validates them."""
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    variants: list[dict[str, Any]] = [
        {"failure": {"code": "server_error", "message": "m"}},
        {"reason": "content_filter"},
        {"refusal": "No"},
    ]
    for fields in variants:
        upstream = ResponsesUpstream(reasoning=["Hm"], tool_calls=CALLS, **fields)
        for event in upstream.events("resp_1", True, ["x"]):
            found = adapter.validate_python(event, strict=True)
            assert type(found).__name__.startswith("Response"), event


async def test_an_error_before_the_first_token_has_its_status() -> None:
    """And says when to come back."""
    async with ResponsesUpstream(status=429, headers={"Retry-After": "7"}) as upstream:
        events, failure = await until_failure(model_of(upstream))
        assert (events, failure.code, failure.retryable, failure.retry_after) == ([], "rate_limited", True, 7.0)


async def test_a_response_that_fails() -> None:
    """Its error is the provider's own, and a run that has failed is not come back to."""
    async with ResponsesUpstream(failure={"code": "rate_limit_exceeded", "message": "slow down"}) as upstream:
        events, failure = await until_failure(model_of(upstream))
        assert events == [FIRST, TextDelta("Hel"), TextDelta("lo")]
        assert (failure.code, failure.retryable) == ("rate_limited", True)
        with pytest.raises(CannotContinue, match="slow down"):
            await reattached(upstream, Shown("Hello"))


# ---- Coming back


def folded(events: Sequence[Event]) -> Answer:
    """What the events add up to, however they are cut."""
    fold = Fold()
    for event in events:
        fold.add(event)
    return fold.answer()


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(3, 40), min_size=1, max_size=2),
    reset=st.booleans(),
    streams_again=st.booleans(),
)
def test_a_run_that_is_cut_anywhere_is_the_uncut_one(cuts: list[int], reset: bool, streams_again: bool) -> None:
    """Text, reasoning, calls and usage, whatever was shown before the connection broke."""

    async def run() -> None:
        fields: dict[str, Any] = {"reasoning": ["Hm.", "So."], "tokens": words(9), "tool_calls": CALLS}
        async with ResponsesUpstream(**fields) as upstream:
            uncut = folded(await answer(model_of(upstream)))
        fields |= {"cuts": cuts, "cut": "rst" if reset else "eof", "streams_again": streams_again}
        async with ResponsesUpstream(**fields) as upstream:
            events: list[Event] = []
            model = model_of(upstream)
            for _ in range(4):
                so_far = folded(events)
                shown = Shown(so_far.text, so_far.reasoning, 0, so_far.tools)
                came = model.reattach("resp_1", HELLO, shown) if events else model.stream(HELLO)
                with suppress(ModelError):
                    async with aclosing(came) as batches:
                        async for batch in batches:
                            events += batch
                if events and isinstance(events[-1], Finish):
                    break
            await model.aclose()
            assert folded(events) == uncut
            assert len(upstream.runs) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    "shown",
    [Shown("Hullo"), Shown("Hello, world"), Shown("Hel", "Hm"), Shown("Hel", tools=(ToolCall("call_a", "look_up"),))],
)
async def test_a_run_that_contradicts_what_was_shown(shown: Shown) -> None:
    """Other words, fewer words, thoughts or a call that it has not: nothing of it is taken."""
    async with ResponsesUpstream() as upstream:
        await answer(model_of(upstream))
        with pytest.raises(CannotContinue):
            await reattached(upstream, shown)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_run_that_is_gone(status: int) -> None:
    """The provider keeps it for some minutes."""
    async with ResponsesUpstream(gone=status) as upstream:
        await answer(model_of(upstream))
        with pytest.raises(CannotContinue, match="not found"):
            await reattached(upstream, Shown("Hel"))


async def test_a_run_that_cannot_be_come_back_to_before_its_first_word_is_ended() -> None:
    """The question is asked anew after that, and two runs would be paid."""
    async with ResponsesUpstream(cuts=[2], gone=503, gated=True) as upstream:
        _, failure = await until_failure(model_of(upstream))
        assert failure.retryable
        assert [run.cancelled for run in upstream.runs] == [True]


@pytest.mark.parametrize("status", [404, None])
async def test_a_connection_that_breaks_before_the_first_word(status: int | None) -> None:
    """The same run is come back to, and not a second one begun; without it the failure is the broken connection."""
    async with ResponsesUpstream(cuts=[2], gone=status) as upstream:
        if status is None:
            assert await answer(model_of(upstream)) == [
                FIRST,
                TextDelta("Hel"),
                TextDelta("lo"),
                Finish("stop", COUNTED),
            ]
        else:
            events, failure = await until_failure(model_of(upstream))
            assert (events, failure.code, failure.retryable) == ([FIRST], "provider_cut", True)
        assert len(upstream.runs) == 1

"""The AI SDK's dialect where it differs from the others: its requests, its tools, and the count of its parts."""

import json
import re
from typing import Any

import pytest
from corpus import MESSAGE_ID, TRANSCRIPTS
from hypothesis import given
from hypothesis import strategies as st

from headwater.dialects.dialect import BEGINNING, Cursor, Unspeakable
from headwater.dialects.fold import SHARED
from headwater.dialects.native import request as native
from headwater.dialects.vercel import request
from headwater.dialects.vercel.dialect import Vercel
from headwater.dialects.vercel.request import LONGEST
from headwater.dialects.vercel.told import Told, checksum, read_run_id, run_id
from headwater.entries import Page, record
from headwater.errors import InvalidPrompt, NoSuchLog, RequestError
from headwater.events import (
    PIECE,
    Event,
    Finish,
    Start,
    Stop,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
)
from headwater.offsets import Offset

PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def ui(role: str, *parts: dict[str, Any], id: str = "m1") -> dict[str, Any]:
    return {"id": id, "role": role, "parts": list(parts), "metadata": {"shown": True}}


def body(*messages: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"id": "chat-1", "trigger": "submit-message", "messages": messages, **fields}).encode()


def parts(events: list[Event], told: Told = Told(), cursor: Cursor = BEGINNING) -> list[dict[str, Any]]:  # noqa: B008
    reader = Vercel(told=told).reader(MESSAGE_ID, cursor)
    log: list[Event] = [Start(MESSAGE_ID, "m", 1), *events]
    written = b"".join(reader.feed([record(Offset(1, n), n / 10, event)]) for n, event in enumerate(log, 1))
    return [json.loads(line) for line in re.findall(rb"^data: (\{.*)$", written, re.MULTILINE)]


CONVERSATION = body(
    ui("system", text("Be "), text("brief.")),
    ui("user", text("Weather?"), {"type": "data-place", "data": 1}),
    ui(
        "assistant",
        {"type": "step-start"},
        {"type": "reasoning", "text": "Hm."},
        text("Let me "),
        text("look."),
        {
            "type": "tool-weather",
            "toolCallId": "c1",
            "state": "output-available",
            "input": {"city": "Oslo"},
            "output": {"c": 4},
        },
        {
            "type": "dynamic-tool",
            "toolName": "tides",
            "toolCallId": "c2",
            "state": "output-error",
            "input": {},
            "errorText": "No tides.",
        },
        {"type": "tool-weather", "toolCallId": "c3", "state": "input-available", "input": {}},
        {"type": "step-start"},
        text("4 °C."),
        {"type": "source-url", "sourceId": "s", "url": "https://example.org"},
        {"type": "data-headwater", "data": {}},
    ),
    ui("user", text("And these?"), {"type": "file", "mediaType": "image/png", "url": PNG, "filename": "a.png"}),
    ui("user", {"type": "file", "mediaType": "application/pdf", "url": PDF, "filename": "a.pdf"}),
    model="m",
    temperature=0.5,
    tools=[WEATHER],
    user="ann",
)
SAME = json.dumps(
    {
        "model": "m",
        "temperature": 0.5,
        "user": "ann",
        "tools": [WEATHER],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
                    {"id": "c2", "type": "function", "function": {"name": "tides", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": '{"c":4}'},
            {"role": "tool", "tool_call_id": "c2", "content": "No tides."},
            {"role": "assistant", "content": "4 °C."},
            {"role": "user", "content": [text("And these?"), {"type": "image_url", "image_url": {"url": PNG}}]},
            {"role": "user", "content": [{"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}]},
        ],
    }
).encode()


def test_the_same_conversation_is_the_same_prompt_as_in_openais_form() -> None:
    """So one answer serves both, from the cache or while it runs."""
    assert request.chat(CONVERSATION).ask.prompt == native.chat(SAME).prompt


def test_a_completion_is_the_same_prompt_as_the_native_one() -> None:
    """`useCompletion` and `POST /api/stream/completion` share their answers."""
    asked = json.dumps({"prompt": "Once", "max_tokens": 5}).encode()

    assert request.completion(asked).ask.prompt == native.completion(asked).prompt


def test_only_the_last_message_may_come_and_tools_and_the_system_as_assistant_ui_sends_them() -> None:
    """Apps that send `message` alone keep the history themselves."""
    asked = json.dumps(
        {"message": ui("user", text("Hi")), "system": "Be brief.", "tools": {"weather": {"parameters": {}}}}
    ).encode()

    prompt = request.chat(asked).ask.prompt

    assert [message.role for message in prompt.messages] == ["system", "user"]
    assert [getattr(tool, "name", "") for tool in prompt.tools] == ["weather"]


def test_an_answer_continues_the_assistants_message_that_ends_the_request() -> None:
    """The page has run its tools; a message of its own would show the call twice."""
    call = {"type": "tool-weather", "toolCallId": "c1", "state": "output-available", "output": 4}
    after_a_call = request.chat(body(ui("user", text("Hi")), ui("assistant", call, id="m7"), tools=[WEATHER]))

    assert after_a_call.told == Told("m7", frozenset({checksum("weather")}))
    assert parts([], after_a_call.told)[0] == {"type": "start", "messageId": "m7"}
    assert request.chat(body(ui("user", text("Hi")))).told == Told()


def test_who_asks_for_another_answer_gets_one_that_takes_the_first_ones_place() -> None:
    """A regenerated answer from the cache would be the one that the user did not want."""
    assert request.chat(body(ui("user", text("Hi")), trigger="regenerate-message")).ask.renew
    assert not request.chat(body(ui("user", text("Hi")))).ask.renew


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}', "messages[0] has no parts"),
        (b'{"id": "c"}', "messages is not a list"),
        (body(), "messages is not a list"),
        (body(ui("user", {"type": "video"})), "messages[0].parts[0] is of the type 'video'"),
        (body(ui("assistant", {"type": "video"}), ui("user", text("Hi"))), "messages[0].parts[0] is of the type"),
        (body(ui("user", {"text": "Hi"})), "messages[0].parts[0] is not a part"),
        (body(ui("user", {"type": "text", "text": 5})), "messages[0].parts[0].text is not a text"),
        (body(ui("user", {"type": "file", "mediaType": "image/png"})), "messages[0].parts[0] has no url"),
        (body(ui("tool", text("Hi"))), "messages[0].role is 'tool'"),
        (body(ui("user", text("Hi")), id="x" * (LONGEST + 1)), "the field id is not a text of at most 200"),
        (body(ui("user", text("")), temperature=0), "messages[0] has no content"),
        (body(ui("user", text("Hi")), temperature=9), "temperature"),
        (body(ui("user", text("Hi")), tools={"weather": None}), "tools[0]"),
    ],
)
def test_what_is_no_ui_message_is_refused_with_the_place_of_the_mistake(sent: bytes, says: str) -> None:
    """An Ollama client calls the same path, and a page may have a bug."""
    with pytest.raises(InvalidPrompt, match=re.escape(says)):
        request.chat(sent)


@given(st.text(max_size=50), st.sets(st.text(max_size=20)))
def test_a_run_id_carries_what_was_told(own: str, tools: set[str]) -> None:
    """A client that continues by the run id sees the same parts as before."""
    told = Told(own.encode("utf-8", "replace").decode(), frozenset(map(checksum, tools)))
    written = run_id(MESSAGE_ID, told)

    assert re.fullmatch(r"[\w.-]+", written, re.ASCII)
    assert read_run_id(written) == (MESSAGE_ID, told)
    assert run_id(MESSAGE_ID, Told()) == MESSAGE_ID


@pytest.mark.parametrize("written", ["a.b", "a.AAA.AAAA", "a.b.c.d", "a.AAAAAAA.", "ä.ö.ü"])
def test_what_is_no_run_id_names_no_log(written: str) -> None:
    """It comes from a URL, so from anybody."""
    with pytest.raises(NoSuchLog):
        read_run_id(written)


def test_a_tool_of_the_page_is_a_typed_part_and_one_of_the_server_a_dynamic_one() -> None:
    """Pages match their own tools by the part's type, and ignore dynamic ones in `onToolCall`."""
    called: list[Event] = [
        *(ToolCallStart("c1", "weather"), ToolCallDelta("c1", "{}"), ToolCallEnd("c1")),
        *(ToolCallStart("c2", "search"), ToolResult("c2", "found")),
    ]
    told = parts(called, Told(tools=frozenset({checksum("weather")})))

    assert {part["toolCallId"]: part.get("dynamic") for part in told if "toolCallId" in part} == {
        "c1": None,
        "c2": True,
    }


def test_a_page_keeps_the_frames_of_a_few_sets_of_tools_only() -> None:
    """Clients name the tools in an address, and so as many sets of them as they like."""
    page = Page(
        record(Offset(1, n), 0, event) for n, event in enumerate([Start(MESSAGE_ID, "m", 1), Finish("stop")], 1)
    )
    read = {Vercel(told=Told(tools=frozenset({n}))).reader(MESSAGE_ID).feed(page) for n in range(100)}

    assert len(read) == 1
    assert len(page.frames or ()) == SHARED


def test_arguments_that_are_no_json_are_the_tools_failure() -> None:
    """A page that ran its tool with half an input would fail in its own code."""
    last = parts([ToolCallStart("c1", "weather"), ToolCallDelta("c1", '{"city'), ToolCallEnd("c1")])[-1]

    assert (last["type"], last["errorText"]) == ("tool-output-error", "The model wrote arguments that are not JSON.")


def test_a_result_that_was_split_for_its_length_comes_as_one() -> None:
    """Each part replaces the one before, so many parts of a long result would take quadratic time."""
    pieces: list[Event] = [ToolResult("c1", "x" * PIECE), ToolResult("c1", "y" * PIECE), ToolResult("c1", "z")]
    told = parts([ToolCallStart("c1", "read"), *pieces, TextDelta("So.")])

    assert [part["output"][-1] for part in told if part["type"] == "tool-output-available"] == ["z"]
    assert [len(part["output"]) for part in told if part["type"] == "tool-output-available"] == [2 * PIECE + 1]
    unfinished = parts([ToolCallStart("c1", "read"), pieces[0], Stop("ann")])
    assert [len(part["output"]) for part in unfinished if part["type"] == "tool-output-available"] == [PIECE]


@pytest.mark.parametrize("ending", [Finish("stop"), Stop("ann")])
def test_the_last_step_has_no_call_that_the_page_need_not_answer(ending: Event) -> None:
    """With `lastAssistantMessageIsCompleteWithToolCalls` the page would ask again for ever."""
    told = [part["type"] for part in parts([ToolCallStart("c1", "search"), ToolResult("c1", "found"), ending])]

    last_step = told[len(told) - told[::-1].index("start-step") :]
    assert not [part for part in last_step if part.startswith("tool-")]


def test_a_count_of_parts_is_a_number_and_one_at_the_end_is_refused() -> None:
    """`WorkflowChatTransport` repeats its request for ever if a response has no part in it."""
    dialect, log = Vercel(), next(each for each in TRANSCRIPTS if each.name == "stopped").entries
    count = len(re.findall(rb"^data: \{", dialect.reader(MESSAGE_ID).feed(log), re.MULTILINE))

    assert dialect.cursor({}, {"startIndex": "3"}) == Cursor(frames=3)
    assert b"abort" in dialect.reader(MESSAGE_ID, Cursor(frames=count - 1)).feed(log)
    for beyond in (count, count + 1, count + 9):
        with pytest.raises(Unspeakable) as refused:
            dialect.reader(MESSAGE_ID, Cursor(frames=beyond)).feed(log)
        assert refused.value.instead is not None
        assert refused.value.instead.status == 410
    for wrong in ("-3", "x", "1.5", "²"):
        with pytest.raises(RequestError, match="startIndex"):
            dialect.cursor({}, {"startIndex": wrong})


def test_ids_that_a_client_made_stay_within_the_json() -> None:
    """The id of a message goes back as it came, whatever characters it has."""
    told = Told('é"\\\n\0')

    assert parts([], told)[0]["messageId"] == told.own

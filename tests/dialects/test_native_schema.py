"""The description of the native routes says what they really accept and send."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from headwater.dialects.fields import OURS
from headwater.dialects.native import openapi, request, schema
from headwater.events import (
    Cached,
    Continued,
    Error,
    Event,
    Finish,
    Metadata,
    ReasoningDelta,
    Start,
    Stop,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Usage,
)
from headwater.prompt import CARRIED, LIMITS, Parameters, Prompt

JSON = dict[str, Any]
ROUTES: list[tuple[str, Callable[[bytes], Prompt], JSON]] = [
    ("chat", lambda body: request.chat(body).prompt, {"messages": [{"role": "user", "content": "Hi"}]}),
    ("completion", lambda body: request.completion(body).prompt, {"message": "Once upon"}),
]


RESPONSES_ONLY = {"background", "background_options"}
BODIES = {"chat": schema.ChatBody, "completion": schema.CompletionBody}


def fields_of(route: str) -> JSON:
    """The described fields of a route's body."""
    return openapi.request(BODIES[route])["content"]["application/json"]["schema"]["properties"]


@pytest.mark.parametrize(("route", "read", "least"), ROUTES, ids=["chat", "completion"])
def test_every_described_field_is_accepted_with_its_example(
    route: str, read: Callable[[bytes], Prompt], least: JSON
) -> None:
    """It ends up where its description says: in the prompt, or nowhere."""
    bare = read(json.dumps(least).encode())
    for name, described in fields_of(route).items():
        example: Any = described["examples"][0]
        prompt = read(json.dumps({**least, name: example}).encode())
        if described["description"].startswith(("Ignored", "Accepted and not used", "Decides no answer")):
            assert prompt == bare, name
            assert name in OURS
        elif described["description"].endswith("decides no answer"):
            assert prompt == msgspec.structs.replace(bare, carried={name: example})
            assert name in CARRIED
        elif name in Parameters.__struct_fields__:
            assert getattr(prompt.parameters, name) == example
        elif name in ("model", "tools", "messages", "message", "prompt"):
            assert name in ("messages", "message", "prompt") or prompt != bare, name
        else:
            assert prompt.extra == {name: example}


@pytest.mark.parametrize(("route", "own"), [("chat", {"messages"}), ("completion", {"message", "prompt"})])
def test_every_field_that_is_read_is_described(route: str, own: set[str]) -> None:
    """With its meaning, and its limits."""
    fields = fields_of(route)
    assert fields.keys() >= {"model", "tools", *own, *CARRIED, *OURS - RESPONSES_ONLY, *Parameters.__struct_fields__}
    assert all(field["description"] for field in fields.values())
    for name, (low, high) in LIMITS.items():
        assert (fields[name]["minimum"], fields[name]["maximum"]) == (low, high)


EVENTS: list[Event] = [
    Start("m", "echo", 1, Cached("hit")),
    TextDelta("x"),
    ReasoningDelta("x"),
    ToolCallStart("c", "f"),
    ToolCallDelta("c", "{}"),
    ToolCallEnd("c"),
    ToolResult("c", "42"),
    Metadata({"fitted": {}}),
    Continued("server", "prefill", "1-7", 2, "echo", 0.5, "1-7"),
    Finish("stop", Usage(1, 2, {"a": 1}), replayable=False),
    Stop("me"),
    Error("timeout", "Too slow.", True, 2.0, 504),
]


def test_every_event_is_described_field_by_field() -> None:
    """As the stream tells it: an error comes without our hint of an HTTP status."""
    described = openapi.answer()["text/event-stream"]["schema"]["anyOf"]
    kinds: JSON = {kind["properties"]["type"]["enum"][0]: kind for kind in described}
    told = {event["type"]: event for event in map(msgspec.to_builtins, EVENTS)}
    assert kinds.keys() == told.keys()
    del told["error"]["status"]
    for name, kind in kinds.items():
        assert kind["properties"].keys() == told[name].keys()
        assert kind["description"]


def test_a_schema_is_complete_in_itself() -> None:
    """A router cannot add components to the document of an app that is somebody else's."""
    everything = [openapi.answer(), openapi.state(), openapi.failure(), *map(openapi.request, BODIES.values())]
    assert "$ref" not in json.dumps(everything)

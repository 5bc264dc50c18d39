"""The description of the native routes says what they really accept and send."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from headwater.dialects.native import request, schema
from headwater.events import (
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
from headwater.prompt import LIMITS, Parameters, Prompt

JSON = dict[str, Any]
ROUTES: list[tuple[str, Callable[[bytes], Prompt], JSON]] = [
    ("chat", request.chat, {"messages": [{"role": "user", "content": "Hi"}]}),
    ("completion", request.completion, {"message": "Once upon"}),
]


def fields_of(route: str) -> JSON:
    """The described fields of a route's body."""
    bodies, components = schema.request_bodies()
    reference: str = bodies[route]["content"]["application/json"]["schema"]["$ref"]
    return components[reference.rpartition("/")[2]]["properties"]


@pytest.mark.parametrize(("route", "read", "least"), ROUTES, ids=["chat", "completion"])
def test_every_described_field_is_accepted_with_its_example(
    route: str, read: Callable[[bytes], Prompt], least: JSON
) -> None:
    """It ends up where its description says: in the prompt, or nowhere."""
    bare = read(json.dumps(least).encode())
    for name, described in fields_of(route).items():
        example: Any = described["examples"][0]
        prompt = read(json.dumps({**least, name: example}).encode())
        if described["description"].startswith(("Ignored", "Accepted and not used")):
            assert prompt == bare, name
            assert name in request.ASIDE
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
    assert fields.keys() >= {"model", "tools", *own, *request.ASIDE, *Parameters.__struct_fields__}
    assert all(field["description"] for field in fields.values())
    for name, (low, high) in LIMITS.items():
        assert (fields[name]["minimum"], fields[name]["maximum"]) == (low, high)


EVENTS: list[Event] = [
    Start("m", "echo"),
    TextDelta("x"),
    ReasoningDelta("x"),
    ToolCallStart("c", "f"),
    ToolCallDelta("c", "{}"),
    ToolCallEnd("c"),
    ToolResult("c", "42"),
    Metadata({"fitted": {}}),
    Finish("stop", Usage(1, 2, {"a": 1})),
    Stop("me"),
    Error("timeout", "Too slow.", True, 2.0, 504),
]


def test_every_event_is_described_field_by_field() -> None:
    """As the stream tells it: an error comes without our hint of an HTTP status."""
    content, components = schema.stream_content()
    kinds: JSON = content["text/event-stream"]["schema"]["discriminator"]["mapping"]
    told = {event["type"]: event for event in map(msgspec.to_builtins, EVENTS)}
    assert kinds.keys() == told.keys()
    del told["error"]["status"]
    for kind, reference in kinds.items():
        described = components[reference.rpartition("/")[2]]
        assert described["properties"].keys() == told[kind].keys()
        assert described["description"]


def test_every_reference_leads_somewhere() -> None:
    """And no two components of the same name differ."""
    requests, events = schema.request_bodies(), schema.stream_content()
    assert not requests[1].keys() & events[1].keys()
    for described, components in (requests, events):
        for reference in references([described, components]):
            assert reference.removeprefix("#/components/schemas/") in components


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():  # pyright: ignore[reportUnknownVariableType]
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:  # pyright: ignore[reportUnknownVariableType]
            yield from references(value)

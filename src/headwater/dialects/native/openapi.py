"""The native routes' bodies as OpenAPI describes them, generated from the structs that read and write them. Pure.

Each schema is complete in itself, without references into a document: a router cannot add components to the OpenAPI
document of an app that is somebody else's.
"""

from functools import cache
from typing import Any, cast

from headwater.dialects import problem
from headwater.dialects.native.reader import SentError
from headwater.dialects.native.schema import ChatBody, CompletionBody, described
from headwater.dialects.native.state import State
from headwater.events import (
    Continued,
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
)

Json = dict[str, Any]

SENT = (
    *(Start, TextDelta, ReasoningDelta, ToolCallStart, ToolCallDelta, ToolCallEnd, ToolResult, Metadata),
    *(Continued, Finish, Stop, SentError),
)
"""What a stream sends, one in each frame's `data`."""


def request(body: type[ChatBody] | type[CompletionBody]) -> Json:
    """The `requestBody` of a route that starts an answer."""
    return {"required": True, "content": {"application/json": {"schema": schema(body)}}}


def answer() -> Json:
    """The `content` of an answer, in each of its forms."""
    events = [schema(kind) for kind in SENT]
    about = "The JSON of the `data:` line of one frame; `finish`, `stop` or `error` comes last, once."
    return {
        "text/event-stream": {"schema": {"description": about, "anyOf": events}},
        "text/plain": {"schema": {"type": "string", "description": "The text alone, as it arrives."}},
        **state(),
    }


def state() -> Json:
    """The `content` of an answer as one JSON object."""
    return {"application/json": {"schema": schema(State)}}


def failure() -> Json:
    """The `content` of a refusal."""
    return {problem.MEDIA_TYPE: {"schema": schema(problem.Problem)}}


@cache
def schema(kind: Any) -> Json:
    """The schema of a struct."""
    found, components = described(kind)
    return _inlined(found, components)


def _inlined(node: Any, components: Json) -> Any:
    """A schema with each reference replaced by what it refers to; none of ours refers to itself."""
    if isinstance(node, list):
        return [_inlined(each, components) for each in node]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(node, dict):
        return node
    fields = cast("Json", node)
    if "$ref" in fields:
        beside = {name: value for name, value in fields.items() if name != "$ref"}
        return {**_inlined(components[fields["$ref"].rpartition("/")[2]], components), **beside}
    # A discriminator maps to references; the `type` in each alternative says the same.
    return {name: _inlined(value, components) for name, value in fields.items() if name != "discriminator"}

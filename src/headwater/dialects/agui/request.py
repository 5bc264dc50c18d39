"""Requests of AG-UI's clients, `RunAgentInput`: bytes → what is asked, and under which ids. Pure."""

from typing import Any, NamedTuple, cast

import msgspec

from headwater.dialects import shapes
from headwater.dialects.body import json_object
from headwater.dialects.dialect import Ask
from headwater.dialects.fields import asked
from headwater.errors import InvalidPrompt
from headwater.prompt import CARRIED, Parameters

Fields = dict[str, Any]

_SPOKEN = ("system", "developer", "user", "assistant", "tool")
"""Roles whose messages a model reads; those of the page alone, such as `activity` and `reasoning`, are left out."""
_TOOL = ("name", "description", "parameters")
_TAKEN = frozenset(
    {
        *("model", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort"),
        *(*Parameters.__struct_fields__, *CARRIED),
    }
)
"""The fields of `forwardedProps` that are read, named as in an OpenAI request."""
_KINDS = {"image": "image", "audio": "audio", "document": "file", "video": "file"}


class Run(NamedTuple):
    """A request, and the ids that the client has chosen for the chat and for this run of it."""

    ask: Ask
    thread: str
    run: str
    messages: list[Fields]
    """The messages as the client sent them."""


def run(body: bytes) -> Run:
    """`{"threadId", "runId", "messages", "tools"?, "context"?, "forwardedProps"?}` → a run.

    `forwardedProps` may name the `model` and the fields of sampling, as an OpenAI request does; other properties are
    the app's own. Raises `RequestError`, or `InvalidPrompt`, which names the place of the mistake.
    """
    fields = json_object(body)
    messages = _list(fields, "messages", needed=True)
    given = fields.get("forwardedProps")
    if not isinstance(given, dict | None):
        raise InvalidPrompt("the field forwardedProps is not an object")
    props = cast("Fields", given or {})
    told = [_message(each) for each in messages if _is_spoken(each)]
    if context := _context(_list(fields, "context")):
        told.insert(0, {"role": "system", "content": context})
    tools = [_tool(each) for each in _list(fields, "tools")]
    kept = {name: value for name, value in props.items() if name in _TAKEN}
    ask = asked("chat", told, {**kept, "tools": tools})
    return Run(ask, str(fields.get("threadId") or ""), str(fields.get("runId") or ""), messages)


def _is_spoken(raw: Any) -> bool:
    return not isinstance(raw, dict) or cast("Fields", raw).get("role") in _SPOKEN


def _list(fields: Fields, name: str, *, needed: bool = False) -> list[Any]:
    value = fields.get(name)
    if isinstance(value, list):
        return cast("list[Any]", value)
    if value is None and not needed:
        return []
    raise InvalidPrompt(f"the field {name} is not a list: send AG-UI's RunAgentInput")


def _message(raw: Any) -> Any:
    """A message in the shape of OpenAI's chat API, which AG-UI's resembles, made neutral."""
    if not isinstance(raw, dict):
        return raw
    fields = dict(cast("Fields", raw))
    for theirs, ours in (("toolCalls", "tool_calls"), ("toolCallId", "tool_call_id")):
        if theirs in fields:
            fields[ours] = fields.pop(theirs)
    content = fields.get("content")
    if isinstance(content, list):
        fields["content"] = [_part(part) for part in cast("list[Any]", content)]
    elif isinstance(content, dict):  # the result of a tool as an object
        fields["content"] = msgspec.json.encode(content).decode()
    return shapes.message(fields)


def _tool(raw: Any) -> Any:
    """A tool, without what concerns the page alone, such as `metadata`."""
    if not isinstance(raw, dict):
        return raw
    fields = cast("Fields", raw)
    return {name: fields[name] for name in _TOOL if name in fields}


def _part(raw: Any) -> Any:
    """`{"type": "image", "source": {"type": "data" | "url", "value", "mimeType"}}`, or the older `binary`."""
    if not isinstance(raw, dict):
        return raw
    fields = cast("Fields", raw)
    kind, source = fields.get("type"), fields.get("source")
    if kind == "text":
        return {"type": "text", "text": fields.get("text", "")}
    if isinstance(kind, str) and kind in _KINDS and isinstance(source, dict):
        told = cast("Fields", source)
        media_type, is_data = told.get("mimeType"), told.get("type") == "data"
        where = {"data": told.get("value"), "media_type": media_type} if is_data else {"url": told.get("value")}
        return {"type": _KINDS[kind], **{name: value for name, value in where.items() if value is not None}}
    if kind == "binary":
        media_type = str(fields.get("mimeType") or "")
        ours = "image" if media_type.startswith("image/") else "file"
        where = {"data": fields["data"], "media_type": media_type} if fields.get("data") else {"url": fields.get("url")}
        named = {"name": fields["filename"]} if ours == "file" and fields.get("filename") else {}
        return {"type": ours, **where, **named}
    return fields


def _context(items: list[Any]) -> str:
    """What the page tells the model beside the chat, as a system message; empty without any."""
    told = [cast("Fields", each) for each in items if isinstance(each, dict)]
    return "\n".join(f"{each.get('description', '')}: {each.get('value', '')}" for each in told)

"""Request bodies of `useChat` and `useCompletion`: bytes → what is asked, and how to answer."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

import msgspec

from headwater.dialects import shapes
from headwater.dialects.body import json_object
from headwater.dialects.dialect import Ask
from headwater.dialects.fields import asked as ask
from headwater.dialects.vercel.told import Told, checksum
from headwater.errors import InvalidPrompt
from headwater.prompt import Tool, located

Fields = dict[str, Any]

LONGEST = 200
"""Characters of an id that the client has made: one of a message goes into a header, one of a chat into a key."""
_ASIDE = ("reasoning", "reasoning-file", "step-start", "source-url", "source-document", "custom")
"""Parts that are for the page alone, besides `data-…`; reasoning is in no key and goes back to no model."""


class Asked(NamedTuple):
    """A request of the AI SDK."""

    ask: Ask
    told: Told = Told()
    chat: str = ""
    """The id of the chat; empty where the client names none, and nothing can then be resumed by it."""


def chat(body: bytes) -> Asked:
    """`{"id", "messages": [UI message], "trigger"?, "messageId"?, "system"?, "tools"?, "model"?, …}` → a chat prompt.

    `message` alone is a chat of one message. An answer whose request ends with an assistant's message continues that
    message: the page has run its tools. Raises `RequestError` for a body that is not a JSON object, and
    `InvalidPrompt`, which names the place of the mistake.
    """
    fields = json_object(body)
    chat, trigger, messages, message = (fields.pop(name, None) for name in ("id", "trigger", "messages", "message"))
    fields.pop("messageId", None)
    if messages is None and message is not None:
        messages = [message]
    if not isinstance(messages, list) or not messages:
        raise InvalidPrompt(f"the field messages is not a list of messages; {_FORM}")
    turns = [turn for number, raw in enumerate(cast("list[Any]", messages)) for turn in _turns(number, raw)]
    if isinstance(system := fields.pop("system", None), str) and system:
        turns.insert(0, {"role": "system", "content": system})
    if isinstance(tools := fields.get("tools"), dict):  # by name, as the AI SDK keeps them
        named = cast("dict[str, Any]", tools).items()
        fields["tools"] = [
            {**cast("Fields", spec), "name": name} if isinstance(spec, dict) else spec for name, spec in named
        ]
    asked = ask("chat", turns, fields)
    last = cast("list[Fields]", messages)[-1]
    own = _id("messages[-1].id", last.get("id")) if last["role"] == "assistant" else ""
    brought = frozenset(checksum(tool.name) for tool in asked.prompt.tools if isinstance(tool, Tool))
    asked = asked._replace(renew=trigger == "regenerate-message")
    return Asked(asked, Told(own, brought), _id("id", chat))


def completion(body: bytes) -> Asked:
    """`{"prompt": "…", "model"?, …}` → a completion prompt. Raises as `chat` does."""
    fields = json_object(body)
    prompt = fields.pop("prompt", None)
    if not isinstance(prompt, str) or not prompt:
        raise InvalidPrompt('the field prompt is not a text: send {"prompt": "Once upon a time"}')
    return Asked(ask("completion", [{"role": "user", "content": prompt}], fields))


_FORM = (
    'send UI messages of the Vercel AI SDK, {"role": "user", "parts": [{"type": "text", "text": "Hi"}]}. '
    "Messages of OpenAI's form, with a content, are for /v1/chat/completions"
)


def _id(place: str, raw: Any) -> str:
    if raw is None:
        return ""
    if not isinstance(raw, str) or len(raw) > LONGEST:
        raise InvalidPrompt(f"the field {place} is not a text of at most {LONGEST} characters")
    return raw


def _turns(number: int, raw: Any) -> Iterator[Fields]:
    """The neutral messages of one UI message: several for an assistant's that called tools."""
    place = f"messages[{number}]"
    parts = cast("Fields", raw).get("parts") if isinstance(raw, dict) else None
    if not isinstance(parts, list):
        raise InvalidPrompt(f"the field {place} has no parts; {_FORM}")
    named = [(f"{place}.parts[{index}]", part) for index, part in enumerate(cast("list[Any]", parts))]
    for where, part in named:
        if not isinstance(part, dict) or not isinstance(cast("Fields", part).get("type"), str):
            raise InvalidPrompt(f"the field {where} is not a part: it has no type")
    match role := cast("Fields", raw).get("role"):
        case "assistant":
            yield from _said(named)
        case "user" | "system":
            content = [_part(where, part) for where, part in named if not _is_aside(part["type"])]
            texts = [part["text"] for part in content if part["type"] == "text"]
            single = len(texts) == len(content) and (role == "system" or len(texts) == 1)
            yield {"role": role, "content": "".join(texts) if single else content}
        case _:
            raise InvalidPrompt(f"the field {place}.role is {str(role)[:40]!r}; it must be system, user or assistant")


def _said(parts: Iterable[tuple[str, Fields]]) -> Iterator[Fields]:
    """What an assistant's message said, step by step: its text and its calls, then what the tools returned.

    A call without a result is left out, since no provider takes it.
    """
    text, calls, results = "", list[Any](), list[Fields]()
    for where, part in (*parts, ("", {"type": "step-start"})):
        kind: str = part["type"]
        if (kind == "step-start" or (kind == "text" and calls)) and (text or calls):
            yield {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
            yield from results
            text, calls, results = "", [], []
        if kind == "text":
            text += _text(where, part)
        elif kind == "dynamic-tool" or kind.startswith("tool-"):
            if (result := _result(part)) is not None:
                id, name = part.get("toolCallId"), part.get("toolName", kind[5:])
                arguments = part.get("input", part.get("rawInput"))
                calls.append(shapes.tool_call({"id": id, "name": name, "arguments": arguments}))
                results.append({"role": "tool", "tool_call_id": id, "content": result})
        elif kind != "file" and not _is_aside(kind):
            raise _unknown(where, kind)


def _is_aside(kind: str) -> bool:
    return kind in _ASIDE or kind.startswith("data-")


def _result(part: Fields) -> str | None:
    """What a tool returned, as text; None for a call that has no result."""
    match part.get("state"):
        case "output-available":
            output = part.get("output")
            return output if isinstance(output, str) else msgspec.json.encode(output).decode()
        case "output-error":
            return str(part.get("errorText") or "The tool failed.")
        case "output-denied":
            return "The user did not allow this call."
        case _:
            return None


def _part(where: str, part: Fields) -> Any:
    if part["type"] == "text":
        return {"type": "text", "text": _text(where, part)}
    if part["type"] != "file":
        raise _unknown(where, part["type"])
    url, media_type = part.get("url"), str(part.get("mediaType", ""))
    if not isinstance(url, str):
        raise InvalidPrompt(f"the field {where} has no url")
    if media_type.startswith("image/"):
        return shapes.part({"type": "image", "url": url})
    content = located(url)
    if media_type.startswith("audio/") and "data" in content:
        return shapes.part({"type": "audio", **content})
    return shapes.part({"type": "file", "media_type": media_type or None, "name": part.get("filename"), **content})


def _text(where: str, part: Fields) -> str:
    if not isinstance(text := part.get("text"), str):
        raise InvalidPrompt(f"the field {where}.text is not a text")
    return text


def _unknown(where: str, kind: str) -> InvalidPrompt:
    return InvalidPrompt(f"the field {where} is of the type {kind[:40]!r}, which no model here reads")

"""A thread as pages of TanStack AI hold it: messages with parts, and results of tools beside their calls."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

Message = dict[str, Any]


def shown(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """AG-UI's messages → TanStack's, which have the roles system, user and assistant, and `parts` for their content."""
    told: list[Message] = []
    thoughts: list[Message] = []
    for message in messages:
        match message.get("role"):
            case "reasoning":
                thoughts.append({"type": "thinking", "content": message.get("content") or ""})
            case "tool" if told:
                _add_result(told[-1]["parts"], message)
            case "system" | "user" | "assistant" as role:
                kept = {name: message[name] for name in ("id", "name", "metadata") if message.get(name)}
                told.append({**kept, "role": role, "parts": [*thoughts, *_parts(message)]})
                thoughts = []
            case _:
                pass
    return told


def _parts(message: Mapping[str, Any]) -> list[Message]:
    content: Any = message.get("content") or []
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else cast("list[Message]", content)
    calls = cast("list[Message]", message.get("toolCalls") or [])
    return [*map(_part, parts), *map(_call, calls)]


def _part(part: Message) -> Message:
    return {"type": "text", "content": part.get("text", "")} if part.get("type") == "text" else part


def _call(call: Message) -> Message:
    return {"type": "tool-call", "id": call.get("id"), **call.get("function", {}), "state": "input-complete"}


def _add_result(parts: list[Message], result: Mapping[str, Any]) -> None:
    id, content = result.get("toolCallId"), result.get("content")
    for part in parts:
        if part["type"] == "tool-call" and part["id"] == id:
            part.update(state="complete", output=content)
    parts.append({"type": "tool-result", "toolCallId": id, "content": content, "state": "complete"})

"""LangChain's chunks as events, and back: each chunk is kept as it came, in plain data.

The text of a chunk is a `text-delta`. What else it holds is its *shape*, such as a finish reason, usage or a piece of a
tool call. A `metadata` event before the text says the shape, where it differs from that of the chunk before. Ids of
messages are left out, because each replay is a message of its own.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk

from headwater.events import Event, Finish, Metadata, TextDelta, parts
from headwater.models.reading import finish_reason
from headwater.models.telling import REASONS

Chunk = ChatGenerationChunk | GenerationChunk

_OF_MESSAGE = ("additional_kwargs", "response_metadata", "usage_metadata", "tool_call_chunks", "name", "chunk_position")
_PIECE = 4096  # characters of a shape in one event, which is escaped twice


def _hook(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)  # LangChain's texts are of a class of their own
    if hasattr(value, "model_dump"):  # such as OpenAI's `parsed`
        return value.model_dump(mode="json")
    raise TypeError(f"a chunk holds a {type(value).__name__}, which is no plain data")


encode = msgspec.json.Encoder(enc_hook=_hook).encode
"""Plain data as JSON. Raises `TypeError` for anything else."""


class Recorder:
    """Turns the chunks of one answer into events, and judges its end."""

    def __init__(self) -> None:
        self._shape = "{}"
        self._reason: str | None = None
        self._has_content = self._refused = False
        self._calls = AIMessageChunk(content="")

    def events(self, chunk: Chunk) -> Iterator[Event]:
        """The events of a chunk. Raises `TypeError` for one that is no plain data."""
        shape: dict[str, Any] = {"generation_info": chunk.generation_info} if chunk.generation_info else {}
        text = chunk.text
        if isinstance(chunk, ChatGenerationChunk):
            message = chunk.message
            shape |= {name: value for name in _OF_MESSAGE if (value := getattr(message, name))}
            text = message.content if isinstance(message.content, str) else ""
            if not isinstance(message.content, str):
                shape["content"] = message.content
            self._note(message)
        self._has_content = self._has_content or bool(text.strip() or shape.get("content"))
        told = {**shape.get("response_metadata", {}), **(chunk.generation_info or {})}
        self._reason = finish_reason(told) or self._reason
        if len(parts(TextDelta(text))) > 1:  # the log splits it, and only one of its chunks may have the shape
            yield from self._said("{}", text)
            text = ""
        yield from self._said(encode(shape).decode(), text)

    def end(self, *, whole: bool) -> Finish:
        """The ending: it is kept as an answer for others only if it is known to be whole.

        A `whole` answer came in one piece, so that it needs no reason to end.
        """
        reason = REASONS.get((self._reason or ("stop" if whole else "")).lower(), "other")
        calls = self._calls.tool_call_chunks
        if reason == "stop" and calls:
            reason = "tool_calls"
        lacking = not (calls if reason == "tool_calls" else self._has_content)
        garbled = any(_is_garbled(call["args"]) for call in calls)
        return Finish("other" if reason in ("stop", "tool_calls") and (lacking or garbled or self._refused) else reason)

    def _note(self, message: Any) -> None:
        if message.tool_call_chunks:
            self._calls += AIMessageChunk(content="", tool_call_chunks=message.tool_call_chunks)
        self._refused = self._refused or bool(message.additional_kwargs.get("refusal"))
        if message.chunk_position == "last":
            self._reason = self._reason or "stop"

    def _said(self, shape: str, text: str) -> Iterator[Event]:
        if shape != self._shape:
            self._shape = shape
            for begin in range(0, len(shape), _PIECE):
                piece = shape[begin : begin + _PIECE]
                yield Metadata({"langchain": piece, "more": begin + _PIECE < len(shape)})
        yield TextDelta(text)


class Replay:
    """Turns the events of one answer back into chunks."""

    def __init__(self, *, chat: bool) -> None:
        self._chat = chat
        self._shape = "{}"
        self._pieces: list[str] = []

    def chunk(self, event: Event) -> Chunk | None:
        """The chunk that is complete with this event, if one is."""
        match event:
            case Metadata({"langchain": str(piece), "more": bool(more)}):
                self._pieces.append(piece)
                if not more:
                    self._shape = "".join(self._pieces)
                    self._pieces.clear()
            case TextDelta(text):
                shape = json.loads(self._shape)  # anew, since LangChain changes the chunks that it is given
                info = shape.pop("generation_info", None)
                if not self._chat:
                    return GenerationChunk(text=text, generation_info=info)
                fields: dict[str, Any] = {"content": text, **shape}
                message = AIMessageChunk(**fields)
                return ChatGenerationChunk(message=message, generation_info=info)
            case _:
                pass
        return None


def whole_chunk(generation: Generation, output: Mapping[str, Any] | None) -> Chunk:
    """An answer that came in one piece as its only chunk; `output` is what its model says beside it."""
    if not isinstance(generation, ChatGeneration):
        return GenerationChunk(text=generation.text, generation_info=generation.generation_info)
    message = generation.message
    calls = [*message.tool_calls, *message.invalid_tool_calls] if isinstance(message, AIMessage) else []
    fields: dict[str, Any] = {
        name: getattr(message, name, None) for name in ("additional_kwargs", "usage_metadata", "name")
    }
    chunk = AIMessageChunk(
        content=message.content,
        response_metadata={**(output or {}), **message.response_metadata},
        tool_call_chunks=[
            tool_call_chunk(name=call["name"], args=_arguments(call["args"]), id=call["id"], index=index)
            for index, call in enumerate(calls)
        ],
        chunk_position="last",
        **fields,
    )
    return ChatGenerationChunk(message=chunk, generation_info=generation.generation_info)


def _arguments(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _is_garbled(arguments: str | None) -> bool:
    try:
        json.loads(arguments or "{}")
    except ValueError:
        return True
    return False

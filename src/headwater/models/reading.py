"""LangChain's output, read as events: chunks, the content blocks in them, and the facts that only callbacks get."""

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from headwater.errors import ModelError
from headwater.events import (
    Event,
    Finish,
    Metadata,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Usage,
)


class Reading:
    """Turns the chunks of one answer into events."""

    def __init__(self) -> None:
        self.begun = False
        self._reason: str | None = None
        self._usage: Any = None
        self._call: str | None = None  # id of the tool call whose arguments are arriving
        self._index: object = None
        self._named = False  # whether that call's `ToolCallStart` is out, which waits for the tool's name
        self._ended: set[object] = set()
        self._ended_ids: set[str] = set()
        self._calls = 0
        self._chunked = False
        self._spoke = False
        self._refused = False

    def events(self, chunk: Any) -> Iterator[Event]:
        """The events of a chunk, in order."""
        self.begun = True
        if isinstance(chunk, str):
            if chunk:
                self._spoke = True
                yield TextDelta(chunk)
            return
        if isinstance(chunk, tuple):  # LangGraph's (message, where it came from)
            chunk = cast("tuple[Any, ...]", chunk)[0]
        match getattr(chunk, "type", None):
            case "AIMessageChunk" | "ai":
                yield from self._message(chunk)
            case "tool" | "ToolMessageChunk":
                yield from self._close()
                self._spoke = True
                yield ToolResult(str(chunk.tool_call_id), str(chunk.text))
            case "human" | "system" | "remove":
                pass  # nodes of a graph echo their input
            case _:
                hint = "end it with a chat model or with StrOutputParser()"
                raise ModelError(f"the runnable yielded a {type(chunk).__name__}: {hint}", code="unreadable_output")

    def end(self, kind: str, watch: "Watch") -> list[Event]:
        """The last events; none without a reason to end. Raises `ModelError` if the provider's reason is a failure."""
        reason = watch.reason if watch.ran else self._reason
        if reason is None and kind == "runnable" and not watch.ran and not self._chunked:
            reason = "stop"
        if reason is None:
            return []  # an open tool call is not ended either: its arguments are truncated like everything else
        if reason.lower() in _FAILURES:
            message = f"the provider failed in the middle of its answer: {reason}"
            raise ModelError(message, code="provider_error", retryable=True)
        finish = self._supported(_REASONS.get(reason.lower(), "other"))
        return [*self._close(), Finish(finish, _usage(self._usage or watch.usage))]

    def _supported(self, reason: str) -> str:
        """The finish reason, downgraded if the content contradicts it, so that such an answer is not cached.

        A model may really have nothing to say, so an empty answer is no failure. But text in a field that is not read
        here looks the same. A cached answer is replayed until it expires, while a second call costs one request.
        """
        if reason == "stop" and self._refused:
            return "content_filter"  # OpenAI ends a refusal with "stop"
        if (reason == "stop" and not self._spoke) or (reason == "tool_calls" and not self._calls):
            return "other"
        return reason

    def _message(self, message: Any) -> Iterator[Event]:
        is_chunk = message.type == "AIMessageChunk"
        content = list(self._content(message))
        pieces = message.tool_call_chunks if is_chunk else _whole_calls(message)
        self._spoke = self._spoke or bool(content or pieces)
        if self._reason and (content or pieces):
            yield from self._next_model()
        metadata = message.response_metadata
        if isinstance(fitted := metadata.get("fitted"), dict):
            yield Metadata({"fitted": fitted})
        yield from content
        for piece in pieces:
            yield from self._tool_call(piece)
        if message.usage_metadata:
            from langchain_core.messages.ai import add_usage

            self._usage = add_usage(self._usage, message.usage_metadata)
        self._chunked = self._chunked or is_chunk
        # A whole message cannot have been cut, unlike a stream.
        self._reason = _finish_reason(metadata) or self._reason or (None if is_chunk else "stop")

    def _content(self, message: Any) -> Iterator[Event]:
        if isinstance(message.content, str):
            if reasoning := message.additional_kwargs.get("reasoning_content"):
                yield ReasoningDelta(str(reasoning))
            if message.content:
                yield TextDelta(message.content)
            if refusal := message.additional_kwargs.get("refusal"):
                self._refused = True
                yield TextDelta(str(refusal))
        else:
            for block in message.content:
                block = {"type": "text", "text": block} if isinstance(block, str) else block
                self._refused = self._refused or block.get("type") == "refusal"
                yield from _block(block)

    def _tool_call(self, piece: Mapping[str, Any]) -> Iterator[Event]:
        id, index, name = piece.get("id"), piece.get("index"), piece.get("name")
        if (id and id != self._call) or self._call is None or (index is not None and index != self._index):
            # That call's `ToolCallEnd` is out; without the rest, a tool would get half of its arguments. The same id
            # alone proves nothing: some servers use the tool's name as the id.
            if index in self._ended if not id else id in self._ended_ids and (not name or index in self._ended):
                raise ModelError("the provider's tool calls are interleaved", code="provider_garbled")
            yield from self._close()
            self._calls += 1
            self._call, self._index, self._named = str(id or f"call_{self._calls}"), index, False
        if not self._named and (name or piece.get("args")):
            self._named = True
            yield ToolCallStart(self._call, name or "")
        if piece.get("args"):
            yield ToolCallDelta(self._call, str(piece["args"]))

    def _close(self) -> Iterator[Event]:
        if self._call is not None:
            if not self._named:
                yield ToolCallStart(self._call, "")
            yield ToolCallEnd(self._call)
            self._ended.add(self._index)
            self._ended_ids.add(self._call)
            self._call = self._index = None

    def _next_model(self) -> Iterator[Event]:
        """Drop the reason to end that came before: output after it is that of a graph's next model."""
        yield from self._close()
        self._reason, self._ended, self._ended_ids = None, set(), set()


def _block(block: Mapping[str, Any]) -> Iterator[Event]:
    """A content block in the shape of OpenAI, Anthropic or LangChain; a message has its tool calls elsewhere."""
    if block.get("type") in ("text", "output_text", "text_delta", "refusal"):
        if text := block.get("text") or block.get("refusal"):
            yield TextDelta(str(text))
    elif block.get("type") in ("reasoning", "thinking", "reasoning_content"):
        summary = "".join(part.get("text", "") for part in block.get("summary") or ())
        if text := block.get("reasoning") or block.get("thinking") or block.get("text") or summary:
            yield ReasoningDelta(str(text))


def _whole_calls(message: Any) -> list[dict[str, Any]]:
    """The tool calls of a message that came in one piece, in the form of pieces."""
    calls = [{**call, "args": json.dumps(call["args"])} for call in message.tool_calls]
    return [{**call, "index": index} for index, call in enumerate([*calls, *message.invalid_tool_calls])]


def _usage(usage: Any) -> Usage | None:
    if not usage:
        return None
    details = {name: numbers for name in usage if name.endswith("_details") and (numbers := counts(usage[name]))}
    sums = counts(usage)
    inputs = sums.get("input_tokens", sums.get("prompt_tokens", 0))  # chat models, completions
    return Usage(inputs, sums.get("output_tokens", sums.get("completion_tokens", 0)), details)


def counts(usage: Any) -> dict[str, int]:
    """The whole numbers in a provider's token counts; a log with anything else in them could not be read back."""
    if not isinstance(usage, Mapping):
        return {}
    fields = cast("Mapping[str, Any]", usage)
    return {name: count for name, value in fields.items() if (count := _count(value)) is not None}


def _count(value: Any) -> int | None:
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return count if 0 <= count < _MANY else None


_MANY = 2**53  # the first whole number that JavaScript cannot read exactly


_REASONS = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete", "completed"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(("content_filter", "content_filtered", "safety", "refusal"), "content_filter"),
}

# Failures that providers report as a finish reason: Mistral and OpenRouter, vLLM and SGLang, DeepSeek, Google. The
# answer so far is truncated, so it must not look finished.
_FAILURES = frozenset({"error", "abort", "insufficient_system_resource", "malformed_function_call"})


def _finish_reason(metadata: Mapping[str, Any]) -> str | None:
    """The provider's finish reason, under any of the names that providers use."""
    # OpenAI's Responses API has a status, and a reason only where it is incomplete.
    details: Any = metadata.get("incomplete_details") or {}
    names = ("finish_reason", "stop_reason", "stopReason", "done_reason")
    reason = next((metadata[name] for name in names if metadata.get(name)), None) or details.get("reason")
    return str(reason) if reason else {"completed": "stop"}.get(str(metadata.get("status")))


class Watch:
    """The finish reason and usage of the last model that ran, from callbacks; `watch_class` makes a handler of it."""

    run_inline = True  # in the order of the tokens, without a task for each of them
    ran = False
    reason: str | None = None
    usage: Any = None

    async def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.ran, self.reason = True, None

    on_llm_start = on_chat_model_start

    async def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        self._note(chunk)

    async def on_llm_end(self, response: Any, **_: Any) -> None:
        if self.reason is None and response.generations and response.generations[0]:
            self._note(response.generations[0][0])

    def _note(self, generation: Any) -> None:
        info: dict[str, Any] = {**getattr(getattr(generation, "message", None), "response_metadata", {})}
        info |= getattr(generation, "generation_info", None) or {}
        self.usage = info.get("token_usage") or self.usage
        self.reason = _finish_reason(info) or self.reason


@functools.cache
def watch_class() -> type[Watch]:
    from langchain_core.callbacks import AsyncCallbackHandler

    class Handler(Watch, AsyncCallbackHandler):
        pass

    return Handler

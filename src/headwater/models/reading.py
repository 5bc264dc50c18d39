"""LangChain's output, read as events: chunks, the content blocks in them, and the facts that only callbacks get."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, cast

from headwater.errors import ModelError
from headwater.events import Event, Metadata
from headwater.models.characters import text_in
from headwater.models.content import Kind, parts
from headwater.models.telling import Telling

FIELDS = "headwater_fields"
"""Where Headwater puts what LangChain has no place for: a field of a chunk, and of a message's `additional_kwargs`.

In an answer it holds `kept` and `left_out`, see `Telling`; in a message that is sent, what the provider needs back.
"""


class Reading(Telling):
    """Turns the chunks of one answer into events."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = False
        self._chunked = False
        self._results: set[str] = set()
        self._origin: object = None  # the node and step of a graph whose model has spoken

    def events(self, chunk: Any) -> Iterator[Event]:
        """The events of a chunk, in order."""
        self.begun = True
        if isinstance(chunk, str):
            yield from self._say(chunk)
            return
        origin: object = None
        if isinstance(chunk, tuple):  # LangGraph's (message, where it came from)
            chunk, where = cast("tuple[Any, Mapping[str, Any]]", chunk)
            origin = tuple(str(where.get(name)) for name in _ORIGIN)
        match getattr(chunk, "type", None):
            case "AIMessageChunk":
                yield from self._chunk(chunk)
                self._origin = origin
            case "ai":
                yield from self._whole(chunk, repeats=origin is not None and origin == self._origin)
            case "ToolMessageChunk":
                yield from self._result(str(chunk.tool_call_id), text_in(chunk.content))
            case "tool":
                # A graph tells it when its tool has run, and when a node puts it into the state.
                if (id := self._calls.id_of(str(chunk.tool_call_id))) not in self._results:
                    self._results.add(id)
                    yield from self._result(str(chunk.tool_call_id), text_in(chunk.content))
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
            return self._broken_off()
        return self._ending(reason, self._usage or watch.usage)

    def _chunk(self, message: Any) -> Iterator[Event]:
        pieces: list[Any] = message.tool_call_chunks
        if self._reason and (pieces or message.content):
            yield from self._next_model()
        yield from self._facts(message)
        for kind, text in _parts(message):
            yield from self._part(kind, text)
        for piece in pieces:
            yield from self._calls.piece(piece)
        self._count(message.usage_metadata)
        self._chunked = True
        self._reason = finish_reason(message.response_metadata) or self._reason

    def _whole(self, message: Any, repeats: bool) -> Iterator[Event]:
        """A message that came in one piece, which cannot have been cut.

        A node of a graph that streams its model may return a message of its own: it `repeats` what has been told.
        """
        parts = list(_parts(message))
        calls = [*message.tool_calls, *message.invalid_tool_calls]
        if repeats:
            parts = self._untold(parts)
        else:
            if self._reason and (parts or calls):
                yield from self._next_model()
            self._count(message.usage_metadata)
        yield from self._facts(message)
        for kind, text in parts:
            yield from self._part(kind, text)
        yield from self._calls.message(calls)
        self._reason = finish_reason(message.response_metadata) or self._reason or "stop"

    def _facts(self, message: Any) -> Iterator[Event]:
        """What a message says about the answer beside its content."""
        if isinstance(fitted := message.response_metadata.get("fitted"), dict):
            yield Metadata({"fitted": fitted})
        if fields := message.additional_kwargs.get(FIELDS):
            self.keep(fields.get("kept", {}))
            self.leave_out(*fields.get("left_out", ()))

    def _count(self, usage: Any) -> None:
        if usage:
            from langchain_core.messages.ai import add_usage

            self._usage = add_usage(self._usage, usage)


_ORIGIN = ("langgraph_node", "langgraph_step", "langgraph_checkpoint_ns")


def _parts(message: Any) -> Iterator[tuple[Kind, Any]]:
    """A message's reasoning, content and refusal, some of which are outside its content."""
    beside = message.additional_kwargs
    if reasoning := text_in(beside.get("reasoning_content")):
        yield "reasoning", reasoning
    yield from parts(message.content)
    if refusal := text_in(beside.get("refusal")):
        yield "refusal", refusal


def finish_reason(metadata: Mapping[str, Any]) -> str | None:
    """The provider's finish reason, under any of the names that providers use."""
    # OpenAI's Responses API has a status, and a reason only where it is incomplete.
    details: Any = metadata.get("incomplete_details") or {}
    names = ("finish_reason", "stop_reason", "stopReason", "done_reason")
    reason = next((metadata[name] for name in names if metadata.get(name)), None) or details.get("reason")
    return str(reason) if reason else {"completed": "stop"}.get(str(metadata.get("status")))


class Watch:
    """The finish reason and usage of the last model that ran, from callbacks; `watch_class` makes a handler of it."""

    run_inline = True  # in the order of the tokens, without a task or a thread for each of them
    ran = False
    failed = False
    reason: str | None = None
    usage: Any = None

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.ran, self.reason = True, None

    on_llm_start = on_chat_model_start

    def on_llm_error(self, error: Any, **_: Any) -> None:
        self.failed = True

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        self._note(chunk)

    def on_llm_end(self, response: Any, **_: Any) -> None:
        if self.reason is None and response.generations and response.generations[0]:
            self._note(response.generations[0][0])

    def _note(self, generation: Any) -> None:
        info: dict[str, Any] = {**getattr(getattr(generation, "message", None), "response_metadata", {})}
        info |= getattr(generation, "generation_info", None) or {}
        self.usage = info.get("token_usage") or self.usage
        self.reason = finish_reason(info) or self.reason


@functools.cache
def watch_class() -> type[Watch]:
    from langchain_core.callbacks import BaseCallbackHandler

    class Handler(Watch, BaseCallbackHandler):
        pass

    return Handler

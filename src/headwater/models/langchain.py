"""Any LangChain model, chain or LangGraph graph as a Headwater model.

LangChain is imported when the first answer is asked for, in a worker thread: the import costs about a second of CPU,
which neither start-up nor the event loop has to spare. `prepare()` takes it ahead of the first request.
"""

import asyncio
import functools
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import msgspec

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
from headwater.models.scrub import as_model_error, unavailable
from headwater.prompt import Parameters, Prompt, text_of

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable


class Opened(NamedTuple):
    """A LangChain object that somebody opened for us, and how to close what it holds."""

    runnable: "Runnable[Any, Any]"
    close: Callable[[], Awaitable[None]] | None


class _Ready(NamedTuple):
    """The LangChain object in use, and what is known of it."""

    runnable: "Runnable[Any, Any]"
    inner: Any
    """The same without what was bound to it: the chat model within `model.bind_tools(…)`."""
    kind: Literal["chat", "completion", "graph", "runnable"]
    extra_body: Mapping[str, Any] | None
    """What the operator has the model send along; None for a provider without a place for it."""
    close: Callable[[], Awaitable[None]] | None


class LangChainModel:
    """Answers with a LangChain chat model, a completion LLM, or any other Runnable.

    - A chat model gets the messages; a completion LLM the text; a LangGraph graph `{"messages": […]}`; any other
      Runnable the messages as a list (begin yours with a function if it wants something else), and the bare text for a
      completion.
    - Sampling parameters and tools become arguments of the call, for chat models and LLMs only: a chain has its own.
    - `prompt.extra` travels in the JSON body of OpenAI-compatible providers (`extra_body`) and is ignored with all
      others, which have no such place. Nothing in a request reaches a constructor or the client's options.
    - The end: an answer is finished when the provider told a reason, else it is truncated. A Runnable is judged by
      the last model that ran in it, also where its output is bare text. One in which no model ran is finished when it
      ends, unless it yielded message chunks, which are a model's and ought to tell a reason.
    - A graph streams what every model in it says, and the results of its tools.

    What it was handed it leaves open; what it had opened it closes in `aclose()`. One event loop at a time: in another
    one it opens anew, because connections belong to the loop that made them.
    """

    def __init__(
        self, source: "Runnable[Any, Any] | Callable[[], Opened]", name: str, *, secrets: Sequence[str] = ()
    ) -> None:
        """Use an object that is there already, or a function that opens one at the first use, in a worker thread.

        `secrets` are hidden wherever they appear in a provider's messages.
        """
        self._source = source
        self._name = name
        self._secrets = tuple(secrets)
        self._ready: asyncio.Task[_Ready] | None = None

    @property
    def name(self) -> str:
        """The name by which requests, keys and metrics know it."""
        return self._name

    async def prepare(self) -> None:
        """Import and build everything now, so that the first request does not wait for it. Raises `ModelError`."""
        await self._prepared()

    async def aclose(self) -> None:
        """Close the connections to the provider that were opened here; a later use opens them anew."""
        task, self._ready = self._ready, None
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            return  # the connections of a loop that is gone cannot be closed from here
        (ready,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ready, _Ready) and ready.close is not None:
            await ready.close()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The events of one answer; see `headwater.models.model.Model.stream`."""
        ready = await self._prepared()
        watch = _watch_class()()
        reading = _Reading()
        try:
            # Closing the iterator, not merely leaving the loop, is what closes the provider's connection: one that is
            # broken off and still referenced somewhere goes on, and goes on being paid for.
            async with aclosing(_chunks(ready, prompt, watch)) as chunks:
                async for chunk in chunks:
                    if batch := list(reading.events(chunk)):
                        yield batch
        except ModelError:
            raise
        except Exception as failure:  # the one boundary to foreign code: a provider's package may raise anything
            raise as_model_error(failure, secrets=self._secrets, answering=reading.begun) from failure
        if ending := reading.end(ready.kind, watch):
            yield ending

    async def _prepared(self) -> _Ready:
        task = self._ready
        if task is None or task.get_loop() is not asyncio.get_running_loop() or _failed(task):
            # A failed one is tried anew by the next request: a missing key may have been put in place meanwhile.
            task = self._ready = asyncio.create_task(asyncio.to_thread(_look_at, self._source))
            task.add_done_callback(_failed)  # looks at the exception, also where everybody who waited has left
        try:
            # Shielded, because others may wait for the same build, and a thread cannot be cancelled anyway.
            return await asyncio.shield(task)
        except Exception as failure:  # as above: any package's constructors
            raise unavailable(failure, self._name, self._secrets) from failure


def _failed(task: "asyncio.Task[_Ready]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _look_at(source: "Runnable[Any, Any] | Callable[[], Opened]") -> _Ready:
    """Open what is to be opened and find out what it is. Imports what the first answer will need."""
    from langchain_core.language_models import BaseChatModel, BaseLLM
    from langchain_core.runnables import Runnable

    runnable, close = Opened(cast("Any", source), None) if isinstance(source, Runnable) else source()
    _watch_class()
    inner: Any = runnable
    extra_body: dict[str, Any] = {}
    while hasattr(inner, "bound") and hasattr(inner, "kwargs"):
        extra_body = {**(inner.kwargs.get("extra_body") or {}), **extra_body}
        inner = inner.bound
    # By name, so that nobody who uses another provider pays for importing this one. Compatible providers derive
    # from the same classes.
    is_openai = any(base.__name__ in ("BaseChatOpenAI", "BaseOpenAI") for base in type(inner).__mro__)
    if is_openai:
        extra_body = {**(inner.extra_body or {}), **extra_body}
    kind = "graph" if hasattr(inner, "stream_mode") and hasattr(inner, "channels") else "runnable"
    if isinstance(inner, BaseChatModel | BaseLLM):
        kind = "chat" if isinstance(inner, BaseChatModel) else "completion"
    return _Ready(runnable, inner, kind, extra_body if is_openai else None, close)


async def _chunks(ready: _Ready, prompt: Prompt, watch: "_Watch") -> AsyncGenerator[Any, None]:
    """What the LangChain object yields for a prompt."""
    given: Any = _input(prompt)
    if isinstance(given, str) and ready.kind in ("chat", "graph"):
        given = [("user", given)]
    if ready.kind == "graph":
        given, arguments = {"messages": given}, {"stream_mode": "messages"}
    else:
        arguments = {} if ready.kind == "runnable" else _arguments(ready, prompt)
    # A chat model tells everything in its chunks; an LLM yields bare strings and tells its end to callbacks only, and
    # of a model within something else nothing may be left in what comes out.
    config: Any = None if ready.kind == "chat" else {"callbacks": [watch]}
    stream = cast("AsyncGenerator[Any, None]", ready.runnable.astream(given, config, **arguments))
    async with aclosing(stream):
        async for chunk in stream:
            yield chunk


def _input(prompt: Prompt) -> Any:
    """The bare text of a completion, or LangChain's messages."""
    from langchain_core.messages import convert_to_messages

    if prompt.kind == "completion":
        return "\n".join(text_of(message) for message in prompt.messages)
    try:
        return convert_to_messages(
            [msgspec.to_builtins(message) | {"content": message.content} for message in prompt.messages]
        )
    except (ValueError, KeyError) as wrong:
        # Such as a tool's message that does not say which call it answers, or arguments that are not JSON.
        reason = f"the messages cannot be read: {type(wrong).__name__}: {wrong}"
        raise ModelError(reason, code="invalid_prompt", status=422) from wrong


def _arguments(ready: _Ready, prompt: Prompt) -> dict[str, Any]:
    """The arguments of the call: known ones only, whatever the request holds."""
    arguments = {name: value for name, value in msgspec.structs.asdict(prompt.parameters).items() if value is not None}
    if prompt.tools and ready.kind == "chat":
        arguments["tools"] = prompt.tools
        if ready.extra_body is None:
            # Providers other than OpenAI translate its form of a tool into their own here, and nowhere else.
            with suppress(NotImplementedError, AttributeError):
                arguments |= ready.inner.bind_tools(prompt.tools).kwargs
    if ready.extra_body is not None and (body := {**_extra(prompt), **ready.extra_body}):
        arguments["extra_body"] = body
    return arguments


_PARAMETERS = frozenset(field.name for field in msgspec.structs.fields(Parameters))
_OURS = frozenset({"model", "messages", "prompt", "stream", "stream_options", "tools", "n", "best_of"})


def _extra(prompt: Prompt) -> dict[str, Any]:
    """The unknown fields of the request, without those that would overrule what Headwater itself says.

    The client lets `extra_body` win over its own fields: `model` would reach a model that the operator does not offer.
    """
    for name in ("n", "best_of"):
        if prompt.extra.get(name) not in (None, 1):
            # Several answers come interleaved in one stream, and LangChain reads them as a single one.
            raise ModelError(f"{name} must be 1: one request, one answer", code="provider_refused", status=422)
    taken = _OURS | {name for name in _PARAMETERS if getattr(prompt.parameters, name) is not None}
    if "max_tokens" in taken:
        taken |= {"max_completion_tokens", "max_output_tokens"}  # other names of the same limit
    return {name: value for name, value in prompt.extra.items() if name not in taken}


class _Reading:
    """Turns the chunks of one answer into events."""

    def __init__(self) -> None:
        self.begun = False
        self._reason: str | None = None
        self._usage: Any = None
        self._call: str | None = None  # id of the tool call whose arguments are coming
        self._index: object = None
        self._ended: set[object] = set()
        self._calls = 0
        self._chunked = False

    def events(self, chunk: Any) -> Iterator[Event]:
        """What a chunk says, in order."""
        self.begun = True
        if isinstance(chunk, str):
            if chunk:
                yield TextDelta(chunk)
            return
        if isinstance(chunk, tuple):  # LangGraph's (message, where it came from)
            chunk = cast("tuple[Any, ...]", chunk)[0]
        match getattr(chunk, "type", None):
            case "AIMessageChunk" | "ai":
                yield from self._message(chunk)
            case "tool" | "ToolMessageChunk":
                yield from self._close()
                yield ToolResult(str(chunk.tool_call_id), str(chunk.text))
            case "human" | "system" | "remove":
                pass  # nodes of a graph echo what they were given
            case _:
                hint = "end it with a chat model or with StrOutputParser()"
                raise ModelError(f"the runnable yielded a {type(chunk).__name__}: {hint}", code="unreadable_output")

    def end(self, kind: str, watch: "_Watch") -> list[Event]:
        """The last events; none when the provider never told that it had finished."""
        reason = watch.reason if watch.ran else self._reason
        if reason is None and kind == "runnable" and not watch.ran and not self._chunked:
            reason = "stop"
        if reason is None:
            return []  # also no end of an open tool call: its arguments are as truncated as everything else
        return [*self._close(), Finish(_REASONS.get(reason.lower(), "other"), _usage(self._usage or watch.usage))]

    def _message(self, message: Any) -> Iterator[Event]:
        is_chunk = message.type == "AIMessageChunk"
        said = list(self._content(message))
        pieces = message.tool_call_chunks if is_chunk else _whole_calls(message)
        if self._reason and (said or pieces):
            # The next model of a graph has begun to speak, so the reason of the last one says nothing any more.
            yield from self._close()
            self._reason, self._ended = None, set()
        metadata = message.response_metadata
        if isinstance(fitted := metadata.get("fitted"), dict):
            yield Metadata({"fitted": fitted})
        yield from said
        for piece in pieces:
            yield from self._tool_call(piece)
        if message.usage_metadata:
            from langchain_core.messages.ai import add_usage

            self._usage = add_usage(self._usage, message.usage_metadata)
        self._chunked = self._chunked or is_chunk
        # A whole message is no stream that could have been cut.
        self._reason = _told(metadata) or self._reason or (None if is_chunk else "stop")

    def _content(self, message: Any) -> Iterator[Event]:
        if isinstance(message.content, str):
            if thought := message.additional_kwargs.get("reasoning_content"):
                yield ReasoningDelta(str(thought))
            if message.content:
                yield TextDelta(message.content)
        else:
            for block in message.content:
                yield from _block({"type": "text", "text": block} if isinstance(block, str) else block)

    def _tool_call(self, piece: Mapping[str, Any]) -> Iterator[Event]:
        id, index = piece.get("id"), piece.get("index")
        if (id and id != self._call) or self._call is None or (index is not None and index != self._index):
            if not id and index in self._ended:
                # Its end has been told already; leaving out the rest would hand a tool half of its arguments.
                raise ModelError("the provider's tool calls are interleaved", code="provider_garbled")
            yield from self._close()
            self._calls += 1
            self._call, self._index = str(id or f"call_{self._calls}"), index
            yield ToolCallStart(self._call, piece.get("name") or "")
        if piece.get("args"):
            yield ToolCallDelta(self._call, str(piece["args"]))

    def _close(self) -> Iterator[Event]:
        if self._call is not None:
            yield ToolCallEnd(self._call)
            self._ended.add(self._index)
            self._call = self._index = None


def _block(block: Mapping[str, Any]) -> Iterator[Event]:
    """One content block, in the shapes of OpenAI, Anthropic and LangChain itself; tool calls come by another way."""
    if block.get("type") in ("text", "output_text", "text_delta", "refusal"):
        if said := block.get("text") or block.get("refusal"):
            yield TextDelta(str(said))
    elif block.get("type") in ("reasoning", "thinking", "reasoning_content"):
        summary = "".join(part.get("text", "") for part in block.get("summary") or ())
        if said := block.get("reasoning") or block.get("thinking") or block.get("text") or summary:
            yield ReasoningDelta(str(said))


def _whole_calls(message: Any) -> list[dict[str, Any]]:
    """The tool calls of a message that came in one piece, in the form of pieces."""
    calls = [{**call, "args": json.dumps(call["args"])} for call in message.tool_calls]
    return [{**call, "index": index} for index, call in enumerate([*calls, *message.invalid_tool_calls])]


def _usage(counted: Any) -> Usage | None:
    if not counted:
        return None
    details = {name: dict(value) for name, value in counted.items() if name.endswith("_details") and value}
    given = counted.get("input_tokens", counted.get("prompt_tokens", 0))  # chat models, completions
    return Usage(given, counted.get("output_tokens", counted.get("completion_tokens", 0)), details)


_REASONS = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete", "completed"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(("content_filter", "content_filtered", "safety", "refusal"), "content_filter"),
}


def _told(metadata: Mapping[str, Any]) -> str | None:
    """The reason a provider gave, under whichever name it gives it."""
    # OpenAI's Responses API has a status, and a reason only where it is incomplete.
    details: Any = metadata.get("incomplete_details") or {}
    names = ("finish_reason", "stop_reason", "stopReason", "done_reason")
    reason = next((metadata[name] for name in names if metadata.get(name)), None) or details.get("reason")
    return str(reason) if reason else {"completed": "stop"}.get(str(metadata.get("status")))


class _Watch:
    """What callbacks tell of the last model that ran; mixed into LangChain's handler class by `_watch_class`."""

    run_inline = True  # in the order of the tokens, without a task for each of them
    ran = False
    reason: str | None = None
    usage: Any = None

    async def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.ran, self.reason = True, None

    on_llm_start = on_chat_model_start

    async def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        self._hear(chunk)

    async def on_llm_end(self, response: Any, **_: Any) -> None:
        if self.reason is None and response.generations and response.generations[0]:
            self._hear(response.generations[0][0])

    def _hear(self, generation: Any) -> None:
        info: dict[str, Any] = {**getattr(getattr(generation, "message", None), "response_metadata", {})}
        info |= getattr(generation, "generation_info", None) or {}
        self.usage = info.get("token_usage") or self.usage
        self.reason = _told(info) or self.reason


@functools.cache
def _watch_class() -> type[_Watch]:
    from langchain_core.callbacks import AsyncCallbackHandler

    class Watch(_Watch, AsyncCallbackHandler):
        pass

    return Watch

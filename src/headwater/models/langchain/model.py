"""Any LangChain model, chain or LangGraph graph as a Headwater model.

LangChain is imported for the first answer, in a worker thread: the import takes about a second of CPU, which would
delay start-up and block the event loop. `prepare()` does it ahead of the first request.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast, runtime_checkable

import msgspec

from headwater.errors import ModelError
from headwater.events import Event
from headwater.models.continuation import Continuation, Events
from headwater.models.langchain import addresses
from headwater.models.langchain.turns import Turns
from headwater.models.model import Shown
from headwater.models.openai.connection import Account
from headwater.models.openai.fields import Fields
from headwater.models.openai.request import content_field, extra, tool_call_field, tool_field
from headwater.models.prefill import COMPLETION, Prefill, at, of_class
from headwater.models.reading import FIELDS, Reading, Watch, watch_class
from headwater.models.scrub import as_model_error, unavailable
from headwater.prompt import File, Message, Prompt, text_of

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable


@runtime_checkable
class Streams(Protocol):
    """What tells a LangChain Runnable from a `Model`, without importing LangChain."""

    def astream(self, input: Any, /) -> AsyncIterator[Any]:
        """What the object answers to an input, piece by piece."""
        ...


@runtime_checkable
class _Graph(Protocol):
    """What tells a compiled LangGraph graph from other Runnables, without importing LangGraph."""

    stream_mode: Any
    channels: Any


class Opened(NamedTuple):
    """A LangChain object that was built for us, and how to close its connections."""

    runnable: "Runnable[Any, Any]"
    close: Callable[[], Awaitable[None]] | None


class _Ready(NamedTuple):
    """The LangChain object in use, and the facts about it."""

    runnable: "Runnable[Any, Any]"
    inner: Any
    """The object without its bindings: the chat model within `model.bind_tools(…)`."""
    kind: Literal["chat", "completion", "graph", "runnable"]
    extra_body: Mapping[str, Any] | None
    """The operator's additions to the JSON body; None for a provider without a place for them."""
    at_openai: bool
    """Whether the provider is OpenAI itself."""
    close: Callable[[], Awaitable[None]] | None
    defaults: Mapping[str, Any]
    """Arguments of every call."""
    prefill: Prefill | None
    """How the provider goes on with an answer."""


class LangChainModel:
    """Answers with a LangChain chat model, a completion LLM, or any other Runnable.

    - Input: a chat model gets the messages, a completion LLM the text, a LangGraph graph `{"messages": […]}`. Any other
      Runnable gets the list of messages, or the bare text of a completion; begin yours with a function that converts.
    - Sampling parameters and tools become arguments of the call, for chat models and LLMs only: a chain has its own.
    - `prompt.extra` and `prompt.carried` travel in the JSON body of OpenAI-compatible providers (`extra_body`); other
      providers have no place for them and ignore them. No field of a request reaches a constructor or the client's
      options.
    - The end: an answer is finished when the provider gave a reason, else it is truncated. In a Runnable the last model
      that ran decides, even if the output is bare text. Without any model a Runnable is finished when it ends, unless
      it yielded message chunks, because a model that yields those gives a reason.
    - A graph streams the output of every model in it and in graphs within it, and the results of all tools. Models that
      speak at the same time are told one after the other.

    `aclose()` closes what was opened here, and leaves an object that was passed in open. Connections belong to the
    event loop that made them, so the model opens anew in another loop; it works in one loop at a time.
    """

    def __init__(
        self,
        source: "Runnable[Any, Any] | Callable[[], Opened]",
        name: str,
        *,
        secrets: Sequence[str] = (),
        leave_out: frozenset[str] = frozenset(),
        prefill: str = "auto",
    ) -> None:
        """Use an existing object, or a function that opens one at the first use, in a worker thread.

        `secrets` are hidden wherever they appear in a provider's messages. `leave_out` are carried fields that the
        provider does not take; those that it refuses are left out by themselves. `prefill` is what the operator says of
        the model, one of `headwater.models.prefill.SETTINGS`.
        """
        self._source = source
        self._name = name
        self._secrets = tuple(secrets)
        self._fields = Fields(leave_out=leave_out)
        self._ready: asyncio.Task[_Ready] | None = None
        self.prefill = prefill
        """What the operator says of the model."""
        self._continuation = Continuation(self.stream)
        self._answering = 0
        self._pending_closes: list[Callable[[], Awaitable[None]]] = []

    @property
    def name(self) -> str:
        """The name that requests, keys and metrics use."""
        return self._name

    async def prepare(self) -> None:
        """Import and build everything now, so that the first request does not wait for that. Raises `ModelError`."""
        await self._prepared()

    async def aclose(self) -> None:
        """Close the connections to the provider that were opened here; a later use opens them anew.

        Running answers end first, and the last of them closes: a catalogue may evict a model in mid-answer.
        """
        task, self._ready = self._ready, None
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            return  # the connections of a loop that is gone cannot be closed from here
        (ready,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ready, _Ready) and ready.close is not None:
            self._pending_closes.append(ready.close)
            await self._close_when_idle()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The events of one answer; see `headwater.models.model.Model.stream`."""
        ready = await self._prepared()
        watch = watch_class()()
        reading = Reading()
        if prompt.extra.get("logprobs"):
            reading.leave_out("logprobs")
        while True:
            carried = self._fields.adapted(prompt.carried, chat=False)
            prompt = msgspec.structs.replace(prompt, carried=carried)
            try:
                # Only closing the iterator closes the provider's connection; leaving the loop does not. An abandoned
                # iterator with a reference somewhere would go on generating, and costing.
                async with self._in_use(), aclosing(_chunks(ready, prompt, watch)) as chunks:
                    async for chunk in chunks:
                        yield list(reading.events(chunk))  # an empty batch is a sign of life
                break
            except ModelError:
                raise
            except Exception as failure:  # the one boundary to foreign code: a provider's package may raise anything
                status = getattr(failure, "status_code", 0)
                if reading.begun or not self._fields.learn(status, str(failure), carried):
                    raise as_model_error(failure, secrets=self._secrets, answering=reading.begun) from failure
        if ending := reading.end(ready.kind, watch):
            yield ending

    def continues(self, prompt: Prompt) -> bool:
        """Whether the provider goes on with answers; see `headwater.models.model.Continues`. Only once prepared."""
        if self._ready is None or not self._ready.done() or _failed(self._ready):
            return False
        ready = self._ready.result()
        return self._continuation.can(ready.prefill, prompt, ready.defaults)

    async def go_on(self, prompt: Prompt, shown: Shown) -> Events:
        """The events that follow what was shown; see `headwater.models.model.Continues`."""
        ready = await self._prepared()
        limit, own = prompt.parameters.max_tokens, getattr(ready.inner, "answer_limit", None)
        limit = own(limit) if own is not None else limit or max(0, getattr(ready.inner, "max_tokens", None) or 0)
        async with aclosing(self._continuation.go_on(ready.prefill, prompt, shown, limit or None)) as rest:
            async for batch in rest:
                yield batch

    async def count_tokens(self, prompt: Prompt) -> int | None:
        """The tokens of a prompt by the class's own count; None for a class that would guess, or load a tokenizer."""
        ready = await self._prepared()
        count = getattr(ready.inner, "get_num_tokens_from_messages", None)
        if count is None or count.__module__.startswith(("langchain_core", "langchain_openai")):
            return None
        tools = [tool_field(tool) for tool in prompt.tools] or None
        try:
            async with self._in_use():
                return await asyncio.to_thread(count, _input(prompt, ready), tools)
        except ModelError:
            raise
        except Exception as failure:  # as in `stream`
            raise as_model_error(failure, secrets=self._secrets) from failure

    @asynccontextmanager
    async def _in_use(self) -> AsyncGenerator[None, None]:
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1
            await self._close_when_idle()

    async def _close_when_idle(self) -> None:
        while self._pending_closes and not self._answering:
            await self._pending_closes.pop()()

    async def _prepared(self) -> _Ready:
        task = self._ready
        if task is None or task.get_loop() is not asyncio.get_running_loop() or _failed(task):
            # The next request retries a failed build: the operator may have supplied a missing key meanwhile.
            task = self._ready = asyncio.create_task(asyncio.to_thread(_look_at, self._source, self.prefill))
            task.add_done_callback(_failed)  # retrieves the exception, even if nobody waits for the task any more
        try:
            # Shielded, because other requests may wait for the same build, and a thread cannot be cancelled anyway.
            return await asyncio.shield(task)
        except Exception as failure:  # as above: any package's constructors
            raise unavailable(failure, self._name, self._secrets) from failure


def _failed(task: "asyncio.Task[_Ready]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def sends_extra(runnable: "Runnable[Any, Any]") -> bool:
    """Whether unknown fields of a request reach the provider of a LangChain object: only OpenAI's classes send them."""
    return _is_openai(_unbound(runnable)[0])


def unkeyed(runnable: "Runnable[Any, Any]") -> Account | None:
    """Where a chat model of OpenAI's classes asks; None if it is none, or has a `prompt_cache_key` of its user's."""
    inner, bound = _unbound(runnable)
    if not _is_openai(inner) or not hasattr(inner, "root_async_client"):
        return None
    own: dict[str, Any] = {**inner.model_kwargs, **(inner.extra_body or {}), **bound, **bound["extra_body"]}
    return None if "prompt_cache_key" in own else _account(inner)


def _account(inner: Any) -> Account:
    """The address of an object of OpenAI's classes."""
    client = getattr(inner.async_client, "_client", None)  # a client of the user's own may be any object
    return Account(str(client.base_url) if client is not None else inner.openai_api_base)


def _unbound(runnable: Any) -> tuple[Any, dict[str, Any]]:
    """The object within `model.bind(…)`, `with_retry` and the like, and what was bound to it."""
    from langchain_core.runnables.base import RunnableBindingBase

    binding: type[Any] = RunnableBindingBase
    bound: dict[str, Any] = {}
    extra_body: dict[str, Any] = {}
    while isinstance(runnable, binding):
        extra_body = {**(runnable.kwargs.get("extra_body") or {}), **extra_body}
        bound = {**runnable.kwargs, **bound}
        runnable = runnable.bound
    return runnable, {**bound, "extra_body": extra_body}


def is_model(runnable: object) -> bool:
    """Whether a Runnable is a model and nothing else: a chain or a graph may act when it is run."""
    from langchain_core.language_models import BaseLanguageModel

    return isinstance(_unbound(cast("Any", runnable))[0], BaseLanguageModel)


def _is_openai(inner: object) -> bool:
    # By name, so that users of another provider do not pay for importing this one. Compatible providers derive from
    # the same classes.
    return any(base.__name__ in ("BaseChatOpenAI", "BaseOpenAI") for base in type(inner).__mro__)


def _look_at(source: "Runnable[Any, Any] | Callable[[], Opened]", prefill: str) -> _Ready:
    """Open the LangChain object and find out its kind. Imports what the first answer will need."""
    from langchain_core.language_models import BaseChatModel, BaseLLM
    from langchain_core.runnables import Runnable

    runnable, close = Opened(cast("Any", source), None) if isinstance(source, Runnable) else source()
    watch_class()
    inner, bound = _unbound(runnable)
    is_openai = _is_openai(inner)
    extra_body: dict[str, Any] | None = {**(inner.extra_body or {}), **bound["extra_body"]} if is_openai else None
    kind = "graph" if isinstance(inner, _Graph) else "runnable"
    if isinstance(inner, BaseChatModel | BaseLLM):
        kind = "chat" if isinstance(inner, BaseChatModel) else "completion"
    defaults = {**getattr(inner, "model_kwargs", {}), "thinking": getattr(inner, "thinking", None), **bound}
    found = _prefill(inner, kind, prefill) if is_openai else None
    if kind == "chat" and not is_openai:
        found = of_class(type(inner).__name__, str(getattr(inner, "model", "")), prefill)
    at_openai = is_openai and _account(inner).is_openai
    return _Ready(runnable, inner, kind, extra_body, at_openai, close, defaults, found)


def _prefill(inner: Any, kind: str, setting: str) -> Prefill | None:
    """How the provider behind an object of OpenAI's classes goes on with an answer."""
    if kind == "completion":
        return None if setting == "off" else COMPLETION
    found = at(_account(inner).address, setting)
    ours = any(base.__name__ == "ChatOpenAIWire" for base in type(inner).__mro__)
    # Other classes drop fields of a message that they do not know.
    return found if ours or (found and found.way in ("flags", "trailing")) else None


async def _chunks(ready: _Ready, prompt: Prompt, watch: Watch) -> AsyncGenerator[Any, None]:
    """The LangChain object's output for a prompt."""
    content: Any = _input(prompt, ready)
    if isinstance(content, str) and ready.kind in ("chat", "graph"):
        content = [("user", content)]
    if ready.kind == "graph":
        content, arguments = {"messages": content}, {"stream_mode": ["messages", "tools"], "subgraphs": True}
    else:
        arguments = {} if ready.kind == "runnable" else _arguments(ready, prompt)
    # A chat model's chunks contain everything. An LLM yields bare strings and reports its end to callbacks only, and
    # the output of a chain may contain nothing of the model within.
    config: Any = None if ready.kind == "chat" else {"callbacks": [watch, *addresses.guards(prompt)]}
    stream = cast("AsyncGenerator[Any, None]", ready.runnable.astream(content, config, **arguments))
    async with aclosing(stream):
        if ready.kind == "graph":
            turns = Turns(watch)
            async for _, mode, payload in stream:
                for item in turns.take(mode, payload):
                    yield item
            for item in turns.rest():
                yield item
            return
        async for chunk in stream:
            yield chunk


def _input(prompt: Prompt, ready: _Ready) -> Any:
    """The bare text of a completion, or LangChain's messages."""
    from langchain_core.messages import convert_to_messages

    if prompt.kind == "completion":
        return "\n".join(text_of(message) for message in prompt.messages)
    addresses.check(prompt, ready.inner)
    try:
        return convert_to_messages([_message(message, ready) for message in prompt.messages])
    except (ValueError, KeyError) as wrong:
        # Such as a tool's message without the id of its call, or arguments that are not JSON.
        reason = f"the messages cannot be read: {type(wrong).__name__}: {wrong}"
        told = "the messages cannot be read; a tool's message needs the id of its call, and a call's arguments are JSON"
        raise ModelError(reason, code="invalid_prompt", status=422, told=told) from wrong


def _message(message: Message, ready: _Ready) -> dict[str, Any]:
    """A message in OpenAI's form, which LangChain takes for every provider."""
    fields: dict[str, Any] = {"role": message.role, "content": content_field(message)}
    if ready.kind == "chat" and ready.extra_body is None and not isinstance(message.content, str):
        # OpenAI's form has no word for a file at an address, which other providers read; LangChain's own form has.
        files = {place: part for place, part in enumerate(message.content) if isinstance(part, File) and part.url}
        for place, part in files.items():
            media_type = {} if part.media_type is None else {"mime_type": part.media_type}
            fields["content"][place] = {"type": "file", "url": part.url, **media_type}
    if message.name is not None:
        fields["name"] = message.name
    if message.tool_calls is not None:
        fields["tool_calls"] = [tool_call_field(call) | {"id": call.id or None} for call in message.tool_calls]
    if message.role == "assistant" and ready.extra_body is not None:
        # Only Headwater's own classes send these; other providers' classes have their own way for them.
        calls = {call.id: call.provider for call in message.tool_calls or () if call.provider}
        own = message.provider | ({"tool_calls": calls} if calls else {})
        if own:
            fields["additional_kwargs"] = {FIELDS: own}
    elif message.provider.get("prefix"):
        fields["additional_kwargs"] = {"prefix": True}  # where ChatMistralAI has the field
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    return fields


def _arguments(ready: _Ready, prompt: Prompt) -> dict[str, Any]:
    """The arguments of the call: known ones only, whatever fields the request has."""
    arguments = {name: value for name, value in msgspec.structs.asdict(prompt.parameters).items() if value is not None}
    if prompt.tools and ready.kind == "chat":
        tools = arguments["tools"] = [tool_field(tool) for tool in prompt.tools]
        if ready.extra_body is None:
            # Other providers' classes translate OpenAI's form of a tool into their own only in `bind_tools`.
            with suppress(NotImplementedError, AttributeError):
                arguments |= ready.inner.bind_tools(tools).kwargs
    if ready.extra_body is not None and (body := extra(prompt, ready.extra_body, at_openai=ready.at_openai)):
        arguments["extra_body"] = body
    return arguments

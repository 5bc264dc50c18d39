"""Any LangChain model with a cache that works: for `invoke` and `stream`, and for many callers at once."""

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.outputs import LLMResult

from headwater.errors import Unsupported
from headwater.langchain.answering import Answering, Call, Chunks
from headwater.langchain.background import across, background, blocking
from headwater.langchain.chunks import whole_chunk
from headwater.langchain.question import deciding
from headwater.langchain.stores import opened
from headwater.log.store import Store

M = TypeVar("M", bound=BaseChatModel | BaseLLM)
_STATE = "_headwater"


def Cached(
    model: M, *, store: str | Store | None = None, ttl: float | None = None, tenant: str = "default", cache_as: str = ""
) -> M:
    """The same model, whose answers are kept in a store and replayed chunk for chunk: `Cached(ChatOpenAI(…))`.

    It is a model of the same class, so bind tools to it, put it into chains and graphs, invoke it or stream it. Equal
    calls at the same time ask the provider once. Only whole answers are kept: the provider must have said `stop` or
    `tool_calls`. Every replay has its own message id, and the usage of the first answer.

    `store` is a URL, `sqlite:///…`, `redis://…`, `upstash:` or `memory:`, or a store object that nobody else uses;
    without one it is the store that the settings name. `ttl` is how long an answer is kept, in seconds. Tenants never
    share answers, nor do two models with different fields, an API key among them; `cache_as` tells apart models whose
    difference no field says. Raises `Unsupported` for a store that does not exist, or for a model that is no chat model
    and no completion model: call `Cached` before `bind_tools` and the like.
    """
    if not isinstance(model, BaseChatModel | BaseLLM):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped code
        raise Unsupported(f"{type(model).__name__} is not a chat or completion model; wrap the model, then bind to it")
    settings, opener = opened(store, ttl)
    chat = isinstance(model, BaseChatModel)
    answering = Answering(type(model).__name__, opener, settings, tenant, chat=chat)
    state = State(model, answering, cache_as)
    cached = model.model_copy(update={"cache": False, **({"rate_limiter": None} if chat else {})})
    object.__setattr__(cached, "__class__", _class_of(type(model)))
    vars(cached)[_STATE] = state
    return cached


class State:
    """The model beneath a cached one, and where its answers are."""

    def __init__(self, model: Any, answering: Answering, cache_as: str) -> None:
        self.inner = self._model = model
        if "stream_usage" in cast("Any", type(model)).model_fields and "stream_usage" not in model.model_fields_set:
            self.inner = model.model_copy(update={"stream_usage": True})  # or a streamed answer, the only one, has none
        self._answering = answering
        self._as = cache_as
        self._key = {"model": deciding(model), "as": cache_as}

    def changed(self, fields: Mapping[str, Any]) -> "State":
        """The same for a model with other values of these fields."""
        return State(self._model.model_copy(update=fields), self._answering, self._as)

    def several(self, options: Mapping[str, Any]) -> bool:
        """Whether a call wants several answers, which no stream can carry; such a call is not cached."""
        return (options.get("n") or getattr(self.inner, "n", None) or 1) > 1

    async def stream(self, asked: Any, stop: Any, options: Mapping[str, Any]) -> AsyncIterator[Any]:
        """The chunks of an answer, for a caller in an event loop."""
        call = Call(lambda: self._chunks(asked, stop, options), asyncio.get_running_loop())
        source = across(background(), self._answering.chunks(asked, self._extra(stop, options), call))
        try:
            async for batch in source:
                for chunk in batch:
                    yield chunk
        finally:
            await source.aclose()

    def stream_blocking(self, asked: Any, stop: Any, options: Mapping[str, Any]) -> Iterator[Any]:
        """The same for a caller that blocks its thread; the model blocks one of the background's."""
        call = Call(lambda: self._chunks(asked, stop, options, blocking=True), None)
        for batch in blocking(self._answering.chunks(asked, self._extra(stop, options), call)):
            yield from batch

    def _extra(self, stop: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._key, "stop": stop, "options": dict(options)}

    async def _chunks(self, asked: Any, stop: Any, options: Mapping[str, Any], *, blocking: bool = False) -> Chunks:
        """What the model beneath answers, without callbacks: they are the callers', and each has its own."""
        inner = self.inner
        limiter = getattr(inner, "rate_limiter", None)
        if limiter is not None:
            await limiter.aacquire(blocking=True)
        chat = isinstance(inner, BaseChatModel)
        plain: Any = BaseChatModel if chat else BaseLLM
        if _streams(inner, options, blocking=blocking):
            # LangChain's own `_astream` runs the `_stream` of a class in a thread.
            stream: Callable[..., Any] = functools.partial(plain._astream, inner) if blocking else inner._astream
            async for chunk in stream(asked, stop, **options):
                yield chunk, False
            return
        once: Callable[..., Any] = functools.partial(plain._agenerate, inner) if blocking else inner._agenerate
        result = await once(asked if chat else [asked], stop, **options)
        found = result.generations[0] if chat else result.generations[0][0]
        yield whole_chunk(found, result.llm_output if chat else None), True


def _streams(inner: Any, options: Mapping[str, Any], *, blocking: bool) -> bool:
    if isinstance(inner, BaseChatModel):
        asks: Any = inner
        return asks._should_stream(async_api=not blocking, **{**options, "stream": True})
    own, base = cast("Any", type(inner)), cast("Any", BaseLLM)
    return own._stream is not base._stream or (not blocking and own._astream is not base._astream)


@functools.cache
def _class_of(model: type[Any]) -> type[Any]:
    """The class of cached models of a class. It has the same name, as traces tell it."""
    mixin = _CachedChat if issubclass(model, BaseChatModel) else _CachedCompletion
    metaclass: Any = type(model)
    names = {"__module__": model.__module__, "__qualname__": model.__qualname__, "__doc__": model.__doc__}
    made: Any = metaclass(model.__name__, (mixin, model), names)
    made._stream_chat_model_events = made._astream_chat_model_events = None  # ways past the cache, if there are any
    return made


class _Cached:
    @property
    def _state(self) -> State:
        if _STATE not in vars(self):  # LangChain makes one from the fields, as for `configurable_fields`
            raise Unsupported("a cached model cannot be configured; change the model, then wrap it in Cached")
        return vars(self)[_STATE]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Any:
        copied = cast("Any", super()).model_copy(update=update, deep=deep)
        vars(copied)[_STATE] = self._state.changed(update or {})
        return copied

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in cast("Any", type(self)).model_fields:
            vars(self)[_STATE] = self._state.changed({name: value})


class _CachedChat(_Cached):
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> Any:
        if self._state.several(options):
            return self._state.inner._generate(messages, stop, run_manager, **options)
        return generate_from_stream(self._stream(messages, stop, **options))

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> Any:
        if self._state.several(options):
            return await self._state.inner._agenerate(messages, stop, run_manager, **options)
        return await agenerate_from_stream(self._astream(messages, stop, **options))

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> Iterator[Any]:
        return self._state.stream_blocking(messages, stop, options)

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
    ) -> AsyncGenerator[Any, None]:
        async for chunk in self._state.stream(messages, stop, options):
            yield chunk


class _CachedCompletion(_Cached):
    def _generate(self, prompts: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> Any:
        if self._state.several(options):
            return self._state.inner._generate(prompts, stop, run_manager, **options)
        answers: list[Any] = []
        for prompt in prompts:
            chunks = list(self._stream(prompt, stop, self._tells(run_manager), **options))
            answers.append([functools.reduce(lambda sum, chunk: sum + chunk, chunks)])
        return LLMResult(generations=answers)

    async def _agenerate(self, prompts: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> Any:
        if self._state.several(options):
            return await self._state.inner._agenerate(prompts, stop, run_manager, **options)

        async def one(prompt: str) -> list[Any]:
            chunks = [chunk async for chunk in self._astream(prompt, stop, self._tells(run_manager), **options)]
            return [functools.reduce(lambda sum, chunk: sum + chunk, chunks)]

        return LLMResult(generations=await asyncio.gather(*map(one, prompts)))

    def _tells(self, run_manager: Any) -> Any:
        """Whom to tell the tokens of a call that does not stream: nobody, unless the model is a streaming one."""
        return run_manager if getattr(self, "streaming", False) else None

    def _stream(self, prompt: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> Iterator[Any]:
        for chunk in self._state.stream_blocking(prompt, stop, options):
            yield chunk
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)

    async def _astream(
        self, prompt: Any, stop: Any = None, run_manager: Any = None, **options: Any
    ) -> AsyncGenerator[Any, None]:
        async for chunk in self._state.stream(prompt, stop, options):
            yield chunk
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)

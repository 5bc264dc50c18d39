"""The embedded model: llama.cpp in this process, as a LangChain chat model.

LangChain is imported at the top, unlike in the neighbouring modules, because nothing imports this module before the
embedded model is used. `load` imports the compiled library; `preflight` has found out before that it can run here.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel, agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from headwater.errors import ModelError
from headwater.models.embedded.demo import DEMO, Weights
from headwater.models.embedded.fitting import Fitted, fit
from headwater.models.embedded.relay import Relay
from headwater.models.embedded.server import Chunk, Server, count, start
from headwater.prompt import Message, Role

_HONOURED = ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")

_READABLE = {"text", "thinking", "redacted_thinking", "reasoning", "tool_use", "tool_call"}
"""Parts of a message that are text, or without which an earlier turn says the same."""

Item = Chunk | Fitted


class LlamaCppChat(BaseChatModel):
    """A small chat model that runs in this process, for demonstrations without a key or a network.

    `n_parallel` requests are answered at once and further ones wait; each may take `n_ctx` tokens, prompt and answer
    together. A longer conversation is fitted: the newest turns are kept, and the first chunk reports it in
    `response_metadata["fitted"]`. Cancelling returns at once and frees the slot within about a second. One instance may
    serve several event loops, and threads. Every failure raises `ModelError`.
    """

    path: Path
    """The file of the weights."""
    weights: Weights = DEMO
    """The chat template, the system prompt and the sampling that these weights want."""
    n_ctx: int = DEMO.context
    n_parallel: int = 2
    threads: int | None = None
    """Computing threads; by default one less than the processors, which leaves one for the event loop."""
    max_tokens: int = 512
    """Tokens of an answer where the request sets no limit; never more than half of `n_ctx`."""

    _server: Server | None = PrivateAttr(default=None)
    _loading: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _closed: bool = PrivateAttr(default=False)
    _workers: ThreadPoolExecutor = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Create the thread pool; nothing is loaded yet."""
        super().model_post_init(context)
        # One thread per llama.cpp slot, so that requests wait in the pool, where cancelling is instant. A request that
        # waits inside llama.cpp can be cancelled only at its first token.
        self._workers = ThreadPoolExecutor(self.n_parallel, thread_name_prefix="llamacpp")

    @property
    def _llm_type(self) -> str:
        return "llamacpp"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.path.stem, "n_ctx": self.n_ctx}

    def load(self) -> None:
        """Read the weights into memory, once; blocks for about a second. Raises `ModelError`.

        The library keeps the interpreter locked meanwhile, so load before the first request is accepted.
        """
        with self._loading:
            if self._closed:
                raise ModelError("the embedded model has been closed", code="provider_error", status=503)
            if self._server is None:
                self._server = start(self.path, self.n_ctx, self.n_parallel, self.threads)

    async def prepare(self) -> None:
        """Run `load` in a thread, once. Raises `ModelError`."""
        if self._server is None:
            await asyncio.to_thread(self.load)

    def close(self) -> None:
        """Stop running answers and free the memory, for good; blocks for up to about a second."""
        self._closed = True
        self._workers.shutdown(wait=True, cancel_futures=True)
        with self._loading:
            self._server = None

    def answer_limit(self, asked: int | None) -> int:
        """The most tokens of an answer for which so many were asked."""
        return min(int(asked or self.max_tokens), self.n_ctx // 2)

    def get_num_tokens_from_messages(self, messages: Sequence[BaseMessage], tools: Any = None) -> int:
        """The tokens of a conversation, with the system prompt that it gets; tools are not read, and count nothing.

        Blocks for milliseconds. Raises `ModelError`.
        """
        self.load()
        try:
            turns = self._complete([_turn(message) for message in messages if message.content])
            return count(self._running(), self.weights, self.n_ctx, turns, exactly=True)
        except (RuntimeError, ValueError) as failure:
            raise _broken(failure) from failure

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.load()
        items: list[Item] = []
        answer = _Answer(self.path.stem, self.n_ctx)
        self._submit(messages, stop, kwargs, lambda item: self._closed or items.append(item) is not None).result()
        chunks = [chunk for item in items if (chunk := answer.chunk(item))]
        answer.check_complete()
        return generate_from_stream(iter(chunks))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, None, **kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        await self.prepare()
        relay, answer = Relay[Item](), _Answer(self.path.stem, self.n_ctx)
        work = self._submit(messages, stop, kwargs, lambda item: self._closed or relay.put(item))
        # The callback also runs for work that is cancelled before it began, as by `close`, so no reader waits forever.
        work.add_done_callback(relay.end)
        try:
            while (item := await relay.get()) is not None:
                chunk = answer.chunk(item)
                if chunk is None:
                    continue
                if run_manager and chunk.text:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
            answer.check_complete()
        finally:
            # Not awaited: llama.cpp notices at its next token, and its slot stays taken until then.
            relay.stop()
            work.cancel()

    def _submit(
        self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any], put: Callable[[Item], bool]
    ) -> "Future[None]":
        turns = [_turn(message) for message in messages if message.content]
        if not turns:
            raise ModelError("there is no message to answer", code="provider_error", status=422)
        asked = options.get("max_tokens") or options.get("max_completion_tokens")
        request: dict[str, Any] = {
            **self.weights.sampling,
            **{name: options[name] for name in _HONOURED if options.get(name) is not None},
            "max_tokens": self.answer_limit(asked),
            "stop": stop or [],
            "stream": True,
            "stream_options": {"include_usage": True},
            # A callback after every batch of the prompt, which makes a long prompt cancellable.
            "return_progress": True,
        }
        try:
            return self._workers.submit(self._answer, turns, request, put)
        except RuntimeError as closed:
            raise ModelError("the embedded model has been closed", code="provider_error", status=503) from closed

    def _answer(self, turns: list[Message], request: dict[str, Any], put: Callable[[Item], bool]) -> None:
        """Answer in a worker thread; every piece goes to `put`, until that returns True. Raises `ModelError`."""
        server, turns = self._running(), self._complete(turns)
        try:
            tokens = partial(count, server, self.weights, self.n_ctx)
            fitted = fit(turns, tokens, self.n_ctx - request["max_tokens"])
            if put(fitted):
                return
            messages = [{"role": turn.role, "content": turn.content} for turn in fitted.kept]
            server.handle_chat_completions({**request, "messages": messages}, put)
        except (RuntimeError, ValueError) as failure:
            raise _broken(failure) from failure

    def _running(self) -> Server:
        if self._server is None:
            raise ModelError("the embedded model has been closed", code="provider_error", status=503)
        return self._server

    def _complete(self, turns: list[Message]) -> list[Message]:
        """The turns with a system prompt, theirs or the model's own."""
        own = [] if any(turn.role == "system" for turn in turns) else [Message("system", self.weights.system_prompt)]
        return [*own, *turns]


class _Answer:
    """Turns llama.cpp's chunks, which have OpenAI's form, into LangChain's."""

    def __init__(self, model: str, context: int) -> None:
        self._model = model
        self._context = context
        self._reason: str | None = None
        self._complete = False

    def chunk(self, item: Item) -> ChatGenerationChunk | None:
        """The piece as LangChain's chunk; None for a piece without content. Raises `ModelError`."""
        if isinstance(item, Fitted):
            if not item.dropped:
                return None
            kept = sum(turn.role != "system" for turn in item.kept)
            facts = {"dropped": item.dropped, "kept": kept, "context": self._context}
            return ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata={"fitted": facts}))
        if "error" in item:
            raise _failure(item["error"])
        for choice in item.get("choices", ()):
            self._reason = choice.get("finish_reason") or self._reason
            text: str | None = choice.get("delta", {}).get("content")
            if text:
                return ChatGenerationChunk(message=AIMessageChunk(content=text))
        return self._last(item["usage"]) if self._reason and "usage" in item else None

    def check_complete(self) -> None:
        """Raises `ModelError` unless the answer has reached its end."""
        if not self._complete:
            raise ModelError("the embedded model was closed in mid-answer", code="provider_error", status=503)

    def _last(self, usage: dict[str, Any]) -> ChatGenerationChunk:
        self._complete = True
        tokens = UsageMetadata(
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage["completion_tokens"],
            total_tokens=usage["total_tokens"],
            input_token_details={"cache_read": usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)},
        )
        facts = {"finish_reason": self._reason, "model_name": self._model}
        message = AIMessageChunk(content="", response_metadata=facts, usage_metadata=tokens, chunk_position="last")
        return ChatGenerationChunk(message=message, generation_info={"finish_reason": self._reason})


def _failure(error: dict[str, Any]) -> ModelError:
    message = str(error.get("message", "no reason given"))
    if error.get("type") == "exceed_context_size_error":
        return ModelError(message, code="context_length", status=413)
    return _broken(message)


def _broken(why: object) -> ModelError:
    told = "The embedded model failed. Try again; the server's log says why."
    return ModelError(f"the embedded model failed: {why}", code="provider_error", told=told)


def _turn(message: BaseMessage) -> Message:
    """A LangChain message as role and text. Raises `ModelError` for pictures and sound, which the model cannot read."""
    roles: dict[str, Role] = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
    parts = cast("list[str | dict[str, Any]]", message.content) if isinstance(message.content, list) else []
    if any(isinstance(part, dict) and part.get("type") not in _READABLE for part in parts):
        raise ModelError("the embedded model reads text only", code="provider_error", status=422)
    return Message(roles.get(message.type, "user"), str(message.text))

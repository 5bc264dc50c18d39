"""The embedded model: llama.cpp in this process, as a LangChain chat model.

LangChain is imported at the top, unlike in the neighbouring modules, because nothing imports this module before the
embedded model is used. `load` imports the compiled library; `preflight` has found out before that it can run here.
"""

import asyncio
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel, agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from headwater.errors import ModelError
from headwater.models.embedded.demo import DEMO, Weights
from headwater.models.embedded.fitting import Fitted, TooLong, fit
from headwater.models.embedded.preflight import library
from headwater.prompt import Message, Role

_HONOURED = ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")

# The batch size: tokens of a prompt that llama.cpp reads without a check for cancellation. Its default of 2048 makes a
# cancelled request go on for 15 s on one core; 64 makes it half a second and costs at most 5 % of the speed.
_BATCH = 64
# The prompt cache in MiB: earlier conversations kept for reuse, at 23 KiB a token. llama.cpp's own default is 8 GiB.
_PROMPT_CACHE = 128
# The queue's bound in pieces, per answer. A reader that falls further behind delays its own answer only.
_QUEUE = 256
_UNREADABLE = {"image_url", "image", "input_audio", "audio", "video", "file"}

Chunk = dict[str, Any]
Item = Chunk | Fitted[Message]


class _Server(Protocol):
    """The two calls of the untyped library that are used here; both block, and release the interpreter meanwhile."""

    def handle_chat_completions(self, prompt: dict[str, Any], callback: Callable[[Chunk], bool], /) -> None: ...

    def handle_completions(self, prompt: dict[str, Any], /) -> dict[str, Any]: ...


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

    _server: _Server | None = PrivateAttr(default=None)
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
                self._server = _open(self)

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
        relay, answer = _Relay(), _Answer(self.path.stem, self.n_ctx)
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
        limit = options.get("max_tokens") or options.get("max_completion_tokens") or self.max_tokens
        request: dict[str, Any] = {
            **self.weights.sampling,
            **{name: options[name] for name in _HONOURED if options.get(name) is not None},
            "max_tokens": min(int(limit), self.n_ctx // 2),
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
        server = self._server
        if server is None:
            raise ModelError("the embedded model has been closed", code="provider_error", status=503)
        if all(turn.role != "system" for turn in turns):
            turns = [Message("system", self.weights.system_prompt), *turns]
        try:
            count = partial(_count, server, self.weights, self.n_ctx)
            fitted = fit(turns, count, self.n_ctx - request["max_tokens"])
            if put(fitted):
                return
            messages = [{"role": turn.role, "content": turn.content} for turn in fitted.kept]
            server.handle_chat_completions({**request, "messages": messages}, put)
        except TooLong as failure:
            raise ModelError(str(failure), code=failure.code, status=failure.status) from failure
        except (RuntimeError, ValueError) as failure:
            raise ModelError(f"the embedded model failed: {failure}", code="provider_error") from failure


class _Relay:
    """A bounded queue from a worker thread to the event loop that created it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Item | BaseException | None] = asyncio.Queue()
        self._room = threading.Semaphore(_QUEUE)
        self._stopped = False

    def put(self, item: Item) -> bool:
        """Hand over a piece; True means stop. Raises nothing, because llama.cpp would swallow it."""
        while not (self._stopped or self._room.acquire(timeout=0.1)):
            if self._loop.is_closed():
                return True
        return self._stopped or not self._send(item)

    def end(self, work: "Future[None]") -> None:
        """Hand over the end of the work, or its exception; outside the bound, so that it always arrives."""
        try:
            self._send(work.exception())
        except CancelledError:
            self._send(None)

    async def get(self) -> Item | None:
        """The next piece, or None at the end. Raises the exception that ended the work."""
        item = await self._queue.get()
        if isinstance(item, BaseException):
            raise item
        self._room.release()
        return item

    def stop(self) -> None:
        """Make the next `put` return True."""
        self._stopped = True

    def _send(self, item: Item | BaseException | None) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # the loop is closed
            return False
        return True


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

    def _last(self, usage: dict[str, int]) -> ChatGenerationChunk:
        self._complete = True
        tokens = UsageMetadata(
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage["completion_tokens"],
            total_tokens=usage["total_tokens"],
        )
        facts = {"finish_reason": self._reason, "model_name": self._model}
        message = AIMessageChunk(content="", response_metadata=facts, usage_metadata=tokens, chunk_position="last")
        return ChatGenerationChunk(message=message, generation_info={"finish_reason": self._reason})


def _failure(error: dict[str, Any]) -> ModelError:
    message = str(error.get("message", "no reason given"))
    if error.get("type") == "exceed_context_size_error":
        return ModelError(message, code="context_length", status=413)
    return ModelError(f"the embedded model failed: {message}", code="provider_error")


def _turn(message: BaseMessage) -> Message:
    """A LangChain message as role and text. Raises `ModelError` for pictures and sound, which the model cannot read."""
    roles: dict[str, Role] = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
    parts = cast("list[str | dict[str, Any]]", message.content) if isinstance(message.content, list) else []
    if any(isinstance(part, dict) and part.get("type") in _UNREADABLE for part in parts):
        raise ModelError("the embedded model reads text only", code="provider_error", status=422)
    return Message(roles.get(message.type, "user"), str(message.text))


def _count(server: _Server, weights: Weights, context: int, turns: Sequence[Message]) -> int:
    """The tokens of a conversation in the model's chat template; an upper bound for a short one."""
    text = "".join(weights.turn.format(role=turn.role, content=turn.content) for turn in turns) + weights.opening
    size = len(text.encode(errors="replace"))
    if size <= context // 2:
        return size  # a token is at least a byte, and the answer takes at most half the context, so this fits
    # The library has no tokenizer in process. But it refuses a prompt that cannot fit before any work, and the refusal
    # contains the prompt's length: so the text is sent within such a prompt. That takes 2 ms, and leaves the prompt
    # cache as it is.
    refusal = server.handle_completions({"prompt": [*([1] * context), text], "max_tokens": 1})
    tokens = refusal.get("error", {}).get("n_prompt_tokens")
    if not isinstance(tokens, int):
        raise ModelError("the embedded model cannot count its tokens", code="provider_error")
    return tokens - context


def _open(model: LlamaCppChat) -> _Server:
    """Load the weights into a new llama.cpp server. Raises `ModelError`."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-"))  # only its owner may enter
    try:
        llama = library()
        settings = llama.CommonParams()
        settings.model.path = str(model.path)
        settings.n_ctx, settings.n_parallel = model.n_ctx * model.n_parallel, model.n_parallel
        settings.n_batch = settings.n_ubatch = _BATCH
        settings.cache_ram_mib = _PROMPT_CACHE
        settings.verbosity, settings.ui, settings.endpoint_slots = -1, False, False
        threads = model.threads or max(1, (os.cpu_count() or 2) - 1)
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
        # The library insists on an HTTP listener. On a socket file, which is removed at once, nobody can reach it;
        # without socket files it is on a random loopback port, behind a random key.
        settings.api_keys = [secrets.token_hex(16)]
        socket = str(folder / "s.sock")
        if sys.platform != "win32" and len(socket) < 100:  # the kernel's limit is 104 or 108 bytes
            settings.hostnames = [socket]
        return cast("_Server", llama.Server(settings))
    except ImportError as failure:
        raise ModelError(f"the embedded model cannot run here: {failure}", code="provider_error") from failure
    except RuntimeError as failure:
        # The library gives no reason, and logs none either at this verbosity.
        raise ModelError(f"{model.path.name} could not be loaded as a model", code="provider_error") from failure
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""A LangChain callback that feeds a chain into a log, which is then streamed, resumed and stopped like any other."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Sequence
from typing import Any, TypeVar
from uuid import UUID

from fastapi import APIRouter
from langchain_core.messages import AIMessage, AIMessageChunk
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import NoMatchFound

from headwater.answers.attachment import Attachment
from headwater.cache.policy import Directives
from headwater.errors import HeadwaterError, Unsupported
from headwater.events import Event
from headwater.models.catalogue import Offer
from headwater.models.langchain.turns import Turns
from headwater.models.model import Model
from headwater.models.reading import Reading, watch_class
from headwater.models.scrub import as_model_error
from headwater.principal import Principal
from headwater.prompt import Message, Prompt
from headwater.web.accept import wants
from headwater.web.app import Routes
from headwater.web.problems import refused
from headwater.web.response import Delivery
from headwater.web.routes.logs import READ
from headwater.web.routes.native import JSON, SSE, TEXT, Dialects

T = TypeVar("T")
Work = Awaitable[Any] | AsyncIterator[Any]

_DIALECTS = Dialects()


class Stopped(Exception):
    """The answer was stopped through the API: what the callback raises, so that its chain ends."""


class StreamCallback(watch_class()):
    """Streams a chain of yours from a route of yours, with all that Headwater's routes offer.

    `routes` is what `headwater.router(…)` returned, and your app includes it. The callback gets the tokens of all
    models in the chain, and the results of its tools: pass it in the chain's `config`, to `ainvoke` or `astream`.

        callback = StreamCallback(routes)
        return await callback.respond(request, chain.ainvoke(question, {"callbacks": [callback]}))

    The chain goes on when its reader leaves. Its log ends when the chain ends: as finished, with the chain's error, or
    as stopped, and then the chain is cancelled. Nothing is cached, since a chain may have side effects.
    """

    raise_error = True  # or LangChain would go on with a chain whose answer was stopped

    def __init__(self, routes: APIRouter) -> None:
        """One callback feeds one log. Raises `Unsupported` for other routes than Headwater's."""
        if not isinstance(routes, Routes):
            raise Unsupported("StreamCallback needs what headwater.router(…) returned")
        self._surface = routes.surface
        self._told = asyncio.Queue[tuple[str, Any] | None]()  # holds one answer at most, whose size its log bounds
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._runs: dict[UUID, dict[str, str]] = {}
        self._work: Work | None = None
        self._stopped = False

    async def respond(self, request: Request, work: Work) -> Response:
        """Run the chain, and stream its answer: Server-Sent Events, bare text or one JSON object, as `Accept` says.

        `Location` says where the answer is read on, stopped and deleted.
        """
        dialect = _DIALECTS.of(request)
        try:
            place, principal, attachment = await self._attach(request, work)
        except HeadwaterError as error:
            return refused(error, dialect.refusal, request)
        id = attachment.message_id
        headers = {"Location": f"{place}{id}", "Cache-Status": attachment.status, **dialect.headers(id)}
        headers |= attachment.fields
        whole = wants(request, SSE, TEXT, JSON) == JSON
        deliver = self._surface.whole if whole else self._surface.read
        return deliver(attachment, principal, Delivery(dialect, id, headers))

    async def start(self, request: Request, work: Work) -> str:
        """Run the chain, and return the path at which its answer is read. Raises `ShuttingDown` or `StoreError`."""
        place, _, attachment = await self._attach(request, work)
        return f"{place}{attachment.message_id}"

    async def _attach(self, request: Request, work: Work) -> tuple[str, Principal, Attachment]:
        self._work = work
        prompt = Prompt(model="chain", messages=[Message("user")], carried={"chain": self})
        try:
            place = _place(request)
            principal = await self._surface.principal(request)
            with self._surface.capacity.claim(request, principal):
                ask = self._surface.answers.ask(prompt, principal, Directives(no_store=True), offer=_OFFER)
                return place, principal, await ask
        except BaseException:
            if asyncio.iscoroutine(work):
                work.close()  # or Python warns that it was never awaited
            raise

    async def events(self) -> AsyncGenerator[Sequence[Event], None]:
        """What the chain says, until it ends. Raises `ModelError`."""
        turns, reading = Turns(self), Reading()
        task = asyncio.create_task(_run(self._work), name="chain")
        task.add_done_callback(lambda _: self._told.put_nowait(None))
        try:
            while (told := await self._told.get()) is not None:
                yield [event for message, _ in turns.take(*told) for event in reading.events(message)]
            yield [event for message, _ in turns.rest() for event in reading.events(message)]
            await task
        except Exception as failure:  # a chain may raise anything
            error = as_model_error(failure, answering=True)
            error.retryable = False  # it has run, and what it did cannot be undone
            raise error from failure
        finally:
            self._stopped = True
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        yield reading.end("runnable", self)

    def _tell(self, mode: str, payload: Any) -> None:
        if self._stopped:
            raise Stopped("the answer was stopped")
        if threading.get_ident() == self._thread:
            self._told.put_nowait((mode, payload))
        else:  # a part of the chain that blocks a thread
            self._loop.call_soon_threadsafe(self._told.put_nowait, (mode, payload))

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **more: Any) -> None:
        """A piece of a model's answer."""
        super().on_llm_new_token(token, chunk=chunk, **more)
        message = getattr(chunk, "message", None) or AIMessageChunk(content=token)
        self._tell("messages", (message, self._runs.setdefault(run_id, {"run": str(run_id)})))

    def on_llm_end(self, response: Any, *, run_id: UUID, **more: Any) -> None:
        """A whole answer; it is told here if it did not come in pieces."""
        super().on_llm_end(response, **more)
        where = self._runs.pop(run_id, None)
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        if where is not None:  # of what came in pieces only the end, which not every model says
            self._tell("messages", (AIMessageChunk(content="", chunk_position="last"), where))
        elif generation is not None:
            message = getattr(generation, "message", None) or AIMessage(content=generation.text)
            self._tell("messages", (message, {}))

    def on_tool_end(self, output: Any, **_: Any) -> None:
        """The result of a tool."""
        self._tell("tools", {"event": "tool-finished", "output": output})

    def tap_output_aiter(self, run_id: UUID, output: AsyncIterator[T]) -> AsyncIterator[T]:
        """Nothing; a handler with this method makes LangChain's models stream when they are invoked."""
        return output

    def tap_output_iter(self, run_id: UUID, output: Iterator[T]) -> Iterator[T]:
        """The same for calls that block."""
        return output


async def _run(work: Work | None) -> None:
    if isinstance(work, AsyncIterator):
        async for _ in work:
            pass
    elif work is not None:
        await work


def _place(request: Request) -> str:
    """The path of the app's logs, before their ids."""
    try:
        return request.url_for(READ, message_id="-").path[:-1]
    except NoMatchFound as error:
        raise Unsupported("StreamCallback needs Headwater's routes in the app: app.include_router(routes)") from error


class _Chain:
    """The model of every callback: its answer is what the chain says."""

    name = "chain"

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        callback: StreamCallback = prompt.carried["chain"]
        async for batch in callback.events():
            yield batch


async def _build() -> Model:
    return _Chain()


_OFFER = Offer("chain", "langchain", False, _build)

"""The answers of one LangChain model, kept in a store: each call reads a log, whether it began it or not."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from weakref import WeakValueDictionary

import msgspec
from langchain_core.messages import BaseMessage

from headwater.answers.answers import Answers, Policy
from headwater.answers.claim import Caching
from headwater.answers.continuing import Continuing
from headwater.answers.generation import Timeouts
from headwater.errors import ModelError
from headwater.events import Ending, Error, Event, Finish, Stop
from headwater.langchain.background import across, closes
from headwater.langchain.chunks import Chunk, Recorder, Replay
from headwater.langchain.question import question
from headwater.log.store import Store
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import Model
from headwater.models.scrub import as_model_error
from headwater.principal import Principal
from headwater.settings import Settings

logger = logging.getLogger(__name__)

Chunks = AsyncGenerator[tuple[Chunk, bool], None]
"""A model's own chunks, each with whether it is a whole answer."""


class Call:
    """One call of the model: what to ask, and how it failed."""

    def __init__(self, chunks: Callable[[], Chunks], loop: asyncio.AbstractEventLoop | None) -> None:
        self.chunks = chunks
        self.loop = loop
        """Where the model runs: its caller's loop, or none for a caller that blocks its thread."""
        self.failure: Exception | None = None


class Answering:
    """Asks a model once for each question, and reads its answers from their logs. Runs in the background."""

    def __init__(self, name: str, store: Callable[[], Store], settings: Settings, tenant: str, *, chat: bool) -> None:
        async def build() -> Model:
            return _Recorded(name)

        offer = Offer(name, "langchain", True, build)
        secret = settings.secret.get_secret_value().encode() if settings.secret else b""
        # LangChain's models retry by themselves, and no caller of theirs comes back for the rest of an answer.
        timeouts = Timeouts(
            settings.first_token_timeout, settings.model_timeout, settings.total_timeout, unread=1.0, retries=0
        )
        # A question holds its caller's objects, which no store can keep.
        policy = Policy(Caching(settings.cache_ttl, secret), timeouts, Continuing("off"))
        self._answers = Answers(store, Catalogue(offer), policy)
        closes(self, self._answers.aclose)
        self._name = name
        self._principal = Principal(tenant, "langchain")
        self._chat = chat
        self._calls = WeakValueDictionary[str, Call]()

    async def chunks(
        self, asked: Sequence[BaseMessage] | str, extra: Mapping[str, Any], call: Call
    ) -> AsyncGenerator[Sequence[Chunk], None]:
        """The chunks of an answer, in batches of what is there. Raises what the model raised, or `HeadwaterError`."""
        prompt = msgspec.structs.replace(question(asked, self._name, extra), carried={"call": call})
        found = await self._answers.ask(prompt, self._principal, leaves=True)
        call = self._calls.setdefault(found.log, call)
        replay = Replay(chat=self._chat)
        async with aclosing(self._answers.read(found, self._principal)) as pages:
            async for page in pages:
                chunks = [chunk for entry in page if (chunk := replay.chunk(entry.event)) is not None]
                if chunks:
                    yield chunks
                if isinstance(page[-1].event, Ending):
                    _check(page[-1].event, call)


def _check(ending: Ending, call: Call) -> None:
    match ending:
        case Finish(reason):
            if reason == "other":
                logger.info("an answer is not kept, because nothing says that it is whole")
        case Error(code, message, retryable):
            raise call.failure or ModelError(message, code=code, retryable=retryable, status=ending.status)
        case Stop():
            raise ModelError("the answer was stopped", code="stopped")


class _Recorded:
    """The model of the calls that started an answer."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def stream(self, prompt: Any) -> AsyncGenerator[Sequence[Event], None]:
        call: Call = prompt.carried["call"]
        recorder, is_whole = Recorder(), False
        source = call.chunks() if call.loop is None else across(call.loop, call.chunks())
        try:
            async with aclosing(source) as chunks:
                async for chunk, whole in chunks:
                    is_whole = whole
                    yield list(recorder.events(chunk))
        except Exception as failure:  # foreign code: a provider's package may raise anything
            call.failure = failure
            raise as_model_error(failure, secrets=(), answering=True) from failure
        yield [recorder.end(whole=is_whole)]

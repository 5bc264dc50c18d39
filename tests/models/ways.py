"""The ways to an OpenAI-compatible provider: through LangChain, directly, and through LangChain with our decoding.

All ways must give the same events; the tests that are parametrised with them check that.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from upstream import Upstream

from headwater.errors import ModelError
from headwater.events import Event, ReasoningDelta, TextDelta
from headwater.models.langchain import openai_models
from headwater.models.langchain.model import LangChainModel
from headwater.models.openai.connection import Account
from headwater.models.openai.model import OpenAIModel
from headwater.prompt import Message, Prompt

KEY = "sk-the-operators-own-key"
HELLO = Prompt(model="m", messages=[Message("user", "Hello")])
ONCE_UPON = Prompt(kind="completion", model="m", messages=[Message("user", "Once upon")])

Build = Callable[[Upstream], Any]


def chat(upstream: Upstream) -> LangChainModel:
    return openai_models.chat("gpt-test", Account(upstream.url, KEY))


def completion(upstream: Upstream) -> LangChainModel:
    return openai_models.completion("babble", Account(upstream.url, KEY))


def direct_chat(upstream: Upstream) -> OpenAIModel:
    return OpenAIModel("gpt-test", "chat", Account(upstream.url, KEY))


def direct_completion(upstream: Upstream) -> OpenAIModel:
    return OpenAIModel("babble", "completion", Account(upstream.url, KEY))


def fast_chat(upstream: Upstream) -> LangChainModel:
    from headwater.langchain import ChatOpenAIWire

    options: dict[str, Any] = {"base_url": upstream.url, "api_key": KEY, "max_retries": 0, "stream_usage": True}
    return LangChainModel(ChatOpenAIWire(model="gpt-test", **options), "fast", secrets=[KEY])


def fast_completion(upstream: Upstream) -> LangChainModel:
    from headwater.langchain import OpenAIWireLLM

    options: dict[str, Any] = {"base_url": upstream.url, "api_key": KEY, "max_retries": 0}
    return LangChainModel(OpenAIWireLLM(model="babble", **options), "fast", secrets=[KEY])


CHATS: list[Build] = [chat, direct_chat, fast_chat]
COMPLETIONS: list[Build] = [completion, direct_completion, fast_completion]

EVERY_CHAT = pytest.mark.parametrize("build", CHATS)
EVERY_COMPLETION = pytest.mark.parametrize("build", COMPLETIONS)
EVERY_WAY = pytest.mark.parametrize("build", [*CHATS, *COMPLETIONS])


async def answer(model: Any, prompt: Prompt = HELLO) -> list[Event]:
    """All events of one answer; afterwards the model closes its connections."""
    try:
        async with aclosing(model.stream(prompt)) as batches:
            return [event async for batch in batches for event in batch]
    finally:
        await model.aclose()


async def first(batches: AsyncGenerator[Sequence[Event], None]) -> Sequence[Event]:
    """The next batch with any events in it; an empty one is only a sign of life."""
    while not (batch := await anext(batches)):
        pass
    return batch


async def until_failure(model: Any, prompt: Prompt = HELLO) -> tuple[list[Event], ModelError]:
    """The events of an answer until it failed, and the failure."""
    events: list[Event] = []
    with pytest.raises(ModelError) as failure:
        async with aclosing(model.stream(prompt)) as batches:
            async for batch in batches:
                events += batch
    await model.aclose()
    return events, failure.value


def joined(events: Sequence[Event]) -> list[Event]:
    """The same events with neighbouring pieces of text joined: the network decides how many pieces there are."""
    whole: list[Event] = []
    for event in events:
        match (whole[-1] if whole else None), event:
            case (TextDelta(before), TextDelta(after)) | (ReasoningDelta(before), ReasoningDelta(after)):
                whole[-1] = type(event)(before + after)
            case _:
                whole.append(event)
    return whole


async def joined_answer(model: Any, prompt: Prompt = HELLO) -> list[Event]:
    """All events of one answer, with its text in one piece."""
    return joined(await answer(model, prompt))


def texts(events: Sequence[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, TextDelta)]

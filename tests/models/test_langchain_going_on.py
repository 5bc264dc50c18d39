"""LangChain's models go on with an answer where their class passes on what the provider needs for that."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import Field
from test_going_on import HALF, TEXT, TOKENS, gone_on, refused
from upstream import Upstream, following
from ways import HELLO, KEY, ONCE_UPON, fast_chat, texts

from headwater.events import Finish
from headwater.models.langchain import openai_models
from headwater.models.langchain.model import LangChainModel
from headwater.models.model import Shown
from headwater.models.openai.connection import Account
from headwater.prompt import Prompt


def ours(upstream: Upstream, setting: str = "auto") -> LangChainModel:
    return openai_models.chat("gpt-test", Account(upstream.url, KEY, prefill=[setting]))


def theirs(upstream: Upstream, setting: str = "auto") -> LangChainModel:
    chat = ChatOpenAI(model="gpt-test", base_url=upstream.url, api_key=KEY, max_retries=0)  # pyright: ignore[reportArgumentType]
    return LangChainModel(chat, "theirs", prefill=setting)


@pytest.mark.parametrize("build", [ours, theirs, fast_chat])
async def test_a_chat_model_of_openais_classes_sends_the_flags(build: Any) -> None:
    async with Upstream(tokens=TOKENS, continues="flags") as upstream:
        model = build(upstream)
        await model.prepare()
        assert model.continues(HELLO)
        for cut in (len(HALF), len(HALF) + 1, len(TEXT) - 1, len(TEXT)):
            assert TEXT[:cut] + "".join(texts(await gone_on(model, TEXT[:cut]))) == TEXT


@pytest.mark.parametrize("way", ["prefix", "partial"])
async def test_a_field_of_the_message_passes_through_our_class_only(way: Any) -> None:
    async with Upstream(tokens=TOKENS, continues=way) as upstream:
        assert HALF + "".join(texts(await gone_on(ours(upstream, way), HALF))) == TEXT
        model = theirs(upstream, way)
        await model.prepare()
        assert not model.continues(HELLO)
        await refused(model)
        assert upstream.calls == 1


async def test_a_completion_model_goes_on_behind_its_prompt_and_text() -> None:
    async with Upstream(tokens=TOKENS, continues="trailing") as upstream:
        options: dict[str, Any] = {"base_url": upstream.url, "api_key": KEY, "max_tokens": 100}
        llm = OpenAI(model="babble", **options)
        for model in (openai_models.completion("babble", Account(upstream.url, KEY)), LangChainModel(llm, "theirs")):
            assert HALF + "".join(texts(await gone_on(model, HALF, ONCE_UPON))) == TEXT
        assert await gone_on(LangChainModel(llm, "theirs"), Shown(HALF, pieces=100), ONCE_UPON) == [Finish("length")]


async def test_what_is_bound_to_a_model_and_what_is_around_it_counts() -> None:
    options: dict[str, Any] = {"base_url": "http://localhost:1/v1", "api_key": KEY}
    chat: Any = ChatOpenAI(model="m", **options)
    tools = chat.bind_tools([{"type": "function", "function": {"name": "f"}}])
    chain: Any = RunnableLambda(str) | chat
    answers: list[bool] = []
    sources: list[Any] = [chat, tools, chat.bind(response_format={"type": "json_object"}), chain]
    for source in sources:
        model = LangChainModel(source, "m")
        assert not model.continues(HELLO)  # nothing is known of it yet
        await model.prepare()
        answers.append(model.continues(HELLO))
    assert answers == [True, False, False, False]


class _Chat(BaseChatModel):
    """A class that does not speak OpenAI's API; notes the messages that it gets."""

    model: str = "some-model"
    thinking: Any = None
    seen: list[BaseMessage] = Field(default_factory=list[BaseMessage])

    @property
    def _llm_type(self) -> str:
        return "double"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        self.seen[:] = messages
        begun = str(messages[-1].text) if messages[-1].type == "ai" else ""
        for token in following(TOKENS, begun):
            yield ChatGenerationChunk(message=AIMessageChunk(content=token))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata={"finish_reason": "stop"}))


class ChatMistralAI(_Chat): ...


class ChatAnthropic(_Chat): ...


class ChatOther(_Chat): ...


@pytest.mark.parametrize(
    ("chat", "setting", "goes_on"),
    [
        (ChatMistralAI(), "auto", True),
        (ChatMistralAI(), "off", False),
        (ChatAnthropic(model="claude-sonnet-4-5-20250929"), "auto", True),
        (ChatAnthropic(model="claude-3-7-sonnet-latest"), "auto", True),
        (ChatAnthropic(model="claude-sonnet-4-5", thinking={"type": "enabled"}), "auto", False),
        (ChatAnthropic(model="claude-sonnet-4-6"), "auto", False),
        (ChatAnthropic(model="claude-opus-5"), "auto", False),
        (ChatOther(), "auto", False),
        (ChatOther(), "trailing", True),
    ],
)
async def test_other_classes_go_on_where_the_provider_is_known_to(chat: _Chat, setting: str, goes_on: bool) -> None:
    model = LangChainModel(chat, "m", prefill=setting)
    await model.prepare()
    assert model.continues(HELLO) == goes_on
    if goes_on:
        assert HALF + "".join(texts(await gone_on(model, HALF, Prompt(model="m", messages=HELLO.messages)))) == TEXT
        assert chat.seen[-1].additional_kwargs.get("prefix") == (True if type(chat) is ChatMistralAI else None)
        assert not str(chat.seen[-1].text).endswith(" ")  # Anthropic refuses that, and LangChain takes it off

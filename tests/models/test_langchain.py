"""A LangChain model as a Headwater model, against a real server on loopback."""

from typing import Any

import pytest
from upstream import Upstream
from ways import HELLO, answer, chat, until_failure

from headwater.events import (
    Finish,
    Metadata,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from headwater.models.langchain.model import LangChainModel
from headwater.prompt import File, Image, Message, MessageToolCall, Part, Prompt, ProviderPart, Text


def runnable(reply: Any) -> LangChainModel:
    """A Runnable that streams what an async generator function yields for its input."""
    from langchain_core.runnables import RunnableGenerator

    async def transform(inputs: Any):
        async for one in inputs:
            async for piece in reply(one):
                yield piece

    return LangChainModel(RunnableGenerator(transform), "generator")


async def inner(upstream: Upstream) -> tuple[LangChainModel, Any]:
    """A chat model's LangChain object, for use within something else, and the model that owns its connections."""
    owner = chat(upstream)
    await owner.prepare()
    ready = owner._ready  # pyright: ignore[reportPrivateUsage]
    assert ready is not None
    return owner, ready.result().runnable


# ---- The input of LangChain's objects


async def test_messages_are_in_openais_form_which_langchain_translates_for_every_provider():
    """Only a file at an address is in LangChain's own form, since OpenAI's has no place for it."""
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

    seen: list[list[BaseMessage]] = []

    class Recording(GenericFakeChatModel):
        def _generate(self, messages: list[BaseMessage], *arguments: Any, **options: Any) -> Any:
            seen.append(messages)
            return super()._generate(messages, *arguments, **options)

    foreign = {"type": "text", "text": "c", "cache_control": {"type": "ephemeral"}}
    parts: list[Part] = [
        Text("a"),
        Image.at("data:image/png;base64,AA=="),
        File(url="https://x.example/a.pdf"),
        ProviderPart(foreign),
    ]
    turns = [
        Message("user", parts),
        Message("assistant", tool_calls=[MessageToolCall("", "f", '{"a": 1}')]),
        Message("tool", "42", tool_call_id="c1"),
    ]
    await answer(LangChainModel(Recording(messages=iter(["Hi"])), "fake"), Prompt(model="m", messages=turns))
    (human, call, result) = seen[0]
    assert human.content == [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "file", "url": "https://x.example/a.pdf"},
        foreign,
    ]
    assert isinstance(call, AIMessage)
    assert call.tool_calls == [{"name": "f", "args": {"a": 1}, "id": None, "type": "tool_call"}]
    assert isinstance(result, ToolMessage)
    assert (result.content, result.tool_call_id) == ("42", "c1")


@pytest.mark.parametrize(
    "part",
    [
        Image(url="http://169.254.169.254/latest"),
        File(url="https://x.example/a.pdf"),
        ProviderPart({"type": "image_url", "image_url": "gs://bucket/a.png"}),
        ProviderPart({"type": "media", "media": [{"file_uri": " http://x.example/a"}]}),
    ],
)
async def test_googles_classes_get_no_address_since_they_would_fetch_it_themselves(part: Part) -> None:
    """From within this server's network, and with its credentials."""
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel

    class Gemini(GenericFakeChatModel):
        pass

    Gemini.__module__ = "langchain_google_genai.chat_models"
    own = ProviderPart({"type": "text", "text": "See http://x.example", "cache_control": {}})
    parts: list[Part] = [Text("http://x.example"), own, Image.at("data:image/png;base64,AA==")]
    model = LangChainModel(Gemini(messages=iter(["Hi"])), "fake")
    _, failure = await until_failure(model, Prompt(model="m", messages=[Message("user", [*parts, part])]))

    assert (failure.code, failure.status, failure.retryable) == ("invalid_prompt", 422, False)
    assert (await answer(model, Prompt(model="m", messages=[Message("user", parts)])))[0] == TextDelta("Hi")


@pytest.mark.parametrize("around", ["a chain", "a fallback", "a graph"])
async def test_googles_classes_get_no_address_from_what_is_around_them_either(around: str) -> None:
    """They are known by what they tell LangChain's callbacks; other classes get the address."""
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.output_parsers import StrOutputParser
    from langgraph.graph import START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]

    class Gemini(GenericFakeChatModel):
        def _get_ls_params(self, *_: Any, **__: Any) -> Any:
            return {"ls_provider": "google_genai"}

    def around_a(kind: type[GenericFakeChatModel]) -> LangChainModel:
        model = kind(messages=iter(["Hi"]))

        async def ask(state: MessagesState) -> Any:
            return {"messages": [await model.ainvoke(state["messages"])]}

        graph: Any = StateGraph(MessagesState)
        graph.add_node("ask", ask)
        graph.add_edge(START, "ask")
        made = {"a chain": model | StrOutputParser(), "a fallback": model.with_fallbacks([model])}
        return LangChainModel(graph.compile() if around == "a graph" else made[around], "around")

    prompt = Prompt(model="m", messages=[Message("user", [Text("See"), Image(url="http://169.254.169.254/latest")])])
    events, failure = await until_failure(around_a(Gemini), prompt)

    assert (events, failure.code, failure.status, failure.retryable) == ([], "invalid_prompt", 422, False)
    for model, asked in ((around_a(GenericFakeChatModel), prompt), (around_a(Gemini), HELLO)):
        assert (await answer(model, asked))[0] == TextDelta("Hi")


# ---- Output that only LangChain's objects have


async def test_content_blocks_of_other_providers_become_reasoning_and_text():
    from langchain_core.messages import AIMessageChunk

    async def reply(_: Any):
        yield AIMessageChunk(content=[{"type": "thinking", "thinking": "Hm"}])
        yield AIMessageChunk(content=[{"type": "reasoning", "summary": [{"type": "summary_text", "text": "So"}]}])
        yield AIMessageChunk(content=[{"type": "reasoning", "reasoning": "on"}, {"type": "text", "text": "42"}, "!"])
        yield AIMessageChunk(content="", response_metadata={"stop_reason": "end_turn"})

    events = await answer(runnable(reply))
    assert events == [*map(ReasoningDelta, ("Hm", "So", "on")), TextDelta("42"), TextDelta("!"), Finish("stop")]


async def test_metadata_reports_how_the_history_was_fitted():
    from langchain_core.messages import AIMessageChunk

    async def reply(_: Any):
        yield AIMessageChunk(content="", response_metadata={"fitted": {"dropped": 2}})
        yield AIMessageChunk(content="Hi", response_metadata={"finish_reason": "stop"})

    assert await answer(runnable(reply)) == [Metadata({"fitted": {"dropped": 2}}), TextDelta("Hi"), Finish("stop")]


async def test_usage_in_two_halves_is_added_up_with_its_details():
    from langchain_core.messages import AIMessageChunk

    async def reply(_: Any):
        first: Any = {
            "input_tokens": 5,
            "output_tokens": 0,
            "total_tokens": 5,
            "input_token_details": {"cache_read": 4},
        }
        yield AIMessageChunk(content="Hi", usage_metadata=first)
        last: Any = {"input_tokens": 0, "output_tokens": 9, "total_tokens": 9}
        yield AIMessageChunk(content="", usage_metadata=last, response_metadata={"finish_reason": "stop"})

    finish = (await answer(runnable(reply)))[-1]
    assert finish == Finish("stop", Usage(5, 9, {"input_token_details": {"cache_read": 4}}))


async def test_a_whole_message_with_tool_calls_becomes_the_same_events():
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import RunnableLambda

    message = AIMessage(content="Hi", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c1"}])
    events = await answer(LangChainModel(RunnableLambda(lambda _: message), "lambda"))
    start, delta, end = ToolCallStart("c1", "f"), ToolCallDelta("c1", '{"a": 1}'), ToolCallEnd("c1")
    assert events == [TextDelta("Hi"), start, delta, end, Finish("tool_calls")]

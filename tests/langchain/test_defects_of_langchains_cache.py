"""What LangChain's own cache gets wrong, one test each: `Cached` passes them, and LangChain's cache fails them."""

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from upstream import Upstream

Cache = Callable[[Any], Any]


class Ears(AsyncCallbackHandler):
    """Hears the tokens and the ends of a model."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.ends = 0

    async def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens += [token] if token else []

    async def on_llm_end(self, response: Any, **_: Any) -> None:
        self.ends += 1


async def streamed(model: Any, question: Any = "Hello") -> list[str]:
    return [chunk.text async for chunk in model.astream(question) if chunk.text]


def graph(*nodes: Callable[..., Any]) -> Any:
    """A graph that runs its nodes in a row."""
    made: Any = StateGraph(MessagesState)
    before = START
    for number, node in enumerate(nodes):
        made.add_node(f"node{number}", node)
        made.add_edge(before, f"node{number}")
        before = f"node{number}"
    return made.compile()


def asking(model: Any) -> Any:
    """A node that invokes the model with its first message."""

    async def ask(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"][:1])]}

    return ask


async def test_a_stream_is_kept_and_replayed(cached: Cache, bare: Any, upstream: Upstream):
    """Row 1."""
    model = cached(bare)
    assert [await streamed(model), await streamed(model)] == [["a", "b", "c"]] * 2
    assert upstream.calls == 1


async def test_a_hit_fires_the_token_callbacks(cached: Cache, options: dict[str, Any], upstream: Upstream):
    """Row 2."""
    model = cached(ChatOpenAI(model="gpt-test", streaming=True, **options))
    for _ in range(2):
        ears = Ears()
        await model.ainvoke("Hello", {"callbacks": [ears]})
        assert (ears.tokens, ears.ends) == (["a", "b", "c"], 1)
    assert upstream.calls == 1


async def test_a_stream_uses_what_an_invocation_has_kept(cached: Cache, bare: Any, upstream: Upstream):
    """Row 3."""
    model = cached(bare)
    await model.ainvoke("Hello")
    assert await streamed(model) == ["a", "b", "c"]
    assert upstream.calls == 1


async def test_events_around_an_invocation_have_its_tokens_on_a_hit(cached: Cache, bare: Any, upstream: Upstream):
    """Row 4."""
    model = cached(bare)
    chain = RunnableLambda(model.ainvoke)
    for _ in range(2):
        events = [event async for event in chain.astream_events("Hello", version="v2")]
        texts = [event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream"]  # pyright: ignore[reportTypedDictNotRequiredAccess]
        assert [text for text in texts if text] == ["a", "b", "c"]
    assert upstream.calls == 1


@pytest.mark.filterwarnings("ignore:.*in beta.*")
async def test_events_of_the_third_version_are_kept_and_replayed(cached: Cache, bare: Any, upstream: Upstream):
    """Row 5."""
    model = cached(bare)
    for _ in range(2):
        stream = await model.astream_events("Hello", version="v3")
        assert [text async for text in stream.text] == ["a", "b", "c"]
    assert upstream.calls == 1


async def test_a_graph_streams_the_messages_of_a_hit(cached: Cache, bare: Any, upstream: Upstream):
    """Row 6."""
    compiled = graph(asking(cached(bare)))
    ids: list[set[Any]] = []
    for _ in range(2):
        chunks = [message async for message, _ in compiled.astream({"messages": "Hello"}, stream_mode="messages")]
        assert [chunk.text for chunk in chunks if chunk.text] == ["a", "b", "c"]
        assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
        ids.append({chunk.id for chunk in chunks})
    assert [len(each) for each in ids] == [1, 1]
    assert ids[0] != ids[1]
    assert upstream.calls == 1


async def test_the_same_answer_in_two_nodes_is_two_messages(cached: Cache, bare: Any, upstream: Upstream):
    """Row 6b."""
    ask = asking(cached(bare))
    state = await graph(ask, ask).ainvoke({"messages": "Hello"})
    assert [message.text for message in state["messages"]] == ["Hello", "abc", "abc"]
    assert upstream.calls == 1


async def test_equal_calls_at_the_same_time_ask_once(cached: Cache, bare: Any, upstream: Upstream):
    """Row 7."""
    model = cached(bare)
    answers = await asyncio.gather(*(model.ainvoke("Hello") for _ in range(10)))
    assert [answer.text for answer in answers] == ["abc"] * 10
    assert upstream.calls == 1


async def test_a_failure_in_mid_stream_is_the_providers_own_and_not_kept(model: Any, upstream: Upstream):
    """Row 8, which LangChain has right."""
    upstream.error_after = 2
    with pytest.raises(openai.APIError, match="no luck"):
        await streamed(model)
    upstream.error_after = None
    assert await streamed(model) == ["a", "b", "c"]
    assert upstream.calls == 2


async def test_a_conversation_hits_whatever_metadata_its_answers_have(cached: Cache, bare: Any, upstream: Upstream):
    """Row 9."""
    model = cached(bare)
    for system_fingerprint in ("fp_1", "fp_2"):
        metadata = {"system_fingerprint": system_fingerprint}
        before = AIMessage("Hello.", response_metadata=metadata, id=system_fingerprint)
        await model.ainvoke([HumanMessage("Hi"), before, HumanMessage("How are you?")])
    assert upstream.calls == 1


async def test_a_hit_has_the_usage_of_the_answer_and_nothing_else(cached: Cache, bare: Any, upstream: Upstream):
    """Row 11."""
    model = cached(bare)
    first, second = await model.ainvoke("Hello"), await model.ainvoke("Hello")
    assert first.usage_metadata == second.usage_metadata
    assert first.usage_metadata["total_tokens"] == 5
    assert upstream.calls == 1

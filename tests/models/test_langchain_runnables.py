"""Chains, functions and LangGraph graphs as models."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from test_langchain import inner, runnable
from upstream import Upstream
from ways import HELLO, answer, joined, joined_answer

from headwater.errors import ModelError
from headwater.events import (
    Event,
    Finish,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Usage,
)
from headwater.models.langchain.model import LangChainModel
from headwater.prompt import Parameters


@pytest.mark.parametrize(("finish", "ending"), [("stop", [Finish("stop")]), ("length", [Finish("length")]), (None, [])])
async def test_a_chain_that_yields_bare_text_ends_as_the_model_in_it_ended(finish: str | None, ending: list[Event]):
    from langchain_core.output_parsers import StrOutputParser

    async with Upstream(finish=finish) as upstream:
        owner, model = await inner(upstream)
        events = await joined_answer(LangChainModel(model | StrOutputParser(), "chain"))
        await owner.aclose()
    assert events == [TextDelta("Hello"), *ending]


async def test_a_model_with_something_bound_to_it_is_still_a_chat_model():
    async with Upstream() as upstream:
        owner, model = await inner(upstream)
        bound = LangChainModel(model.bind(extra_body={"mode": "operator"}), "bound")
        prompt = msgspec.structs.replace(HELLO, parameters=Parameters(0.3), extra={"mode": "mine", "top_k": 4})
        events = await answer(bound, prompt)
        await owner.aclose()
        assert upstream.requests[0].body.items() >= {"temperature": 0.3, "mode": "operator", "top_k": 4}.items()
    assert events[-1] == Finish("stop", Usage(3, 2))


async def test_a_function_without_a_model_is_finished_when_it_ends():
    async def reply(messages: Any):
        yield f"You said {messages[-1].content}"

    assert await answer(runnable(reply)) == [TextDelta("You said Hello"), Finish("stop")]


async def test_chunks_without_a_reason_to_end_are_not_finished():
    from langchain_core.messages import AIMessageChunk

    async def reply(_: Any):
        yield AIMessageChunk(content="Hi")

    assert await answer(runnable(reply)) == [TextDelta("Hi")]


async def test_output_that_is_neither_text_nor_message_is_a_clear_error():
    async def reply(_: Any):
        yield {"answer": 42}

    with pytest.raises(ModelError, match=r"yielded a dict.*StrOutputParser"):
        await answer(runnable(reply))


async def test_a_graph_streams_its_models_its_tools_and_the_last_reason():
    from langchain_core.messages import ToolMessage
    from langgraph.graph import START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]

    async with Upstream(tokens=["Hm"], tool_calls=[("c1", "look", ["{}"])], finish="tool_calls") as upstream:
        owner, model = await inner(upstream)

        async def ask(state: MessagesState) -> Any:
            return {"messages": [await model.ainvoke(state["messages"])]}

        def look(_: MessagesState) -> Any:
            upstream.tokens, upstream.tool_calls, upstream.finish = ["It ", "rains"], (), "stop"
            return {"messages": [ToolMessage(content="rain", tool_call_id="c1")]}

        graph: Any = StateGraph(MessagesState)
        for before, name, node in [(START, "ask", ask), ("ask", "look", look), ("look", "answer", ask)]:
            graph.add_node(name, node)
            graph.add_edge(before, name)
        events = await answer(LangChainModel(graph.compile(), "graph"))
        await owner.aclose()
    assert joined(events) == [
        TextDelta("Hm"),
        ToolCallStart("c1", "look"),
        ToolCallDelta("c1", "{}"),
        ToolCallEnd("c1"),
        ToolResult("c1", "rain"),
        TextDelta("It rains"),
        Finish("stop", Usage(6, 4)),
    ]


async def test_a_node_that_returns_what_its_model_streamed_tells_it_once():
    """In a message of its own: the same words, a part more, the same tool calls, or other words."""
    from langchain_core.messages import AIMessage
    from langgraph.graph import START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]

    call: Any = {"name": "f", "args": {"a": 1}, "id": "c1"}
    calls: list[Event] = [ToolCallStart("c1", "f"), ToolCallDelta("c1", '{"a":1}'), ToolCallEnd("c1")]
    cases: list[tuple[AIMessage, Sequence[Any], list[Event]]] = [
        (AIMessage("Hello"), (), [TextDelta("Hello"), Finish("stop")]),
        (AIMessage([{"type": "text", "text": "Hello"}]), (), [TextDelta("Hello"), Finish("stop")]),
        (AIMessage("Hello!"), (), [TextDelta("Hello!"), Finish("stop")]),
        (AIMessage("Bye."), (), [TextDelta("HelloBye."), Finish("stop")]),
        (AIMessage(""), (), [TextDelta("Hello"), Finish("stop")]),
        (
            AIMessage("Hello", tool_calls=[call]),
            [("c1", "f", ['{"a":1}'])],
            [TextDelta("Hello"), *calls, Finish("tool_calls")],
        ),
    ]
    for own, tool_calls, wanted in cases:
        async with Upstream(tool_calls=tool_calls, usage=None) as upstream:
            owner, model = await inner(upstream)

            async def ask(state: MessagesState, model: Any = model, own: AIMessage = own) -> Any:
                await model.ainvoke(state["messages"])
                return {"messages": [own]}

            graph: Any = StateGraph(MessagesState)
            graph.add_node("ask", ask)
            graph.add_edge(START, "ask")
            assert await joined_answer(LangChainModel(graph.compile(), "graph")) == wanted, own
            await owner.aclose()


async def test_two_nodes_with_the_same_words_are_both_told():
    """Only a node's own repetition is one."""
    from langchain_core.messages import AIMessage
    from langgraph.graph import START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]

    async with Upstream() as upstream:
        owner, model = await inner(upstream)

        async def ask(state: MessagesState) -> Any:
            return {"messages": [await model.ainvoke(state["messages"])]}

        def echo(state: MessagesState) -> Any:
            return {"messages": [AIMessage(str(state["messages"][-1].content))]}

        graph: Any = StateGraph(MessagesState)
        for before, name, node in [(START, "ask", ask), ("ask", "echo", echo)]:
            graph.add_node(name, node)
            graph.add_edge(before, name)
        events = await joined_answer(LangChainModel(graph.compile(), "graph"))
        await owner.aclose()
    assert events[0] == TextDelta("HelloHello")


async def test_content_of_other_providers_is_never_shown_as_python_would_write_it():
    """Neither nested blocks nor the output of a tool."""
    from langchain_core.messages import AIMessageChunk, ToolMessage

    thinking: list[Any] = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
        {"type": "text", "text": {"a": 1}},
    ]
    output: list[Any] = [{"type": "text", "text": "rain"}, {"type": "image", "data": "AA=="}]

    async def reply(_: Any):
        yield AIMessageChunk(content=thinking, additional_kwargs={"refusal": {"a": 1}})
        yield AIMessageChunk(content="", tool_call_chunks=[{"name": "f", "args": "{}", "id": "c1", "index": 0}])
        yield ToolMessage(content=output, tool_call_id="c1")
        yield AIMessageChunk(content="So.", response_metadata={"finish_reason": "stop"})

    assert await joined_answer(runnable(reply)) == [
        ReasoningDelta("Hm"),
        ToolCallStart("c1", "f"),
        ToolCallDelta("c1", "{}"),
        ToolCallEnd("c1"),
        ToolResult("c1", "rain"),
        TextDelta("So."),
        Finish("stop"),
    ]

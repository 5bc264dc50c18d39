"""LangGraph graphs as models: the tool calls and the results of every node, once each and in order."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import langchain.agents
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.prebuilt import ToolNode  # pyright: ignore[reportMissingTypeStubs]
from langgraph.types import Command  # pyright: ignore[reportMissingTypeStubs]
from pydantic import PrivateAttr
from ways import HELLO, answer, joined

from headwater.events import (
    Event,
    Finish,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Usage,
)
from headwater.models.langchain.model import LangChainModel

create_agent = cast("Any", langchain.agents).create_agent


def call(id: str, city: str, name: str = "look") -> ToolCall:
    return ToolCall(name=name, args={"city": city}, id=id, type="tool_call")


class Scripted(BaseChatModel):
    """Answers with these messages, one after the other, in pieces if it is asked for a stream."""

    answers: list[AIMessage]
    gate: Any = None
    """What each piece waits for."""
    _given: int = PrivateAttr(0)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _next(self) -> tuple[AIMessage, dict[str, Any]]:
        message = self.answers[self._given]
        self._given += 1
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        reason = {"finish_reason": "tool_calls" if message.tool_calls else "stop"}
        return message, {"usage_metadata": usage, "response_metadata": reason}

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        message, facts = self._next()
        return ChatResult(generations=[ChatGeneration(message=message.model_copy(update={**facts, "id": None}))])

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        message, facts = self._next()
        pieces = [AIMessageChunk(content=word) for word in message.text.split("|") if word]
        for index, one in enumerate(message.tool_calls):
            arguments = json.dumps(one["args"])
            for piece in ({"name": one["name"], "id": one["id"]}, {"args": arguments[:5]}, {"args": arguments[5:]}):
                chunk: Any = {"name": None, "id": None, "args": None, "index": index, **piece}
                pieces.append(AIMessageChunk(content="", tool_call_chunks=[chunk]))
        for piece in [*pieces, AIMessageChunk(content="", **facts)]:
            if self.gate is not None:
                await self.gate()
            yield ChatGenerationChunk(message=piece)


class Mute(Scripted):
    """The same without streams."""

    disable_streaming: Any = True


@tool
async def look(city: str) -> str:
    """Look at the sky."""
    return f"rain in {city}"


def asks(model: Any) -> Callable[..., Any]:
    async def ask(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return ask


def graph(*nodes: Any) -> Any:
    """A graph that runs its nodes in a row."""
    made: Any = StateGraph(MessagesState)
    before = START
    for number, node in enumerate(nodes):
        made.add_node(f"node{number}", node)
        made.add_edge(before, f"node{number}")
        before = f"node{number}"
    return made.compile()


async def events(made: Any) -> list[Event]:
    return whole(await answer(LangChainModel(made, "graph")))


def whole(found: Sequence[Event]) -> list[Event]:
    """The events with neighbouring pieces joined."""
    made: list[Event] = []
    for event in joined(found):
        match (made[-1] if made else None), event:
            case ToolCallDelta(id, before), ToolCallDelta(same, after) if id == same:
                made[-1] = ToolCallDelta(id, before + after)
            case _:
                made.append(event)
    return made


def called(id: str, city: str, name: str = "look") -> list[Event]:
    return [ToolCallStart(id, name), ToolCallDelta(id, json.dumps({"city": city})), ToolCallEnd(id)]


def script() -> list[AIMessage]:
    return [AIMessage("Hm.", tool_calls=[call("c1", "Rome"), call("c2", "Bern")]), AIMessage("It |rains.")]


TOLD: list[Event] = [
    TextDelta("Hm."),
    *called("c1", "Rome"),
    *called("c2", "Bern"),
    ToolResult("c1", "rain in Rome"),
    ToolResult("c2", "rain in Bern"),
    TextDelta("It rains."),
    Finish("stop", Usage(2, 2)),
]


@pytest.mark.parametrize("kind", [Scripted, Mute])
async def test_an_agent_tells_its_tool_calls_and_their_results(kind: type[Scripted]):
    """Whether its model streams or not."""
    model = kind(answers=[AIMessage("Hm.", tool_calls=script()[0].tool_calls), AIMessage("It rains.")])
    assert await events(create_agent(model, [look])) == TOLD


@pytest.mark.parametrize("nested", ["as a node", "in a node"])
async def test_a_graph_within_a_graph_streams_its_models_and_tells_its_tools(nested: str):
    model = Scripted(answers=script())
    inner = graph(asks(model), ToolNode([look]), asks(model))

    async def node(state: MessagesState) -> Any:
        return {"messages": (await inner.ainvoke(state))["messages"][-1:]}

    found = await answer(LangChainModel(graph(inner if nested == "as a node" else node), "graph"))
    assert whole(found) == TOLD
    assert [event.text for event in found if isinstance(event, TextDelta)] == ["Hm.", "It ", "rains."]


async def test_a_tool_that_a_node_runs_by_itself_is_told():
    """Its message is in no state: the node keeps only the last answer."""
    model = Scripted(answers=script())

    async def agent(state: MessagesState) -> Any:
        first = await model.ainvoke(state["messages"])
        results = [await look.ainvoke(one) for one in first.tool_calls]
        return {"messages": [await model.ainvoke([*state["messages"], first, *results])]}

    assert await events(graph(agent)) == TOLD


async def test_a_tool_that_changes_the_state_is_told_once():
    @tool
    async def note(city: str) -> Command[Any]:
        """Note a city."""
        return Command(update={"messages": [ToolMessage(f"noted {city}", tool_call_id="c1")]})

    model = Scripted(answers=[AIMessage("", tool_calls=[call("c1", "Rome", "note")]), AIMessage("Done.")])
    assert await events(create_agent(model, [note])) == [
        *called("c1", "Rome", "note"),
        ToolResult("c1", "noted Rome"),
        TextDelta("Done."),
        Finish("stop", Usage(2, 2)),
    ]


async def test_the_same_id_of_a_call_in_two_turns_is_two_calls():
    turns = [AIMessage("", tool_calls=[call("c1", city)]) for city in ("Rome", "Bern")]
    found = await events(create_agent(Scripted(answers=[*turns, AIMessage("Done.")]), [look]))
    assert found == [
        *called("c1", "Rome"),
        ToolResult("c1", "rain in Rome"),
        *called("c1_2", "Bern"),
        ToolResult("c1_2", "rain in Bern"),
        TextDelta("Done."),
        Finish("stop", Usage(3, 3)),
    ]


async def test_models_that_speak_at_the_same_time_are_told_one_after_the_other():
    """Events have no speaker: the words of two models in turn would be nobody's, and their calls would mix."""
    together = asyncio.Barrier(2)
    agents = [
        create_agent(
            Scripted(
                answers=[AIMessage(f"{city}: |", tool_calls=[call(f"c-{city}", city)]), AIMessage(f"{city} |done.")],
                gate=together.wait,
            ),
            [look],
        )
        for city in ("Rome", "Bern")
    ]
    made: Any = StateGraph(MessagesState)
    for number, agent in enumerate(agents):
        made.add_node(f"agent{number}", agent)
        made.add_edge(START, f"agent{number}")
    found = await events(made.compile())
    text = "".join(event.text for event in found if isinstance(event, TextDelta))
    first, second = ("Rome", "Bern") if text.startswith("Rome") else ("Bern", "Rome")
    assert text in (
        f"{first}: {second}: {first} done.{second} done.",
        f"{first}: {second}: {second} done.{first} done.",
    )
    for city in ("Rome", "Bern"):
        id = f"c-{city}"
        own = [event for event in found if getattr(event, "id", None) == id]
        assert own == [*called(id, city), ToolResult(id, f"rain in {city}")]
    assert found[-1] == Finish("stop", Usage(4, 4))


async def test_a_model_that_takes_over_from_one_that_failed_is_told_at_once():
    """The failed one never says that it has ended."""

    class Failing(Scripted):
        async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=AIMessageChunk(content="Oh"))
            raise RuntimeError("no luck")

    released = asyncio.Event()

    async def ask(state: MessagesState) -> Any:
        try:
            await Failing(answers=[]).ainvoke("Hello")
        except RuntimeError:
            return {"messages": [await Scripted(answers=[AIMessage("Hm, |well.")]).ainvoke("Hello")]}

    async def wait(state: MessagesState) -> Any:
        await released.wait()
        return {"messages": []}

    found: list[Event] = []
    async for batch in LangChainModel(graph(ask, wait), "graph").stream(HELLO):
        found += batch
        if any(event == TextDelta("well.") for event in batch):
            released.set()
    assert joined(found) == [TextDelta("OhHm, well."), Finish("stop", Usage(1, 1))]

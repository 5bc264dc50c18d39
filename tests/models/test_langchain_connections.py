"""How a model is built, and how it lets go of its provider."""

import asyncio
import subprocess
import sys
import time
from contextlib import aclosing
from typing import Any

import pytest
from test_langchain import HELLO, answer, chat, completion, inner, texts
from upstream import Upstream

from headwater.errors import ModelError
from headwater.events import TextDelta
from headwater.models.langchain import LangChainModel, Opened


@pytest.mark.parametrize("build", [chat, completion])
async def test_cancelling_closes_the_providers_connection_while_it_is_silent(build: Any):
    async with Upstream(silent_after=1) as upstream:
        model = build(upstream)
        begun = asyncio.Event()

        async def read() -> None:
            async with aclosing(model.stream(HELLO)) as batches:
                async for _ in batches:
                    begun.set()

        reading = asyncio.create_task(read())
        await begun.wait()
        cancelled_at = time.monotonic()
        reading.cancel()
        await asyncio.wait({reading})
        await asyncio.wait_for(upstream.requests[0].closed.wait(), 5)
        assert upstream.requests[0].closed_at is not None
        assert upstream.requests[0].closed_at - cancelled_at < 1
        assert reading.cancelled()
        await model.aclose()


@pytest.mark.parametrize("build", [chat, completion])
async def test_closing_the_stream_closes_the_providers_connection(build: Any):
    async with Upstream(silent_after=1) as upstream:
        model = build(upstream)
        stream = model.stream(HELLO)
        assert await anext(stream) == [TextDelta("Hel")]
        await stream.aclose()  # `stream` is still referenced, and yet the provider is let go
        await asyncio.wait_for(upstream.requests[0].closed.wait(), 1)
        await model.aclose()


async def test_cancelling_a_chain_or_a_graph_closes_the_providers_connection_too():
    from langchain_core.output_parsers import StrOutputParser
    from langgraph.graph import START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]

    async with Upstream(silent_after=1) as upstream:
        owner, model = await inner(upstream)

        async def ask(state: MessagesState) -> Any:
            return {"messages": [await model.ainvoke(state["messages"])]}

        graph: Any = StateGraph(MessagesState)
        graph.add_node("ask", ask)
        graph.add_edge(START, "ask")
        for wrapped in (model | StrOutputParser(), graph.compile()):
            stream = LangChainModel(wrapped, "wrapped").stream(HELLO)
            assert await anext(stream) == [TextDelta("Hel")]
            waiting = asyncio.ensure_future(anext(stream))
            # LangChain runs each step of a chain in a task of its own; let the silence reach the innermost.
            assert not (await asyncio.wait({waiting}, timeout=0.1))[0]
            waiting.cancel()
            await asyncio.wait({waiting})
            await asyncio.wait_for(upstream.requests[-1].closed.wait(), 1)
        await owner.aclose()
        assert upstream.calls == 2


def test_importing_the_model_imports_no_langchain():
    code = "import sys, headwater.models.openai as o; o.openai_chat('x', api_key='k');"
    code += "sys.exit(any(name.startswith(('langchain', 'openai', 'pydantic')) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_works_in_one_event_loop_after_another():
    async def once(model: LangChainModel | None) -> None:
        async with Upstream() as upstream:
            events = await answer(model or chat(upstream), HELLO)
            assert texts(events) == ["Hel", "lo"]

    asyncio.run(once(None))
    asyncio.run(once(None))


def test_the_same_model_can_be_closed_and_used_in_another_loop():
    used: list[LangChainModel] = []

    async def first() -> None:
        async with Upstream() as upstream:
            used.append(chat(upstream))
            assert texts(await answer(used[0])) == ["Hel", "lo"]

    async def second() -> None:
        # The address is the first loop's; that nobody is there any more is told by the provider's own words.
        with pytest.raises(ModelError) as failure:
            await answer(used[0])
        assert failure.value.code == "provider_unreachable"

    asyncio.run(first())
    asyncio.run(second())


async def test_a_model_is_built_once_however_many_ask_at_once():
    built: list[int] = []
    async with Upstream() as upstream:
        owner, inside = await inner(upstream)

        def opener() -> Opened:
            built.append(1)
            return Opened(inside, owner.aclose)

        model = LangChainModel(opener, "once")

        async def ask() -> list[str]:
            return texts([event async for batch in model.stream(HELLO) for event in batch])

        assert await asyncio.gather(*(ask() for _ in range(5))) == [["Hel", "lo"]] * 5
        await model.aclose()
    assert built == [1]


async def test_a_model_that_cannot_be_built_says_so_and_is_tried_again():
    tries: list[int] = []

    def opener() -> Any:
        tries.append(1)
        raise ImportError("pip install langchain-somebody; token=abcdef")

    model = LangChainModel(opener, "somebody:model")
    for _ in range(2):
        with pytest.raises(ModelError, match=r"somebody:model cannot be used: .*\[hidden\]") as failure:
            await model.prepare()
        assert (failure.value.code, failure.value.status) == ("model_unavailable", 503)
    assert len(tries) == 2
    await model.aclose()

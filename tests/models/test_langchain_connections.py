"""How a LangChain model is built, and how it releases its provider."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from test_langchain import inner
from upstream import Upstream
from ways import HELLO, answer, chat, first, texts

from headwater.errors import ModelError
from headwater.events import TextDelta
from headwater.models.langchain.model import LangChainModel, Opened


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
            assert await first(stream) == [TextDelta("Hel")]
            waiting = asyncio.ensure_future(anext(stream))
            # LangChain runs each step of a chain in a task of its own; give the innermost time to wait too.
            assert not (await asyncio.wait({waiting}, timeout=0.1))[0]
            waiting.cancel()
            await asyncio.wait({waiting})
            await asyncio.wait_for(upstream.requests[-1].closed.wait(), 1)
        await owner.aclose()
        assert upstream.calls == 2


async def test_a_model_that_is_closed_in_mid_answer_finishes_the_answer_first():
    """A catalogue evicts models without knowing whether an answer is running."""
    closed: list[int] = []
    async with Upstream(gated=True) as upstream:
        owner, inside = await inner(upstream)

        async def close() -> None:
            closed.append(1)
            await owner.aclose()

        model = LangChainModel(lambda: Opened(inside, close), "model")
        stream = model.stream(HELLO)
        upstream.release()
        assert await first(stream) == [TextDelta("Hel")]
        await model.aclose()
        assert not closed
        upstream.release(9)
        assert texts([event async for batch in stream for event in batch]) == ["lo"]
    assert closed == [1]


def test_importing_the_model_imports_no_langchain():
    code = "import sys; from headwater.models.by_name import *; through_langchain('gpt-4o', Account(None, 'k'));"
    code += "sys.exit(any(name.startswith(('langchain', 'openai', 'pydantic')) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_same_model_can_be_closed_and_used_in_another_loop():
    used: list[LangChainModel] = []

    async def first() -> None:
        async with Upstream() as upstream:
            used.append(chat(upstream))
            assert "".join(texts(await answer(used[0]))) == "Hello"

    async def second() -> None:
        # The address is the first loop's, and its server is gone, so a new connection is attempted and refused.
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

        async def ask() -> str:
            return "".join(texts([event async for batch in model.stream(HELLO) for event in batch]))

        assert await asyncio.gather(*(ask() for _ in range(5))) == ["Hello"] * 5
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

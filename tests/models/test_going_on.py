"""Going on with an answer that broke off: no word doubled or missing, or an open refusal."""

from contextlib import aclosing
from typing import Any

import pytest
from upstream import Upstream
from ways import HELLO, KEY, texts

from headwater.events import Event, Finish
from headwater.models.model import Shown
from headwater.models.openai.connection import Account
from headwater.models.openai.model import OpenAIModel
from headwater.prompt import Prompt

TOKENS = [
    "The",
    " quick",
    " brown",
    " fox",
    " jumps",
    ".",
    "\n\n",
    "Then",
    " it",
    " sleeps",
    ",",
    " as",
    " fo",
    "xes",
    " do",
    ".",
]
TEXT = "".join(TOKENS)


async def gone_on(model: Any, shown: Shown | str, prompt: Prompt = HELLO) -> list[Event]:
    """The events of the rest; afterwards the model closes its connections."""
    shown = Shown(shown) if isinstance(shown, str) else shown
    try:
        async with aclosing(model.go_on(prompt, shown)) as batches:
            return [event async for batch in batches for event in batch]
    finally:
        await model.aclose()


def chat(upstream: Upstream, prefill: str = "auto") -> OpenAIModel:
    return OpenAIModel("m", "chat", Account(upstream.url, KEY, prefill=[prefill]))


@pytest.mark.parametrize("way", ["flags", "prefix", "partial", "trailing"])
async def test_every_cut_goes_on_with_the_rest_of_the_answer(way: Any):
    async with Upstream(tokens=TOKENS, continues=way) as upstream:
        for cut in range(1, len(TEXT) + 1):
            rest = await gone_on(chat(upstream, way), TEXT[:cut])
            assert TEXT[:cut] + "".join(texts(rest)) == TEXT
            assert isinstance(rest[-1], Finish)

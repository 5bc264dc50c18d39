"""OpenAI-compatible servers called directly: for which models, and how their bytes are read."""

import itertools
import json
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upstream import Upstream
from ways import HELLO, KEY, answer, direct_chat

from headwater.errors import ModelError
from headwater.events import Event, Finish, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart, Usage
from headwater.models.by_name import from_name
from headwater.models.langchain.model import LangChainModel
from headwater.models.openai.connection import Account
from headwater.models.openai.lines import Bounds
from headwater.models.openai.model import OpenAIModel
from headwater.models.openai.names import covers, meaning
from headwater.models.openai.stream import Stream
from headwater.models.scripted import Scripted
from headwater.prompt import Message, Parameters, Prompt, ProviderPart, ProviderTool


async def test_reasoning_models_get_a_developer_message() -> None:
    """OpenAI's reasoning models know no system role."""
    prompt = Prompt(model="m", messages=[Message("system", "Be brief"), Message("user", "Hi")])
    async with Upstream() as upstream:
        await answer(OpenAIModel("o3-mini", "chat", Account(upstream.url, KEY)), prompt)
        assert upstream.requests[0].body["messages"][0]["role"] == "developer"


async def test_the_operators_limit_holds_where_the_request_sets_none() -> None:
    """The request's own limit wins."""
    async with Upstream() as upstream:
        model = OpenAIModel("gpt-test", "chat", Account(upstream.url, KEY), defaults={"max_tokens": 9})
        await answer(model)
        await answer(model, msgspec.structs.replace(HELLO, parameters=Parameters(max_tokens=5)))
        assert [request.body["max_tokens"] for request in upstream.requests] == [9, 5]


@pytest.mark.parametrize(
    "prompt",
    [
        msgspec.structs.replace(HELLO, tools=[ProviderTool({"type": "web_search"})]),
        Prompt(model="m", messages=[Message("user", [ProviderPart({"type": "image", "source": {}})])]),
        Prompt(model="m", messages=[Message("tool", "42")]),
    ],
)
async def test_prompts_that_the_api_has_no_place_for_go_to_the_fallback(prompt: Prompt) -> None:
    """Without a fallback they are the caller's mistake."""
    async with Upstream() as upstream:
        mine = OpenAIModel("m", "chat", Account(upstream.url, KEY), fallback=Scripted([TextDelta("mine")]))
        assert await answer(mine, prompt) == [TextDelta("mine")]
        with pytest.raises(ModelError) as failure:
            await answer(direct_chat(upstream), prompt)
        assert (failure.value.code, failure.value.status) == ("invalid_prompt", 422)
        assert upstream.calls == 0


@pytest.mark.parametrize(
    ("name", "base_url", "covered"),
    [
        ("openai:gpt-4o-mini", None, True),
        ("gpt-4o-mini", None, True),
        ("o3", None, True),
        ("openai-completion:babble", "http://x/v1", True),
        ("anthropic:claude", None, False),
        ("claude-sonnet", None, False),
        ("openai:gpt-5-pro", None, False),
        ("openai:gpt-5.4-pro-2026", None, False),
        ("openai:gpt-5.1-codex-mini", None, False),
        ("openai:gpt-5.6-sol", None, False),
        ("openai:gpt-6", None, False),
        ("openai:gpt-5-mini", None, True),
        ("openai:anything", "http://x/v1", True),
    ],
)
def test_which_models_are_called_directly(name: str, base_url: str | None, covered: bool) -> None:
    """LangChain answers for the others, for example those that OpenAI serves through its Responses API only."""
    meant = meaning(name)
    assert (meant is not None and covers(*meant, base_url)) is covered


@pytest.mark.parametrize(
    ("name", "base_url", "kind", "called"),
    [
        ("openai:ft:gpt-4o:me", "http://x/v1", OpenAIModel, "openai:ft:gpt-4o:me"),
        ("gpt-4o-mini", None, OpenAIModel, "openai:gpt-4o-mini"),
        ("openai-completion:babble", None, OpenAIModel, "openai-completion:babble"),
        ("openai:gpt-5-pro", None, LangChainModel, "openai:gpt-5-pro"),
        ("anthropic:claude", "http://x/v1", LangChainModel, "anthropic:claude"),
    ],
)
def test_a_name_finds_its_way(name: str, base_url: str | None, kind: type, called: str) -> None:
    """Directly where that is possible, through LangChain where not; the name is the same."""
    model = from_name(name, Account(base_url, KEY))
    assert (type(model), model.name) == (kind, called)


# ---- The stream's bytes


def lines(*chunks: Any, end: str = "\n") -> bytes:
    data = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    return "".join(f"data: {each}{end}{end}" for each in data).encode()


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def read(body: bytes, cuts: Sequence[int] = ()) -> list[Event]:
    stream = Stream()
    places = [0, *sorted(cuts), len(body)]
    events = [event for a, b in itertools.pairwise(places) if a < b for event in stream.feed(body[a:b])]
    return [*events, *stream.finish()]


@settings(max_examples=60)
@given(seed=st.integers(), words=st.lists(st.text(max_size=5), max_size=6), crlf=st.booleans())
def test_lines_may_be_cut_anywhere_and_end_either_way(seed: int, words: list[str], crlf: bool) -> None:
    """How the network slices the bytes makes no difference."""
    counted: dict[str, Any] = {"choices": [], "usage": {"prompt_tokens": 1}}
    chunks = [*(delta(content=word) for word in words), delta("stop"), counted]
    body = b": hello\nevent: x\n" + lines(*chunks, "[DONE]", end="\r\n" if crlf else "\n")
    cuts = random.Random(seed).choices(range(len(body)), k=8)
    want = [
        *(TextDelta(word) for word in words if word),
        Finish("stop" if any(map(str.strip, words)) else "other", Usage(1, 0)),
    ]
    assert read(body, cuts) == read(body) == want


def test_all_of_one_read_is_one_batch() -> None:
    """That makes a burst cheap."""
    assert len(Stream().feed(lines(*(delta(content="x") for _ in range(9))))) == 9


@pytest.mark.parametrize(
    ("chunks", "events"),
    [
        ([delta(reasoning="Hm"), delta("stop", content="x")], [ReasoningDelta("Hm"), TextDelta("x"), Finish("stop")]),
        ([delta(content=[{"type": "text", "text": "x"}]), delta("stop")], [TextDelta("x"), Finish("stop")]),
        (['{"choices":[{"delta":{"content":"\\ud83d"},"logprobs":NaN}]}'], [TextDelta("\ufffd")]),
        ([delta("stop", content="\n\ndata: [DONE]\n\n")], [TextDelta("\n\ndata: [DONE]\n\n"), Finish("stop")]),
        ([delta("stop"), delta(content="more")], [TextDelta("more")]),
        ([{"choices": None}, {"choices": [{"delta": None, "finish_reason": "length"}]}], [Finish("length")]),
        (
            [delta(tool_calls=[{"function": {"name": "f", "arguments": "{}"}}])],
            [ToolCallStart("call_1", "f"), ToolCallDelta("call_1", "{}")],
        ),
    ],
)
def test_the_variants_of_compatible_servers_are_understood(chunks: list[Any], events: list[Event]) -> None:
    """Each is what some server sends."""
    assert read(lines(*chunks)) == events


def test_token_counts_keep_their_details() -> None:
    """Under LangChain's names, those of a paid tier separately."""
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": None},
    }
    plain = read(lines(delta("stop", content="x"), {"choices": [], "usage": usage}))[-1]
    paid = read(lines(delta("length"), {"choices": [], "usage": usage, "service_tier": "flex"}))[-1]
    counted = {"input_token_details": {"cache_read": 4}, "output_token_details": {"reasoning": 2}}
    assert plain == Finish("stop", Usage(9, 5, counted))
    assert isinstance(paid, Finish)
    assert paid.usage is not None
    assert paid.usage.details["input_token_details"] == {"flex_cache_read": 4, "flex": 5}


def test_a_line_without_an_end_is_not_kept_forever() -> None:
    """A broken provider must not fill the memory."""
    stream = Stream(Bounds(line=1000))
    for _ in range(20):
        stream.feed(b"x" * 100)
    assert isinstance(stream.failure, ModelError)

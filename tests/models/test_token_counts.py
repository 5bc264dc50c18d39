"""Token counts of real providers: each part is counted once, though every API has its own way to count it.

The bodies are those that the providers document. Two mistakes are common: to add cached tokens to an input that holds
them, and to take them off one that does not.
"""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from raw import DONE, Raw, chunk, line
from responses_upstream import ResponsesUpstream
from ways import EVERY_CHAT, HELLO, KEY, Build, answer, direct_chat, direct_completion, joined_answer

from headwater.entries import Entry, record, restore
from headwater.events import Event, Finish, Usage
from headwater.models.langchain.model import LangChainModel
from headwater.models.openai.connection import Account
from headwater.models.openai.responses import ResponsesModel
from headwater.offsets import Offset

OPENAI = {
    "prompt_tokens": 130,
    "completion_tokens": 50,
    "total_tokens": 180,
    "prompt_tokens_details": {"cached_tokens": 100, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 0},
}


def counts(events: list[Event]) -> tuple[int, ...]:
    """Input, of which cached and written to the cache; output, of which reasoning."""
    finish = events[-1]
    assert isinstance(finish, Finish)
    usage = finish.usage or Usage()
    return (
        usage.input_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
    )


def telling(usage: Any, **fields: Any) -> Raw:
    """A provider that counts so."""
    return Raw(pieces=[chunk("stop", content="x"), line({"choices": [], "usage": usage, **fields}), DONE])


@EVERY_CHAT
async def test_openai_counts_cached_within_input_and_reasoning_within_output(build: Build) -> None:
    """Nothing is added, and nothing taken off."""
    async with telling(OPENAI) as upstream:
        assert counts(await joined_answer(build(upstream))) == (130, 100, 0, 50, 20)


@EVERY_CHAT
async def test_a_paid_tier_counts_the_same(build: Build) -> None:
    """LangChain names the counts of such a tier otherwise."""
    async with telling(OPENAI, service_tier="flex") as upstream:
        assert counts(await joined_answer(build(upstream))) == (130, 100, 0, 50, 20)


@EVERY_CHAT
async def test_xai_counts_reasoning_beside_output(build: Build) -> None:
    """Its total tells; Google's compatible API does the same."""
    reasoning = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 344}
    details = {"completion_tokens_details": {"reasoning_tokens": 303}, "prompt_tokens_details": {"cached_tokens": 6}}
    async with telling(reasoning | details) as upstream:
        assert counts(await joined_answer(build(upstream))) == (32, 6, 0, 312, 303)


@EVERY_CHAT
async def test_a_gateway_that_counts_what_was_cached_beside_the_input(build: Build) -> None:
    """As Anthropic does: the input is the whole again."""
    beside = {"prompt_tokens": 10, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 100}}
    async with telling(beside) as upstream:
        assert counts(await joined_answer(build(upstream))) == (110, 100, 0, 7, 0)


@pytest.mark.parametrize("field", ["prompt_cache_hit_tokens", "cached_tokens"], ids=["DeepSeek", "Moonshot"])
async def test_a_cache_that_is_counted_in_a_field_of_its_own(field: str) -> None:
    """It is within the input; DeepSeek counts the misses too."""
    own = {"prompt_tokens": 130, "completion_tokens": 50, field: 100, "prompt_cache_miss_tokens": 30}
    async with telling(own) as upstream:
        assert counts(await joined_answer(direct_chat(upstream))) == (130, 100, 0, 50, 0)


async def test_what_was_written_to_a_cache() -> None:
    """Gateways to Anthropic's models tell it beside what was read."""
    details = {"prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 20}}
    async with telling({"prompt_tokens": 130, "completion_tokens": 7, **details}) as upstream:
        assert counts(await joined_answer(direct_chat(upstream))) == (130, 100, 20, 7, 0)


async def test_completions_count_the_same() -> None:
    """Under the names of chats."""
    pieces = [line({"choices": [{"text": "x", "finish_reason": "stop"}]}), line({"choices": [], "usage": OPENAI}), DONE]
    async with Raw(pieces=pieces) as upstream:
        assert counts(await answer(direct_completion(upstream))) == (130, 100, 0, 50, 20)


async def test_the_responses_api_counts_like_the_chat_api() -> None:
    """Under other names."""
    async with ResponsesUpstream(tokens=["a"], usage=(3, 2)) as upstream:
        model = ResponsesModel("gpt-test", Account(upstream.url, KEY))
        assert counts(await answer(model)) == (3, 1, 0, 2, 1)


OF_LANGCHAIN: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    # langchain-anthropic and langchain-aws count the caches within the input, though both APIs count them beside it.
    "Anthropic": ({"input": {"cache_read": 100, "cache_creation": 20}, "output": {"reasoning": 3}}, (100, 20, 3)),
    "Anthropic, written for an hour": (
        {"input": {"cache_read": 100, "cache_creation": 0, "ephemeral_1h_input_tokens": 5}},
        (100, 5, 0),
    ),
    "Anthropic, written for both times": (
        {"input": {"cache_creation": 0, "ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5}},
        (0, 20, 0),
    ),
    "Google": ({"input": {"cache_read": 100}, "output": {"reasoning": 30}}, (100, 0, 30)),
    "Ollama": ({}, (0, 0, 0)),
}


@pytest.mark.parametrize("provider", OF_LANGCHAIN)
async def test_usage_metadata_of_langchains_classes(provider: str) -> None:
    """As the real classes wrote it when they were fed over a socket (`tests/clients/test_anthropic_counts.py`)."""
    from langchain_core.messages import AIMessageChunk
    from langchain_core.runnables import RunnableLambda

    details, (cached, written, reasoning) = OF_LANGCHAIN[provider]
    usage: Any = {"input_tokens": 130, "output_tokens": 50, "total_tokens": 180}
    usage |= {f"{group}_token_details": finer for group, finer in details.items()}

    async def reply(_: Any) -> AsyncGenerator[AIMessageChunk]:
        yield AIMessageChunk(content="Hi")
        yield AIMessageChunk(content="", usage_metadata=usage, response_metadata={"finish_reason": "stop"})

    model = LangChainModel(RunnableLambda(reply), "m")
    assert counts(await answer(model, HELLO)) == (130, cached, written, 50, reasoning)


def test_a_log_of_an_older_version_has_its_counts_in_the_details() -> None:
    """They are read as if they had names; a log of today reads as it was written."""
    details = '{"input_token_details":{"cache_read":4,"cache_creation":2},"output_token_details":{"reasoning":3}}'
    usage = f'{{"input_tokens":9,"output_tokens":5,"details":{details}}}'
    entry: Entry = restore(Offset(1, 2), f'[1,0.5,{{"type":"finish","reason":"stop","usage":{usage}}}]'.encode())

    assert counts([entry.event]) == (9, 4, 2, 5, 3)
    assert restore(Offset(1, 2), record(Offset(1, 2), 0.5, entry.event).data).event == entry.event

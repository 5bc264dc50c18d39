"""Fields of a turn that the provider needs back: read from OpenAI's messages, and part of the key."""

from typing import Any

import msgspec

from headwater.cache.key import fingerprint
from headwater.dialects.native.request import chat
from headwater.prompt import Prompt

DETAILS = [{"type": "reasoning.encrypted", "data": "x"}]
SIGNED = {"google": {"thought_signature": "abc"}}


def prompt(**fields: Any) -> Prompt:
    """A chat whose assistant's turn has some more fields."""
    turn = {"role": "assistant", "content": "Hello", **fields}
    return chat(
        msgspec.json.encode({"messages": [{"role": "user", "content": "Hi"}, turn, {"role": "user", "content": "So?"}]})
    ).prompt


def key(asked: Prompt) -> str:
    return fingerprint(asked, tenant="t", upstream="u", secret=b"s")


def test_what_providers_need_back_is_kept_with_the_turn() -> None:
    """And with its tool calls."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": SIGNED}
    turn = prompt(reasoning_content="Hm", reasoning_details=DETAILS, prefix=True, tool_calls=[call]).messages[1]
    assert turn.provider == {"reasoning_content": "Hm", "reasoning_details": DETAILS, "prefix": True}
    assert turn.tool_calls is not None
    assert turn.tool_calls[0].provider == {"extra_content": SIGNED}


def test_the_neutral_shape_says_the_same() -> None:
    """Equal content has one form, and so one key."""
    assert prompt(provider={"reasoning_details": DETAILS}) == prompt(reasoning_details=DETAILS)


def test_what_steers_the_answer_is_part_of_the_key_and_reasoning_ids_and_times_are_not() -> None:
    """Only some clients send a model's reasoning back, and that alone makes no other question."""
    assert key(prompt(prefix=True)) != key(prompt())
    assert key(prompt(reasoning_details=DETAILS)) == key(prompt(reasoning_content="Hm")) == key(prompt())
    assert key(prompt(id="a", created_at=1, reasoning_content=None, prefix=False)) == key(prompt())

"""Request bodies: whatever bytes a stranger sends become a prompt or an error that says why."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.cache.key import fingerprint
from headwater.dialects.native import request as native
from headwater.errors import RequestError
from headwater.prompt import Message, Parameters, Prompt

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(
    ["messages", "message", "prompt", "role", "content", "model", "temperature", "max_tokens", "stop", "tools", "seed"]
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool", "wizard"]), "content": values}
    ),
    max_size=3,
)


def read(body: bytes) -> None:
    """Both routes on one body: a prompt that can be keyed, or our own kind of error."""
    for route in (native.chat, native.completion):
        try:
            prompt = route(body)
        except RequestError as error:
            clear = str(error) != "" and 400 <= error.status < 500
        else:
            clear = bool(prompt.messages) and len(fingerprint(prompt, tenant="t", upstream="u", secret=b"s")) == 64
        assert clear


@given(st.binary(max_size=200))
def test_any_bytes_are_a_prompt_or_a_clear_error(body: bytes) -> None:
    """Nothing raises what nobody expects."""
    read(body)


@given(st.dictionaries(fields, values, max_size=5), messages)
def test_any_json_is_a_prompt_or_a_clear_error(body: dict[str, Any], said: list[dict[str, Any]]) -> None:
    """Fields of the right name and the wrong kind most of all."""
    read(json.dumps({"messages": said, **body}).encode())
    read(json.dumps({**body, "messages": said}).encode())


def test_a_chat_is_read_field_by_field() -> None:
    """What is known has its place, what is not travels as `extra`, what does not matter is left behind."""
    body = {
        "messages": [{"role": "user", "content": "Hi", "id": "m1"}],
        "model": "m",
        "temperature": 0,
        "stop": ".",
        "tools": [{"type": "function"}],
        "reasoning_effort": "low",
        "stream": True,
        "conversation_id": "c",
    }

    assert native.chat(json.dumps(body).encode()) == Prompt(
        model="m",
        messages=[Message("user", "Hi")],
        parameters=Parameters(temperature=0, stop=["."]),
        tools=[{"type": "function"}],
        extra={"reasoning_effort": "low"},
    )


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "$.messages[0].role"),
        ({"messages": [{"role": "user", "content": "Hi"}], "temperature": "hot"}, "$.parameters.temperature"),
        ({"messages": [{"role": "user", "content": "Hi"}], "temperature": 3}, "temperature is 3"),
        ({"messages": []}, "messages is empty"),
        ({}, "messages is missing"),
    ],
)
def test_an_error_says_where_the_mistake_is(body: dict[str, Any], where: str) -> None:
    """So that nobody has to guess."""
    with pytest.raises(RequestError) as refused:
        native.chat(json.dumps(body).encode())
    assert where in str(refused.value)

"""A short fuzz; `make fuzz` has over a hundred thousand inputs, guided by the branches that they reach."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.routes import requests
from fuzz.targets import SEEDS, TARGETS

ODD: list[Any] = [None, True, -1, 0, 2**63, 1e308, "", "\0", "\ud800", "a" * 300, "1" * 5000, [], {}, [[]], {"": {}}]
VALUES = st.recursive(
    st.sampled_from(ODD) | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150)
@given(data=st.data())
def test_what_strangers_send_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """Valid bytes with some of them changed: a field of JSON, or any bytes at all."""
    seed = data.draw(st.sampled_from(SEEDS[name]))
    try:
        content = json.loads(seed)
    except ValueError:
        content = None
    if isinstance(content, dict) and data.draw(st.booleans()):
        TARGETS[name](json.dumps(_changed(content, data)).encode())
        return
    at = data.draw(st.integers(0, len(seed)))
    end = data.draw(st.integers(at, min(len(seed), at + 20)))
    TARGETS[name](seed[:at] + data.draw(st.binary(max_size=12)) + seed[end:])


def _changed(content: Any, data: st.DataObject) -> Any:
    """The same value with one change somewhere in it."""
    if isinstance(content, dict | list) and content and data.draw(st.integers(0, 3)):
        items: list[Any] = list(content.items() if isinstance(content, dict) else enumerate(content))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        key, value = data.draw(st.sampled_from(items))
        if isinstance(content, dict):
            return {**content, key: _changed(value, data)}  # pyright: ignore[reportUnknownVariableType]
        return [*content[:key], _changed(value, data), *content[key + 1 :]]  # pyright: ignore[reportUnknownVariableType]
    return data.draw(VALUES)


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_valid(name: str) -> None:
    """So that a fuzzer begins behind the first check."""
    for seed in SEEDS[name]:
        assert TARGETS[name](seed), seed


async def test_no_route_fails_or_hangs_or_answers_what_its_document_does_not_say(tmp_path: Path) -> None:
    """With what is at the bounds of its schema, and beyond them."""
    status, report = await requests(tmp_path, 0)
    assert status == 0, report
    assert int(re.findall(r"(\d+) generated", report)[0]) > 500, report

"""The models on offer, as OpenAI's clients list them, and Anthropic's too: one object has the fields of both."""

from collections.abc import Sequence
from typing import Any

import msgspec


def models(names: Sequence[str]) -> bytes:
    """The list of models."""
    listed = {"object": "list", "data": [_model(name) for name in names]}
    return msgspec.json.encode({**listed, "has_more": False, "first_id": names[0], "last_id": names[-1]})


def model(name: str) -> bytes:
    """One model."""
    return msgspec.json.encode(_model(name))


def _model(name: str) -> dict[str, Any]:
    # Nobody knows when a model was made; the epoch is what Anthropic says in that case.
    openai = {"id": name, "object": "model", "created": 0, "owned_by": name.partition(":")[0]}
    return {**openai, "type": "model", "display_name": name, "created_at": "1970-01-01T00:00:00Z"}

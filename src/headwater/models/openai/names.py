"""LangChain names of OpenAI's models, and which of their APIs this package speaks. Pure."""

import re
from typing import Literal

Kind = Literal["chat", "completion", "responses"]
"""OpenAI's API for a model."""

_KINDS: dict[str, Kind] = {"openai": "chat", "openai-completion": "completion", "openai-responses": "responses"}

# Models that OpenAI serves through its Responses API only, or with tools only there.
_RESPONSES_ONLY = re.compile(
    r"gpt-5(\.\d+)?-pro|gpt-5\.6-sol|gpt-[6-9]|.*codex|.*deep-research|computer-use", re.IGNORECASE
)


def meaning(name: str) -> tuple[Kind, str] | None:
    """The API that a LangChain name belongs to, and the model's own name there; None for other providers' models."""
    # Only the first colon separates: the names of fine-tuned models contain more of them.
    provider, colon, model = name.partition(":")
    if not colon:
        return ("chat", name) if re.match(r"gpt-|chatgpt-|o\d", name) else None
    kind = _KINDS.get(provider)
    return None if kind is None else (kind, model)


def covers(kind: Kind, model: str, base_url: str | None = None) -> bool:
    """Whether `OpenAIModel` can answer for this model; LangChain's classes answer for all others.

    Names at another address than OpenAI's are that server's own, and such servers have a chat API.
    """
    return base_url is not None or kind != "chat" or not _RESPONSES_ONLY.match(model)

"""The canonical request: what is asked of a model, whatever wire it came in by."""

from typing import Any, Literal

import msgspec

from headwater.errors import InvalidPrompt

Role = Literal["system", "user", "assistant", "tool"]


class Message(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One turn of a conversation; `content` is text, or parts as the provider defines them."""

    role: Role
    content: str | list[dict[str, Any]] = ""
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class Parameters(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How to sample; `None` leaves the choice to the provider. Limits are those of the OpenAI API."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


class Prompt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Everything that decides an answer. A closed struct: a new field cannot be left out of the key by accident."""

    kind: Literal["chat", "completion"] = "chat"
    model: str
    messages: list[Message]
    parameters: Parameters = Parameters()
    tools: list[dict[str, Any]] = []
    extra: dict[str, Any] = {}
    """Fields of the request that Headwater does not know; they travel in the provider's JSON body and nowhere else."""


def check(prompt: Prompt) -> Prompt:
    """Refuse a prompt that no model can answer, before anything is spent on it. Raises `InvalidPrompt`."""
    if not prompt.messages:
        raise InvalidPrompt('messages is empty: send at least one message, e.g. {"role": "user", "content": "Hi"}')
    for number, message in enumerate(prompt.messages):
        if not message.content and not message.tool_calls:
            raise InvalidPrompt(f"messages[{number}] has no content")
    _check_range("temperature", prompt.parameters.temperature, 0, 2)
    _check_range("top_p", prompt.parameters.top_p, 0, 1)
    _check_range("frequency_penalty", prompt.parameters.frequency_penalty, -2, 2)
    _check_range("presence_penalty", prompt.parameters.presence_penalty, -2, 2)
    _check_range("max_tokens", prompt.parameters.max_tokens, 1, 10_000_000)
    return prompt


def text_of(message: Message) -> str:
    """The plain text of a message, its other parts left out."""
    if isinstance(message.content, str):
        return message.content
    return "".join(str(part.get("text", "")) for part in message.content if part.get("type") == "text")


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    # `not low <= value` also refuses NaN, which compares false with everything.
    if value is not None and not low <= value <= high:
        raise InvalidPrompt(f"{name} is {value}; it must lie between {low} and {high}")

"""Request fields in three classes, by which every dialect sorts what it does not read itself; docs/fields.md. Pure.

- *Decides the answer*: in the key, and sent to the provider. All fields that no other class names, so that a field
  which nobody knows yet keeps two requests apart.
- *Carried*: sent to the provider, not in the key (`headwater.prompt.CARRIED`).
- *Ours*: neither (`OURS`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import msgspec

from headwater.dialects import shapes
from headwater.dialects.dialect import Ask
from headwater.errors import InvalidPrompt
from headwater.prompt import CARRIED, Parameters, Prompt, check

OURS = frozenset({"stream", "stream_options", "background", "background_options", "conversation_id", "id"})
"""Fields about the delivery of an answer, which Headwater does itself: neither sent nor in the key."""

_PARAMETERS = frozenset(Parameters.__struct_fields__)


class Sorted(NamedTuple):
    """The fields of a request's body that a dialect does not read itself; those of class *ours* are left out."""

    extra: dict[str, Any]
    """For `Prompt.extra`."""
    carried: dict[str, Any]
    """For `Prompt.carried`; a null counts as absent."""

    @property
    def bypass(self) -> bool:
        """Whether the caller wants the provider to keep this very completion, as `store: true` says; `Ask.bypass`."""
        return self.carried.get("store") is True


def sorted_out(fields: Mapping[str, Any]) -> Sorted:
    """Sort the fields of a body that are left when the dialect has taken those that it reads."""
    extra: dict[str, Any] = {}
    carried: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in CARRIED:
            if name not in OURS:
                extra[name] = value
        elif value is not None:
            carried[name] = value
    return Sorted(extra, carried)


def asked(kind: str, messages: list[Any], fields: dict[str, Any]) -> Ask:
    """What a body of OpenAI's shape asks, once its messages are neutral. Takes the fields that it reads out of it.

    Raises `InvalidPrompt`, which names the place of the mistake.
    """
    parameters = {name: fields.pop(name) for name in list(fields) if name in _PARAMETERS}
    if isinstance(parameters.get("stop"), str):
        parameters["stop"] = [parameters["stop"]]
    model = fields.pop("model", None) or ""
    tools: Any = fields.pop("tools", None) or []
    if isinstance(tools, list):
        tools = [shapes.tool(tool) for tool in cast("list[Any]", tools)]
    rest = sorted_out(fields)
    prompt = {
        "kind": kind,
        "model": model,
        "messages": messages,
        "parameters": parameters,
        "tools": tools,
        "extra": rest.extra,
        "carried": rest.carried,
    }
    try:
        return Ask(check(msgspec.convert(prompt, Prompt)), bypass=rest.bypass)
    except msgspec.ValidationError as error:
        raise InvalidPrompt(str(error).replace("$.parameters.", "$.")) from error


def chat_messages(fields: dict[str, Any]) -> list[Any]:
    """The field `messages` of a body, taken out of it, in the neutral shape. Raises `InvalidPrompt`."""
    messages = fields.pop("messages", None)
    if not isinstance(messages, list):
        wrong = "is missing" if messages is None else "is not a list"
        raise InvalidPrompt(f'the field messages {wrong}: send {{"messages": [{{"role": "user", "content": "Hi"}}]}}')
    return [shapes.message(message) for message in cast("list[Any]", messages)]

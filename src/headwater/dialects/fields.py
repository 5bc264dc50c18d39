"""Request fields in three classes, by which every dialect sorts what it does not read itself; docs/fields.md. Pure.

- *Decides the answer*: in the key, and sent to the provider. All fields that no other class names, so that a field
  which nobody knows yet keeps two requests apart.
- *Carried*: sent to the provider, not in the key (`headwater.prompt.CARRIED`).
- *Ours*: neither (`OURS`).
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

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


def ask(kind: Literal["chat", "completion"], messages: list[Any], fields: dict[str, Any]) -> Ask:
    """What a body asks for: messages in the neutral shape, and the fields that are left when its dialect took its own.

    Whole with `"stream": false`. Raises `InvalidPrompt`, which names the place of the mistake.
    """
    whole = fields.get("stream") is False
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
        return Ask(check(msgspec.convert(prompt, Prompt)), whole, bypass=rest.bypass)
    except msgspec.ValidationError as error:
        raise InvalidPrompt(str(error).replace("$.parameters.", "$.")) from error

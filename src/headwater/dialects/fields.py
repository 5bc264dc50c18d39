"""Request fields in three classes, by which every dialect sorts what it does not read itself; docs/fields.md. Pure.

- *Decides the answer*: in the key, and sent to the provider. All fields that no other class names, so that a field
  which nobody knows yet keeps two requests apart.
- *Carried*: sent to the provider, not in the key (`headwater.prompt.CARRIED`).
- *Ours*: neither (`OURS`).
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from headwater.dialects import shapes
from headwater.dialects.dialect import Ask
from headwater.errors import InvalidPrompt
from headwater.prompt import CARRIED, Parameters, Prompt, check

OURS = frozenset({"stream", "stream_options", "background", "background_options", "conversation_id", "id"})
"""Fields about the delivery of an answer, which Headwater does itself: neither sent nor in the key."""

_PARAMETERS = frozenset(Parameters.__struct_fields__)


def sorted_out(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is left when the dialect has taken the fields that it reads, for `Prompt.extra` and for `Prompt.carried`.

    A null is no field. Those of class *ours* are left out.
    """
    left = {name: value for name, value in fields.items() if value is not None and name not in OURS}
    extra = {name: value for name, value in left.items() if name not in CARRIED}
    return extra, {name: value for name, value in left.items() if name in CARRIED}


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
    extra, carried = sorted_out(fields)
    prompt = {
        "kind": kind,
        "model": model,
        "messages": messages,
        "parameters": parameters,
        "tools": tools,
        "extra": extra,
        "carried": carried,
    }
    try:
        # `store: true` asks the provider to keep this very completion, so that no stored answer will do.
        return Ask(check(msgspec.convert(prompt, Prompt)), bypass=carried.get("store") is True)
    except msgspec.ValidationError as error:
        raise InvalidPrompt(str(error).replace("$.parameters.", "$.")) from error


def chat_messages(fields: dict[str, Any]) -> list[Any]:
    """The field `messages` of a body, taken out of it, in the neutral shape. Raises `InvalidPrompt`."""
    messages = fields.pop("messages", None)
    if not isinstance(messages, list):
        wrong = "is missing" if messages is None else "is not a list"
        raise InvalidPrompt(f'the field messages {wrong}: send {{"messages": [{{"role": "user", "content": "Hi"}}]}}')
    return [shapes.message(message) for message in cast("list[Any]", messages)]

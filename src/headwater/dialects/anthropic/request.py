"""Request bodies of Anthropic's Messages API: bytes → Ask. They become OpenAI's fields, and so the same prompt."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from headwater.dialects.body import json_object
from headwater.dialects.dialect import Ask
from headwater.dialects.fields import asked, chat_messages
from headwater.errors import InvalidPrompt

Fields = dict[str, Any]

_IGNORED = frozenset(
    {
        *("betas", "billing_policy", "cache_control", "compaction", "context_management", "diagnostics", "fallbacks"),
        *("fallback_credit_token", "inference_geo", "service_tier", "speed", "user_profile_id", "workspace_id"),
    }
)
"""Fields about Anthropic's own servers, its bills and its prompt cache, which change nothing here."""
_REFUSED = ("container", "mcp_servers", "thread")
"""Fields that ask for work or for memory of Anthropic's own servers."""
_NEEDS = {"text": "text", "image": "source", "document": "source", "tool_use": "name", "tool_result": "tool_use_id"}
"""The field without which a block of this type says nothing."""
_EFFORTS = ((4096, "low"), (16384, "medium"))
"""Budgets of thinking, in tokens, below which it is OpenAI's `reasoning_effort` of this name."""


class _Source(Struct):
    type: Literal["base64", "url", "file", "text", "content"]
    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: "str | list[_Block]" = ""


class _Block(Struct):
    """A block, without what is beside its content, such as `cache_control`."""

    type: Literal["text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"]
    text: str | None = None
    source: _Source | None = None
    title: str | None = None
    context: str | None = None
    id: str | None = None
    name: str | None = None
    input: Fields | None = None
    tool_use_id: str | None = None
    content: "str | list[_Block] | None" = None
    is_error: bool | None = None

    def __post_init__(self) -> None:
        needed = _NEEDS.get(self.type)
        if needed and getattr(self, needed) is None:
            raise ValueError(f"a block of type {self.type} needs the field {needed}")


class _Turn(Struct):
    role: Literal["system", "user", "assistant"]
    content: str | list[_Block]


class _Tool(Struct):
    name: str
    input_schema: Fields
    description: str | None = None
    strict: bool | None = None
    type: Literal["custom"] | None = None


class _Choice(Struct):
    type: Literal["auto", "any", "none", "tool"]
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class _Format(Struct):
    type: Literal["json_schema"]
    schema: Fields


class _Options(Struct):
    """The fields of `thinking`, `metadata` and `output_config`, which have different names."""

    budget_tokens: int | None = None
    user_id: str | None = None
    effort: str | None = None
    format: _Format | None = None


class _Body(Struct):
    """The fields that are said in other words to other providers."""

    messages: list[_Turn]
    system: str | list[_Block] = ""
    tools: list[_Tool] = []
    tool_choice: _Choice | None = None
    metadata: _Options | None = None
    thinking: _Options | None = None
    output_config: _Options | None = None
    output_format: _Format | None = None
    """The older place of `output_config.format`."""


def read(body: bytes, *, limited: bool = True) -> Ask:
    """The prompt of a body, whole unless it says `"stream": true`; `max_tokens` may be missing where not `limited`.

    Raises `RequestError` for a body that is not a JSON object, and `InvalidPrompt`, which names the place of the
    mistake, for an object that is not a prompt or asks for what only Anthropic's servers do.
    """
    given = json_object(body)
    fields = {name: value for name, value in given.items() if value is not None and name not in _IGNORED}
    for name in _REFUSED:
        if fields.pop(name, None):
            raise InvalidPrompt(f"the field {name} asks for what only Anthropic's own servers do; leave it out")
    if limited and "max_tokens" not in fields:
        raise InvalidPrompt("the field max_tokens is missing: send the most tokens that the answer may have")
    try:
        known = msgspec.convert(fields, _Body)
        fields = {name: value for name, value in fields.items() if name not in _Body.__struct_fields__}
        turns = [_Turn("system", known.system), *known.messages] if known.system else known.messages
        fields["messages"] = [message for turn in turns for message in _messages(turn)]
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidPrompt(f"{error}; blocks and tools of Anthropic's own servers are not known here") from error
    if "stop_sequences" in fields:
        fields["stop"] = fields.pop("stop_sequences")
    fields |= _translated(known)
    return asked("chat", chat_messages(fields), fields)._replace(whole=fields.get("stream") is not True)


def _messages(turn: _Turn) -> Iterator[Fields]:
    """A turn as OpenAI's messages: the results of tools, each a message of its own, and then what else it says."""
    blocks = _blocks(turn.content)
    results = [block for block in blocks if block.type == "tool_result"]
    for result in results:
        # OpenAI has no field for an error, and the model must know.
        said = [*([_Block("text", "Error:")] if result.is_error else []), *_blocks(result.content or "")]
        yield {"role": "tool", "tool_call_id": result.tool_use_id, "content": _content(said, "\n")}
    if len(blocks) > len(results) or not results:
        uses = [block for block in blocks if block.type == "tool_use"]
        calls = [{"id": use.id, "name": use.name, "args": use.input} for use in uses] or None
        between = {"system": "\n\n", "assistant": ""}.get(turn.role)
        yield {"role": turn.role, "content": _content(blocks, between), "tool_calls": calls}


def _blocks(content: str | list[_Block]) -> list[_Block]:
    return [_Block("text", content)] if isinstance(content, str) else content


def _content(blocks: Sequence[_Block], between: str | None = None) -> str | list[Fields]:
    """Blocks as neutral parts, or as a bare text, as most clients write it: one text, or several with a separator."""
    parts = [part for block in blocks for part in _parts(block)]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    bare = len(texts) == len(parts) and (between is not None or len(texts) < 2)
    return (between or "").join(texts) if bare else parts


def _parts(block: _Block) -> list[Fields]:
    """A block as neutral parts; none for reasoning that comes back, whose signature is none of the provider's."""
    if block.text:
        return [{"type": "text", "text": block.text}]
    source = block.source
    if source is None:
        return []
    titles = [block.title, block.context]
    if source.type in ("text", "content"):
        parts = [part for inner in _blocks(source.content or source.data or "") for part in _parts(inner)]
    else:
        kind = "image" if block.type == "image" and source.file_id is None else "file"
        part = {"type": kind, "url": source.url, "data": source.data, "media_type": source.media_type}
        parts = [part if kind == "image" else {**part, "id": source.file_id, "name": titles.pop(0)}]
    return [*({"type": "text", "text": title} for title in titles if title), *parts]


def _translated(body: _Body) -> Fields:
    """The other fields of the body, in OpenAI's words."""
    fields: Fields = {}
    if body.tools:
        fields["tools"] = [
            {"name": each.name, "description": each.description, "parameters": each.input_schema, "strict": each.strict}
            for each in body.tools
        ]
    if choice := body.tool_choice:
        one = {"type": "function", "function": {"name": choice.name}}
        fields["tool_choice"] = one if choice.type == "tool" else "required" if choice.type == "any" else choice.type
        if choice.disable_parallel_tool_use:
            fields["parallel_tool_calls"] = False
    none = _Options()
    thinking, config, user = body.thinking or none, body.output_config or none, (body.metadata or none).user_id
    budget = thinking.budget_tokens
    by_budget = budget and next((word for limit, word in _EFFORTS if budget < limit), "high")
    if effort := config.effort or by_budget:
        fields["reasoning_effort"] = effort
    if user:
        fields["user"] = user
    if format := config.format or body.output_format:
        named = {"name": "answer", "schema": format.schema, "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": named}
    return fields

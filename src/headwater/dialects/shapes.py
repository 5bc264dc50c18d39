"""The JSON shapes in which clients write messages, parts and tools → the neutral ones of `headwater.prompt`.

Understood are the shapes of OpenAI's chat API and the neutral ones. Equal content gets equal fields in either shape,
and so the same key. A part or tool of any other shape is passed on as it is, for the provider that knows it. The result
is plain data: `msgspec.convert` checks the types afterwards and names the place of a mistake.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from headwater.prompt import Audio, File, Image, Message, ProviderPart, Text, Tool, located

Fields = dict[str, Any]

_MESSAGE = frozenset(Message.__struct_fields__)
_NEUTRAL: dict[Any, set[str]] = {
    kind.__struct_config__.tag: {"type", *kind.__struct_fields__} for kind in (Text, Image, Audio, File, ProviderPart)
}
_PROVIDERS_OF_CALL = ("extra_content", "provider_specific_fields")
_PROVIDERS = ("reasoning_content", "reasoning_details", "prefix", *_PROVIDERS_OF_CALL)
"""Fields of an assistant's turn that providers want back; without them some refuse the turn, or think less well."""
_TOOL = frozenset(Tool.__struct_fields__)
_FLAT_TOOL = _TOOL | {"type"}
_NESTED_TOOL = frozenset({"type", "function"})


def message(raw: Any) -> Any:
    """A message, without what clients and providers attach to it: an id, above all, would keep equal chats apart."""
    if not isinstance(raw, dict):
        return raw
    fields = cast("Fields", raw)
    content, calls, role = fields.get("content"), fields.get("tool_calls"), fields.get("role")
    if isinstance(content, str) and calls is None and role != "developer" and fields.keys() <= _MESSAGE:
        return fields  # what nearly all are, and every request brings its whole history
    refusal, own = fields.get("refusal"), _own(fields, _PROVIDERS)
    fields = {name: value for name, value in fields.items() if name in _MESSAGE} | own
    if role == "developer":  # OpenAI's newer name of the system
        fields["role"] = "system"
    if isinstance(content, list) and content:
        fields["content"] = [part(each) for each in cast("list[Any]", content)]
    elif not content and isinstance(content, str | list | None):
        # OpenAI writes null beside tool calls, and beside a refusal, which is then all that the model said.
        fields["content"] = refusal if isinstance(refusal, str) else ""
    if isinstance(calls, list):
        fields["tool_calls"] = [tool_call(each) for each in cast("list[Any]", calls)] or None
    return fields


def part(raw: Any) -> Any:
    """A part of a message: a text, an image, a sound, a file, or the shape of some provider."""
    if not isinstance(raw, dict):
        return raw
    fields = cast("Fields", raw)
    kind = fields.get("type")
    if isinstance(kind, str):
        if kind in _NESTED and fields.keys() == {"type", kind} and isinstance(fields[kind], dict):
            known, translate = _NESTED[kind]
            inner = _without_nulls(fields[kind])
            if inner.keys() <= known and (translated := translate(inner)):
                return translated
        elif fields.keys() <= _NEUTRAL.get(kind, set()):
            return fields if kind in ("text", "provider") else _canonical(_without_nulls(fields))
    elif kind is not None:
        return fields  # no provider's shape, but a mistake, which the check of the types names
    return {"type": "provider", "data": fields}


def tool_call(raw: Any) -> Any:
    """A tool call, in OpenAI's shape, the neutral one, or LangChain's, which says `args` for the arguments."""
    if not isinstance(raw, dict):
        return raw
    fields = cast("Fields", raw)
    function: Fields = fields.get("function", fields)
    if not isinstance(function, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
        return fields
    call: Fields = {ours: function[theirs] for theirs, ours in _CALL.items() if theirs in function}
    if "id" in fields:
        call["id"] = fields["id"] or ""  # servers that match results by order leave it empty
    call |= _own(fields, _PROVIDERS_OF_CALL)
    if not isinstance(call.get("arguments", ""), str):
        call["arguments"] = json.dumps(call["arguments"] or {}, ensure_ascii=False)
    return call


def needed_back(metadata: Mapping[str, Any]) -> tuple[Fields, dict[str, Fields]]:
    """What the provider of an answer needs back with its turn, by the answer's metadata; and with its calls, by id."""
    own: Fields = metadata.get("provider_fields") or {}
    return {name: own[name] for name in _PROVIDERS if name in own}, own.get("tool_calls") or {}


def tool(raw: Any) -> Any:
    """A tool: `{"type": "function", "function": {…}}`, the same without the nesting, or a provider's own."""
    if not isinstance(raw, dict):
        return raw
    fields = cast("Fields", raw)
    kind = fields.get("type", "function")
    if kind == "function":
        nested = fields.keys() <= _NESTED_TOOL
        function: Fields = fields.get("function", {}) if nested else fields
        if isinstance(function, dict) and function.keys() <= (_TOOL if nested else _FLAT_TOOL):  # pyright: ignore[reportUnnecessaryIsInstance]
            return {**function, "type": "function"}
    elif not isinstance(kind, str | None) or (kind == "provider" and fields.keys() == {"type", "data"}):
        return fields
    return {"type": "provider", "data": fields}


def _own(fields: Fields, names: tuple[str, ...]) -> Fields:
    """The field `provider` of a message or a call: what the provider needs back as it came."""
    own = {name: fields[name] for name in names if fields.get(name)}
    if isinstance(given := fields.get("provider"), dict):
        own |= cast("Fields", given)
    return {"provider": own} if own else {}


def _image(inner: Fields) -> Fields | None:
    return _canonical({"type": "image", **inner})


def _audio(inner: Fields) -> Fields | None:
    # OpenAI says "mp3" and means `audio/mpeg`. A server of its own words gets them only if the part stays as it is.
    format = inner.get("format")
    if not isinstance(format, str) or format == "mpeg" or "/" in format or "data" not in inner:
        return None
    return _canonical({"type": "audio", "data": inner["data"], "media_type": f"audio/{format}"})


def _file(inner: Fields) -> Fields | None:
    content = inner.get("file_data")
    found = {ours: inner[theirs] for theirs, ours in (("file_id", "id"), ("filename", "name")) if theirs in inner}
    if content is not None:  # a data URL, an address, or bare base64
        found["url" if not isinstance(content, str) or ":" in content else "data"] = content
    return _canonical({"type": "file", **found})


# OpenAI's parts that nest their fields under their type's name: the fields within, and how they are translated. None
# comes back for what the neutral form could not say in the same words.
_NESTED: dict[Any, tuple[frozenset[str], Callable[[Fields], Fields | None]]] = {
    "image_url": (frozenset({"url", "detail"}), _image),
    "input_audio": (frozenset({"data", "format"}), _audio),
    "file": (frozenset({"file_data", "file_id", "filename"}), _file),
}
_CALL = {"name": "name", "arguments": "arguments", "args": "arguments"}


def _canonical(fields: Fields) -> Fields:
    """A neutral part with a data URL taken apart, so that it has one form only, and MP3 under its registered name."""
    if isinstance(fields.get("url"), str) and "data" not in fields:
        fields |= located(fields.pop("url"))
    if fields.get("media_type") == "audio/mp3":
        fields["media_type"] = "audio/mpeg"
    return fields


def _without_nulls(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}

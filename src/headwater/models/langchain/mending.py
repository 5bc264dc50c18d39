"""The chunks of a compatible server, mended to those that OpenAI would send, as which LangChain reads them."""

from typing import Any, cast

from headwater.events import Event, ToolCallDelta, ToolCallEnd, ToolCallStart
from headwater.models.openai.deltas import Deltas
from headwater.models.reading import FIELDS
from headwater.models.telling import counts

_ORDER = ("reasoning", "text", "refusal", "call")  # in which LangChain's messages are read
_WORDS = ("id", "object", "model", "system_fingerprint", "service_tier")  # fields that LangChain takes for texts
_NAMES = {"text": "content", "reasoning": "reasoning_content", "refusal": "refusal"}


class Mending(Deltas):
    """Mends the chunks of one answer; `models/openai/deltas.py` reads them, as in a direct call."""

    def __init__(self, chat: bool) -> None:
        super().__init__()
        self._chat = chat
        self._places: dict[str, int] = {}
        self._counted: dict[str, Any] | None = None
        self._spoke = False

    def chunk(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """The chunk as OpenAI would send it; none for one that is of another choice."""
        self.note(chunk)
        chunk = {name: value for name, value in chunk.items() if name not in _WORDS or isinstance(value, str)}
        usage = chunk.get("usage")
        if usage:
            # LangChain adds usages up, but servers that send one with every chunk send running totals.
            self._counted = {**chunk, "choices": [], "usage": _whole_numbers(usage)}
            chunk = {**chunk, "usage": None}
        if not chunk.get("choices"):
            return [] if usage else [{**chunk, "choices": []}]
        choice = self.choice(chunk)
        if choice is None:
            return []
        first: dict[str, Any] = {}
        delta = choice.get("delta")
        if isinstance(delta, dict) and isinstance(role := cast("dict[str, Any]", delta).get("role"), str):
            first = {"role": role, "content": ""}
        deltas, last = [first], ""
        for kind, event in self.read(choice):
            self._spoke = True
            if last and _ORDER.index(kind) < _ORDER.index(last):
                deltas.append({})  # within one delta the order would be lost
            last = kind
            self._add(deltas[-1], kind, event)
        kept = {name: value for name, value in choice.items() if name not in ("delta", "message", "text")}
        mended = [{**chunk, "choices": [{**kept, **self._said(delta), "finish_reason": None}]} for delta in deltas]
        mended[-1]["choices"][0]["finish_reason"] = self._reason if choice.get("finish_reason") else None
        return mended

    def ending(self, told_end: bool) -> list[dict[str, Any]]:
        """The last chunks: what waited for the end. `told_end` says whether the provider announced it.

        Raises `ModelError` if a tool call cannot be read.
        """
        if told_end or self._reason is not None:
            list(self._calls.close())
        delta: dict[str, Any] = {}
        for kind, event in self._end_texts():
            self._add(delta, kind, event)
        reason = "other" if told_end and self._spoke and self._reason is None else None
        fields = {"kept": self._fields, "left_out": list(self._left_out)} if self._fields or self._left_out else None
        last: list[dict[str, Any]] = []
        if delta or reason or fields:
            last = [{"choices": [{"index": 0, **self._said(delta), "finish_reason": reason}], FIELDS: fields}]
        if not (self._begun or last or self._counted):
            return [{"choices": []}]  # LangChain takes no chunk at all for a failure
        return [*last, self._counted] if self._counted else last

    def _said(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"delta": delta} if self._chat else {"text": delta.get("content", "")}

    def _add(self, delta: dict[str, Any], kind: str, event: Event) -> None:
        match event:
            case ToolCallStart(id, name):
                place = self._places[id] = len(self._places)
                head = {"index": place, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
                delta.setdefault("tool_calls", []).append(head)
            case ToolCallDelta(id, arguments):
                piece = {"index": self._places[id], "function": {"arguments": arguments}}
                delta.setdefault("tool_calls", []).append(piece)
            case ToolCallEnd():
                pass
            case _:
                name = _NAMES[kind]
                delta[name] = delta.get(name, "") + getattr(event, "text", "")


def merged(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same chunks, with runs of text chunks merged into one."""
    found: list[dict[str, Any]] = []
    kind, texts = "", [""]
    for chunk in [*chunks, {}]:
        name, text = _text(chunk)
        if name != kind:
            if kind:
                found.append(_chunk(kind, "".join(texts)))
            kind, texts = name, []
        if name:
            texts.append(text)
        elif chunk:
            found.append(chunk)
    return found


def _text(chunk: dict[str, Any]) -> tuple[str, str]:
    """The name and value of a chunk's text; no name for a chunk that contains anything else."""
    choices = chunk.get("choices")
    if not choices or (choice := choices[0]).get("finish_reason") or choice.get("logprobs"):
        return "", ""
    delta = choice.get("delta")
    if delta is None:
        return ("text", choice["text"]) if choice.get("text") else ("", "")
    found = [(name, value) for name, value in delta.items() if value and name != "role"]
    return found[0] if len(found) == 1 and found[0][0] in ("content", "reasoning_content") else ("", "")


def _chunk(kind: str, text: str) -> dict[str, Any]:
    if kind == "text":
        return {"choices": [{"index": 0, "text": text}]}
    chunk: dict[str, Any] = {"choices": [{"index": 0, "delta": {"role": "assistant", kind: text}}]}
    return {**chunk, "only_text": text} if kind == "content" else chunk


def _whole_numbers(counted: object) -> dict[str, Any]:
    """Token counts that are whole numbers, as far as they can be read as such."""
    if not isinstance(counted, dict):
        return {}
    usage = cast("dict[str, Any]", counted)
    details: dict[str, Any] = {name: _whole_numbers(usage[name]) for name in usage if isinstance(usage[name], dict)}
    plain = {name: value for name, value in usage.items() if name not in details}
    sums = {"prompt_tokens": 0, "completion_tokens": 0} if "prompt_tokens" in usage else {}
    return {**sums, **counts(plain), **details}

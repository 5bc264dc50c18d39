"""What an answer has told so far, whatever shape its pieces came in: the state behind `Reading` and `Stream`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, assert_never, cast

from headwater.errors import ModelError
from headwater.events import Event, Finish, Metadata, ReasoningDelta, TextDelta, ToolResult, Usage
from headwater.models.characters import Characters
from headwater.models.content import Kind
from headwater.models.tool_calls import ToolCalls

_MOST = 32 * 1024
"""Bytes of a provider's own fields that one answer carries; an event must not exceed `MAX_EVENT`."""
_REST = 256  # told pieces after which they are joined to one text


class Told:
    """The text of one kind that an answer has told, and the characters that are cut."""

    def __init__(self) -> None:
        self._characters = Characters()
        self._pieces: list[str] = []

    @property
    def cut(self) -> bool:
        """Whether the last piece ended within a character."""
        return bool(self._characters.held)

    def add(self, text: str) -> str:
        """The next piece, as whole characters."""
        text = self._characters.join(text)
        self.note([text])
        return text

    def note(self, texts: Sequence[str]) -> None:
        """Remember pieces that were told without `add`."""
        self._pieces += texts
        if len(self._pieces) > _REST:
            self._pieces = ["".join(self._pieces)]

    def untold(self, whole: str) -> str:
        """What a whole text adds to its pieces: the rest of it, nothing, or all if it is another text."""
        told = "".join(self._pieces)
        for begin in (told, told.strip()):
            if begin and whole.startswith(begin):
                return whole[len(begin) :] if whole[len(begin) :].strip() else ""
        return "" if told and whole.strip() in told else whole

    def end(self) -> str:
        """A U+FFFD for a character that was never completed, or nothing."""
        return self._characters.end()


class Telling:
    """Turns the parts of one answer into events, and judges its end."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._usage: Any = None
        self._visible = False  # whether there is anything but reasoning and blanks
        self._refused = False
        self._left_out: dict[str, None] = {}
        self._fields: dict[str, Any] = {}
        self._calls = ToolCalls()
        self._new_model()

    def leave_out(self, *kinds: str) -> None:
        """Note content that no event can carry, such as `images`: the answer says so, and is not cached."""
        self._left_out |= dict.fromkeys(kinds)

    def keep(self, fields: Mapping[str, Any]) -> None:
        """Add to the provider's own fields, which go into the answer's metadata: lists grow, objects merge."""
        _merge(self._fields, fields)

    def _say(self, text: str) -> Iterator[Event]:
        if text := self._text.add(text):
            self._visible = self._visible or not text.isspace()
            yield TextDelta(text)

    def _think(self, text: str) -> Iterator[Event]:
        if text := self._reasoning.add(text):
            yield ReasoningDelta(text)

    def _part(self, kind: Kind, value: Any) -> Iterator[Event]:
        """The events of one part of a message's content."""
        match kind:
            case "text":
                yield from self._say(value)
            case "reasoning":
                yield from self._think(value)
            case "refusal":
                self._refused = True
                yield from self._say(value)
            case "media":
                self.leave_out(value)
            case "annotations":
                self.keep({"annotations": value})
            case _:
                assert_never(kind)

    def _untold(self, parts: Sequence[tuple[Kind, Any]]) -> list[tuple[Kind, Any]]:
        """The parts of a message that came whole, without what its pieces have told already."""
        text = "".join(value for kind, value in parts if kind in ("text", "refusal"))
        reasoning = "".join(value for kind, value in parts if kind == "reasoning")
        last: Kind = "refusal" if any(kind == "refusal" for kind, _ in parts) else "text"
        media = [part for part in parts if part[0] == "media"]
        return [("reasoning", self._reasoning.untold(reasoning)), (last, self._text.untold(text)), *media]

    def _result(self, id: str, output: str) -> Iterator[Event]:
        yield from self._calls.close()
        self._calls.reset()
        self._visible = True
        yield ToolResult(self._calls.id_of(id), output)

    def _next_model(self) -> Iterator[Event]:
        """Drop the reason to end that came before: output after it is that of a graph's next model."""
        yield from self._calls.close()
        self._reason = None
        for _, event in self._end_texts():
            yield event
        self._new_model()

    def _new_model(self) -> None:
        self._calls.reset()
        self._text, self._reasoning = Told(), Told()

    def _end_texts(self) -> Iterator[tuple[Kind, Event]]:
        """What is left of characters that were never completed."""
        if rest := self._reasoning.end():
            yield "reasoning", ReasoningDelta(rest)
        if rest := self._text.end():
            yield "text", TextDelta(rest)

    def _broken_off(self) -> list[Event]:
        """The last events of an answer without a reason to end.

        An open tool call is not ended either: its arguments are truncated like everything else.
        """
        return [event for _, event in self._end_texts()]

    def _ending(self, reason: str, usage: Any) -> list[Event]:
        """The last events of an answer. Raises `ModelError` if the reason is a failure, or a call is garbled."""
        if reason.lower() in _FAILURES:
            message = f"the provider failed in the middle of its answer: {reason}"
            raise ModelError(message, code="provider_error", retryable=True)
        events = [*self._broken_off(), *self._calls.close()]
        if data := self._metadata():
            events.append(Metadata(data))
        return [*events, Finish(self._supported(REASONS.get(reason.lower(), "other")), _usage(usage))]

    def _metadata(self) -> dict[str, Any]:
        """The provider's own fields, and the names of what was left out."""
        large = bool(self._fields) and len(json.dumps(self._fields)) > _MOST
        left_out = [*self._left_out, *(self._fields if large else ())]
        fields = {} if large or not self._fields else {"provider_fields": self._fields}
        return fields | ({"left_out": left_out} if left_out else {})

    def _supported(self, reason: str) -> str:
        """The finish reason, downgraded if the content contradicts it, so that such an answer is not cached.

        A model may really have nothing to say, so an empty answer is no failure. But text in a field that is not read
        here looks the same. A cached answer is replayed until it expires, while a second call costs one request.
        """
        if reason == "stop" and self._refused:
            return "content_filter"  # OpenAI ends a refusal with "stop"
        if reason == "stop" and self._calls.pending:
            reason = "tool_calls"
        lacking = not self._visible if reason == "stop" else not self._calls.count
        if reason in ("stop", "tool_calls") and (lacking or self._left_out or not self._calls.whole):
            return "other"
        return reason


def _merge(into: dict[str, Any], fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        before = into.get(name)
        if isinstance(before, list) and isinstance(value, list):
            into[name] = [*cast("list[Any]", before), *cast("list[Any]", value)]
        elif isinstance(before, dict) and isinstance(value, Mapping):
            _merge(cast("dict[str, Any]", before), cast("Mapping[str, Any]", value))
        else:
            into[name] = value


def _usage(usage: Any) -> Usage | None:
    if not usage or not isinstance(usage, Mapping):
        return None
    usage = cast("Mapping[str, Any]", usage)
    details = {name: numbers for name in usage if name.endswith("_details") and (numbers := counts(usage[name]))}
    sums = counts(usage)
    inputs = sums.get("input_tokens", sums.get("prompt_tokens", 0))  # chat models, completions
    outputs = sums.get("output_tokens", sums.get("completion_tokens", 0))
    parts = Usage(inputs, outputs, details)
    # Anthropic counts what its cache held beside the input, and xAI the reasoning beside the output: both are the whole
    # here. LangChain adds up the former, but not every gateway does.
    if (beside := parts.cached_tokens + parts.cache_write_tokens) > inputs:
        inputs += beside
    if (beside := parts.reasoning_tokens) and sums.get("total_tokens") == inputs + outputs + beside:
        outputs += beside
    return Usage(inputs, outputs, details)


def counts(usage: Any) -> dict[str, int]:
    """The whole numbers in a provider's token counts; a log with anything else in them could not be read back."""
    if not isinstance(usage, Mapping):
        return {}
    fields = cast("Mapping[str, Any]", usage)
    return {name: count for name, value in fields.items() if (count := _count(value)) is not None}


def _count(value: Any) -> int | None:
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return count if 0 <= count < _MANY else None


_MANY = 2**53  # the first whole number that JavaScript cannot read exactly

REASONS = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete", "completed"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("tool_calls", "function_call", "tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(("content_filter", "content_filtered", "safety", "refusal"), "content_filter"),
}

# Failures that providers report as a finish reason: Mistral and OpenRouter, vLLM and SGLang, DeepSeek, Google. The
# answer so far is truncated, so it must not look finished.
_FAILURES = frozenset({"error", "abort", "insufficient_system_resource", "malformed_function_call"})

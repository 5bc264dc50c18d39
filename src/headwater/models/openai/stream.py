"""The bytes of an OpenAI stream, read as events: one read of the socket becomes one batch.

The field names are those of OpenAI and of the servers compatible with it. `models/reading.py` decides what a chunk
means, also for LangChain's chunks, so that both ways to a provider give the same events.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from headwater.errors import ModelError
from headwater.events import Event, ReasoningDelta, TextDelta
from headwater.models.openai.lines import BOUNDS, Bounds, ErrorFrame, Lines
from headwater.models.reading import Reading, Watch, counts


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, gc=False):
    index: Any = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | list[Any] | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    message: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    service_tier: str | None = None
    error: Any = None
    message: Any = None
    code: Any = None


_decoder = msgspec.json.Decoder(_Chunk)


class Stream(Reading, Lines[_Chunk]):
    """Turns one answer's bytes into events."""

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        Reading.__init__(self)
        Lines.__init__(self, _decoder, bounds)  # pyright: ignore[reportUnknownMemberType]

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete, up to a `failure`: pass the events on first, then raise it.

        No bytes mean the end of the response.
        """
        events: list[Event] = []
        try:
            for chunk in self.chunks(data) if data else self.rest(self._spoke):
                self._read_chunk(chunk, events)
        except (ErrorFrame, ModelError) as failure:
            self.failure = failure
        if events:
            self._spoke = True
        return events

    def finish(self) -> list[Event]:
        """The last events, up to a `failure`; without a `Finish` if the provider gave no reason to end."""
        events = [] if self.done else self.feed(b"")
        if self.failure is None:
            try:
                events += self.end("chat", Watch())
            except ModelError as failure:
                self.failure = failure
        return events

    def _read_chunk(self, chunk: _Chunk, events: list[Event]) -> None:
        if chunk.error:
            raise ErrorFrame(chunk.error)
        if chunk.choices:
            choice = chunk.choices[0]
            delta = choice.delta
            if delta is None:
                if choice.text:
                    events.append(TextDelta(choice.text))
                elif choice.message is not None:  # a whole answer, of a server that does not stream
                    events.extend(self._read_delta(choice.message))
            elif (
                (text := delta.content)
                and type(text) is str
                and self._reason is None
                and not (delta.tool_calls or delta.reasoning_content or delta.reasoning)
            ):
                # The fast path: nearly all chunks are plain text. A refusal comes without content.
                events.append(TextDelta(text))
            else:
                events.extend(self._read_delta(delta))
            if choice.finish_reason:
                self._reason = choice.finish_reason
        elif chunk.message:  # an error of servers that do not wrap it
            raise ErrorFrame({"message": chunk.message, "code": chunk.code})
        if chunk.usage:
            # Servers that send usage with every chunk send running totals; the last one counts.
            self._usage = self._counts(chunk.usage, chunk.service_tier)

    def _counts(self, usage: Mapping[str, Any], tier: str | None) -> Mapping[str, Any]:
        """Token counts under LangChain's names."""
        return _counts(usage, tier)

    def _read_delta(self, delta: _Delta) -> list[Event]:
        events: list[Event] = []
        reasoning = delta.reasoning_content or delta.reasoning
        if isinstance(reasoning, str) and reasoning:
            events.append(ReasoningDelta(reasoning))
        if isinstance(delta.content, str):
            if delta.content:
                events.append(TextDelta(delta.content))
        elif delta.content:
            events += self._content(_Blocks(delta.content))
        if isinstance(delta.refusal, str) and delta.refusal:
            self._refused = True
            events.append(TextDelta(delta.refusal))
        calls = delta.tool_calls or []
        if self._reason and (events or calls):
            events = [*self._next_model(), *events]
        for call in calls:
            function = call.function or _Function()
            piece = {"id": call.id, "index": call.index, "name": function.name, "args": function.arguments}
            events += self._tool_call(piece)
        return events


class CompletionStream(Stream):
    """The same for completions, whose token counts LangChain passes on as they are."""

    def _counts(self, usage: Mapping[str, Any], tier: str | None) -> Mapping[str, Any]:
        return usage


class _Blocks:
    """A message's content in blocks, in the form that `Reading` expects."""

    def __init__(self, content: list[Any]) -> None:
        self.content = content


def _counts(usage: Mapping[str, Any], tier: str | None) -> dict[str, Any]:
    """Token counts under LangChain's names; those of a paid tier are counted separately."""
    sums = counts(usage)
    inputs, outputs = sums.get("prompt_tokens", 0), sums.get("completion_tokens", 0)
    of_input, of_output = counts(usage.get("prompt_tokens_details")), counts(usage.get("completion_tokens_details"))
    paid = tier if tier in ("priority", "flex") else ""
    prefix = f"{paid}_" if paid else ""
    cached, reasoning = of_input.get("cached_tokens"), of_output.get("reasoning_tokens")
    input_details = {
        "audio": of_input.get("audio_tokens"),
        f"{prefix}cache_read": cached,
        f"{prefix}cache_creation": of_input.get("cache_write_tokens"),
    }
    output_details = {"audio": of_output.get("audio_tokens"), f"{prefix}reasoning": reasoning}
    if paid:
        input_details[paid] = inputs - (cached or 0)
        output_details[paid] = outputs - (reasoning or 0)
    return {
        "input_tokens": inputs,
        "output_tokens": outputs,
        "input_token_details": {name: count for name, count in input_details.items() if count is not None},
        "output_token_details": {name: count for name, count in output_details.items() if count is not None},
    }

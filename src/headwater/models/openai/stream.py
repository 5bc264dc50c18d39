"""The bytes of an OpenAI stream, read as events: one read of the socket becomes one batch.

Nearly all chunks are decoded into the structs below, which know plain text, reasoning and tool calls. Anything else in
a read fails that, and `models/openai/deltas.py` reads its chunks as plain dictionaries.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import msgspec

from headwater.errors import ModelError
from headwater.events import Event, TextDelta
from headwater.models.openai.deltas import Deltas
from headwater.models.openai.lines import BOUNDS, Bounds, ErrorFrame, Lines
from headwater.models.telling import counts

_Nothing = Annotated[list[Any], msgspec.Meta(max_length=0)] | Literal[""] | None
"""A field that is nearly always empty. A value in it fails the fast decoding, and the read is then read leniently."""


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    refusal: _Nothing = None
    thinking: _Nothing = None
    reasoning_details: _Nothing = None
    function_call: _Nothing = None
    images: _Nothing = None
    audio: _Nothing = None
    video: _Nothing = None
    annotations: _Nothing = None
    citations: _Nothing = None
    extra_content: _Nothing = None
    provider_specific_fields: _Nothing = None


class _Choice(msgspec.Struct, gc=False):
    index: Literal[0] | None = None
    delta: _Delta | None = None
    message: _Nothing = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: Annotated[list[_Choice], msgspec.Meta(max_length=1)] | None = None
    usage: Any = None
    service_tier: Any = None
    error: Any = None
    message: Any = None
    code: Any = None
    citations: _Nothing = None
    search_results: _Nothing = None


_decoder = msgspec.json.Decoder(_Chunk)
_MANY = 256  # texts of the fast path after which they are noted


class Stream(Deltas, Lines[_Chunk]):
    """Turns one answer's bytes into events."""

    def __init__(self, bounds: Bounds = BOUNDS, decoder: msgspec.json.Decoder[Any] = _decoder) -> None:
        Deltas.__init__(self)
        Lines.__init__(self, decoder, bounds)  # pyright: ignore[reportUnknownMemberType]
        self.heard = False
        """Whether the last bytes held any chunk, which is a sign of life also without words."""
        self._spoke = False
        self._plain = True  # whether text may be passed on as it is: no reason to end, no character that is cut
        self._unnoted: list[str] = []  # what the fast path has passed on, to be noted before anybody asks for it

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete, up to a `failure`: pass the events on first, then raise it.

        No bytes mean the end of the response.
        """
        events: list[Event] = []
        try:
            chunks: Any = self.chunks(data) if data else self.rest(self._spoke)
            self.heard = bool(chunks)
            fields = chunks and type(chunks[0]) is dict  # all of them are then
            read: Any = self._read_fields if fields else self._read_chunk
            for chunk in chunks:
                read(chunk, events)
        except (ErrorFrame, ModelError) as failure:
            self.failure = failure
        if events:
            self._spoke = True
            if len(self._unnoted) > _MANY:
                self._note_text()
        return events

    def finish(self) -> list[Event]:
        """The last events, up to a `failure`; without a `Finish` if the provider gave no reason to end."""
        events = [] if self.done else self.feed(b"")
        if self.failure is not None and self.ended and not isinstance(self.failure, ErrorFrame):
            self.failure = None  # the answer was whole
        if self.failure is not None:
            return events
        self._note_text()
        reason = self._reason_to_end()
        try:
            events += self._broken_off() if reason is None else self._ending(reason, self._usage)
        except ModelError as failure:
            self.failure = failure
        return events

    def _reason_to_end(self) -> str | None:
        """The provider's reason to end; `other` if it only said that nothing follows, and None if it did not."""
        return self._reason or ("other" if self.told_end and self._spoke else None)

    def _read_chunk(self, chunk: _Chunk, events: list[Event]) -> None:
        if chunk.error:
            raise ErrorFrame(chunk.error)
        if choices := chunk.choices:
            choice = choices[0]
            delta = choice.delta
            if delta is None:
                if choice.text:
                    self._read_choice({"text": choice.text}, events)
            elif delta.tool_calls or delta.reasoning_content or delta.reasoning or not self._plain:
                self._read_choice({"delta": msgspec.structs.asdict(delta)}, events)
            elif text := delta.content:  # the fast path: nearly all chunks are plain text
                events.append(TextDelta(text))
                self._unnoted.append(text)
            if choice.finish_reason:
                if self._plain:
                    self._reason, self._plain = choice.finish_reason, False
                else:
                    self._read_choice({"finish_reason": choice.finish_reason}, events)
        elif chunk.message:  # an error of servers that do not wrap it
            raise ErrorFrame({"message": chunk.message, "code": chunk.code})
        if chunk.usage:
            self._note_usage(chunk.usage, chunk.service_tier)

    def _read_fields(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """The events of a chunk that is unusual, or beside one in the same read."""
        if chunk.get("error"):
            raise ErrorFrame(chunk["error"])
        if chunk.get("choices"):
            if (choice := self.choice(chunk)) is not None:
                self._read_choice(choice, events)
        elif chunk.get("message"):
            raise ErrorFrame(chunk)
        self.note(chunk)
        if usage := chunk.get("usage"):
            self._note_usage(usage, chunk.get("service_tier"))

    def _read_choice(self, choice: Mapping[str, Any], events: list[Event]) -> None:
        self._note_text()
        try:
            for _, event in self.read(choice):
                events.append(event)
        finally:
            self._plain = self._reason is None and not self._text.cut

    def _note_text(self) -> None:
        """Note the text that the fast path has passed on."""
        texts, self._unnoted = self._unnoted, []
        self._text.note(texts)
        if not self._visible:
            self._visible = any(text and not text.isspace() for text in texts)

    def _note_usage(self, usage: Any, tier: Any) -> None:
        # Servers that send usage with every chunk send running totals; the last one counts.
        if isinstance(usage, Mapping):
            self._usage = self._counts(cast("Mapping[str, Any]", usage), tier)

    def _counts(self, usage: Mapping[str, Any], tier: Any) -> Mapping[str, Any]:
        """Token counts under LangChain's names."""
        return counted(usage, tier)


class CompletionStream(Stream):
    """The same for completions, whose token counts LangChain passes on as they are."""

    def _counts(self, usage: Mapping[str, Any], tier: Any) -> Mapping[str, Any]:
        return usage


def counted(usage: Mapping[str, Any], tier: Any) -> dict[str, Any]:
    """Token counts under LangChain's names; those of a paid tier are counted separately."""
    sums = counts(usage)
    inputs, outputs = sums.get("prompt_tokens", 0), sums.get("completion_tokens", 0)
    of_input, of_output = counts(usage.get("prompt_tokens_details")), counts(usage.get("completion_tokens_details"))
    paid = tier if tier in ("priority", "flex") else ""
    prefix = f"{paid}_" if paid else ""
    # DeepSeek and Moonshot have said it in fields of their own.
    elsewhere = sums.get("prompt_cache_hit_tokens", sums.get("cached_tokens"))
    cached, reasoning = of_input.get("cached_tokens", elsewhere), of_output.get("reasoning_tokens")
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
        "total_tokens": sums.get("total_tokens"),
        "input_token_details": {name: count for name, count in input_details.items() if count is not None},
        "output_token_details": {name: count for name, count in output_details.items() if count is not None},
    }

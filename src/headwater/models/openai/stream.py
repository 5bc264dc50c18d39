"""The bytes of an OpenAI stream, read as events: all that one read of the socket gave becomes one batch.

The names are OpenAI's and those of the servers compatible with it. What a chunk means is decided where LangChain's
chunks are read too (`chunks.py`), so that both ways to a provider tell the same events.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from headwater.errors import ModelError
from headwater.events import Event, ReasoningDelta, TextDelta
from headwater.models.openai.lines import ErrorFrame, Lines
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

    def __init__(self) -> None:
        Reading.__init__(self)
        Lines.__init__(self, _decoder)  # pyright: ignore[reportUnknownMemberType]

    def feed(self, data: bytes) -> list[Event]:
        """What these bytes complete, or their end where there are none.

        That is up to a `failure`, which is to be raised after what came before it was passed on.
        """
        events: list[Event] = []
        try:
            for chunk in self.chunks(data) if data else self.rest(self._spoke):
                self._tell(chunk, events)
        except (ErrorFrame, ModelError) as failure:
            self.failure = failure
        if events:
            self._spoke = True
        return events

    def finish(self) -> list[Event]:
        """The last events, up to a `failure`; without an ending when the provider never told that it had finished."""
        events = [] if self.done else self.feed(b"")
        if self.failure is None:
            try:
                events += self.end("chat", Watch())
            except ModelError as failure:
                self.failure = failure
        return events

    def _tell(self, chunk: _Chunk, events: list[Event]) -> None:
        if chunk.error:
            raise ErrorFrame(chunk.error)
        if chunk.choices:
            choice = chunk.choices[0]
            delta = choice.delta
            if delta is None:
                if choice.text:
                    events.append(TextDelta(choice.text))
                elif choice.message is not None:  # a whole answer, of a server that does not stream
                    events.extend(self._spoken(choice.message))
            elif (
                (text := delta.content)
                and type(text) is str
                and self._reason is None
                and not (delta.tool_calls or delta.reasoning_content or delta.reasoning)
            ):
                # What nearly all chunks are, so it is told apart first. A refusal comes without content.
                events.append(TextDelta(text))
            else:
                events.extend(self._spoken(delta))
            if choice.finish_reason:
                self._reason = choice.finish_reason
        elif chunk.message:  # an error of servers that do not wrap it
            raise ErrorFrame({"message": chunk.message, "code": chunk.code})
        if chunk.usage:
            # Servers that send usage with every chunk count up in it; the last is the whole.
            self._usage = self._counted(chunk.usage, chunk.service_tier)

    def _counted(self, usage: Mapping[str, Any], tier: str | None) -> Mapping[str, Any]:
        """Token counts under LangChain's names."""
        return _counted(usage, tier)

    def _spoken(self, delta: _Delta) -> list[Event]:
        said: list[Event] = []
        thought = delta.reasoning_content or delta.reasoning
        if isinstance(thought, str) and thought:
            said.append(ReasoningDelta(thought))
        if isinstance(delta.content, str):
            if delta.content:
                said.append(TextDelta(delta.content))
        elif delta.content:
            said += self._content(_Blocks(delta.content))
        if isinstance(delta.refusal, str) and delta.refusal:
            self._refused = True
            said.append(TextDelta(delta.refusal))
        calls = delta.tool_calls or []
        if self._reason and (said or calls):
            said = [*self._goes_on(), *said]
        for call in calls:
            function = call.function or _Function()
            piece = {"id": call.id, "index": call.index, "name": function.name, "args": function.arguments}
            said += self._tool_call(piece)
        return said


class CompletionStream(Stream):
    """The same for completions, whose token counts LangChain hands on as they are."""

    def _counted(self, usage: Mapping[str, Any], tier: str | None) -> Mapping[str, Any]:
        return usage


class _Blocks:
    """A message's content in blocks, in the shape that `Reading` takes it."""

    def __init__(self, content: list[Any]) -> None:
        self.content = content


def _counted(usage: Mapping[str, Any], tier: str | None) -> dict[str, Any]:
    """Token counts under LangChain's names; those of a paid tier are kept apart."""
    sums = counts(usage)
    given, said = sums.get("prompt_tokens", 0), sums.get("completion_tokens", 0)
    before, after = counts(usage.get("prompt_tokens_details")), counts(usage.get("completion_tokens_details"))
    paid = tier if tier in ("priority", "flex") else ""
    prefix = f"{paid}_" if paid else ""
    cached, thought = before.get("cached_tokens"), after.get("reasoning_tokens")
    inputs = {
        "audio": before.get("audio_tokens"),
        f"{prefix}cache_read": cached,
        f"{prefix}cache_creation": before.get("cache_write_tokens"),
    }
    outputs = {"audio": after.get("audio_tokens"), f"{prefix}reasoning": thought}
    if paid:
        inputs[paid] = given - (cached or 0)
        outputs[paid] = said - (thought or 0)
    return {
        "input_tokens": given,
        "output_tokens": said,
        "input_token_details": {name: count for name, count in inputs.items() if count is not None},
        "output_token_details": {name: count for name, count in outputs.items() if count is not None},
    }

"""The bytes of a Responses stream, read as events; and the rest of a run behind what was shown of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from headwater.errors import CannotContinue
from headwater.events import Event, Metadata, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from headwater.models.characters import text_in
from headwater.models.content import Kind, parts
from headwater.models.model import RUN, Shown
from headwater.models.openai.lines import ErrorFrame
from headwater.models.openai.stream import Stream, counted

_ENDS = {"completed", "incomplete", "failed", "cancelled"}
_TOLD_ELSEWHERE = {
    *("message", "reasoning", "function_call", "compaction", "web_search_call", "file_search_call"),
    *("code_interpreter_call", "mcp_call", "mcp_list_tools"),
}
"""Items of the output without which an answer is whole: what they are for is in its text."""

_decoder = msgspec.json.Decoder(dict[str, Any])


class ResponsesStream(Stream):
    """Turns the events of one response into ours."""

    def __init__(self) -> None:
        super().__init__(decoder=_decoder)
        self.kept = False
        """Whether the provider was asked to keep the run."""
        self.run: str | None = None
        """The id of the run that the provider keeps."""
        self._thought: tuple[Any, ...] | None = None  # the part of the reasoning that came last

    def _reason_to_end(self) -> str | None:
        return self._reason

    def _read_fields(self, chunk: dict[str, Any], events: list[Event]) -> None:
        events.extend(self._told(chunk))

    def _told(self, event: Mapping[str, Any]) -> Iterator[Event]:
        kind, delta = str(event.get("type", "")), text_in(event.get("delta"))
        match kind.removeprefix("response."):
            case "output_text.delta":
                yield from self._say(delta)
            case "refusal.delta":
                yield from self._part("refusal", delta)
            case "reasoning_summary_text.delta" | "reasoning_text.delta":
                part = tuple(event.get(name) for name in ("output_index", "summary_index", "content_index"))
                yield from self._think("\n\n" + delta if self._thought not in (None, part) else delta)
                self._thought = part
            case "output_item.added":
                item: Any = event.get("item") or {}
                if item.get("type") == "function_call":
                    yield from self._calls.piece({**_call(item), "index": event.get("output_index")})
            case "function_call_arguments.delta":
                yield from self._calls.piece({"index": event.get("output_index"), "args": delta})
            case "error":
                raise ErrorFrame(event.get("error") or event)
            case name if isinstance(response := event.get("response", event), Mapping):
                yield from self._response(cast("Mapping[str, Any]", response), name)
            case _:
                pass

    def _response(self, response: Mapping[str, Any], name: str) -> Iterator[Event]:
        """The state of the response, which its last event gives whole, and so does a server that does not stream."""
        if self.run is None and self.kept and response.get("id") and response.get("background") is not False:
            self.run = str(response["id"])
            yield Metadata({RUN: self.run})
        state = name or response.get("status")
        if state not in _ENDS:
            return
        if state in ("failed", "cancelled"):
            raise ErrorFrame(response.get("error") or {"message": f"the provider says that the response has {state}"})
        yield from self._whole(cast("list[Any]", response.get("output") or []))
        usage: Any = response.get("usage") or {}
        names = ("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details")
        theirs = ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details")
        if usage:
            given = {chat: usage.get(name) for chat, name in zip(theirs, names, strict=True)}
            self._usage = counted(given, response.get("service_tier"))
        details: Any = response.get("incomplete_details") or {}
        self._reason = "stop" if state == "completed" else str(details.get("reason") or "other")
        self.done = self.told_end = True

    def _whole(self, output: Sequence[Any]) -> Iterator[Event]:
        """What the items hold beyond their pieces."""
        content: list[tuple[Kind, Any]] = []
        calls: list[Mapping[str, Any]] = []
        thoughts: list[str] = []
        for item in output:
            match item.get("type"):
                case "message":
                    content += parts(item.get("content"))
                case "reasoning":
                    thoughts += map(text_in, item.get("summary") or item.get("content") or ())
                case "function_call":
                    calls.append(_call(item))
                case other if other not in _TOLD_ELSEWHERE:
                    self.leave_out(str(other))
                case _:
                    pass
        noted = [part for part in content if part[0] == "annotations"]
        for kind, value in (*self._untold([("reasoning", "\n\n".join(thoughts)), *content]), *noted):
            yield from self._part(kind, value)
        yield from self._calls.message(calls)


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": item.get("call_id"), "name": item.get("name"), "args": item.get("arguments")}


class Behind:
    """Takes away from a run, told anew from its beginning, what was shown of it."""

    def __init__(self, shown: Shown) -> None:
        arguments = {call.id: call.arguments for call in shown.tools}
        self._shown: dict[object, str] = {TextDelta: shown.text, ReasoningDelta: shown.reasoning, **arguments}
        self._at = dict.fromkeys(self._shown, 0)
        self._owed: list[Event] = [ToolCallStart(call.id, call.name) for call in shown.tools]
        self._owed += [ToolCallEnd(call.id) for call in shown.tools if call.complete]

    def rest(self, batch: Sequence[Event]) -> list[Event]:
        """What is new in a batch. Raises `CannotContinue` where the run contradicts what was shown."""
        return [new for event in batch if (new := self._new(event)) is not None]

    def _new(self, event: Event) -> Event | None:
        match event:
            case Metadata(data) if RUN in data:
                return None
            case TextDelta(text) | ReasoningDelta(text):
                rest = self._beyond(type(event), text)
                new = type(event)(rest) if rest else None
            case ToolCallDelta(id, arguments):
                rest = self._beyond(id, arguments)
                new = ToolCallDelta(id, rest) if rest else None
            case _:
                new = None if event in self._owed else event
                self._owed = [owed for owed in self._owed if owed != event]
        if new is not None and (self._owed or any(self._at[key] < len(shown) for key, shown in self._shown.items())):
            raise CannotContinue("the provider's run goes on before the end of what was shown")
        return new

    def _beyond(self, key: object, text: str) -> str:
        """The piece of a text without what was shown of it."""
        shown, at = self._shown.get(key, ""), self._at.get(key, 0)
        known = text[: len(shown) - at]
        if not shown.startswith(known, at):
            raise CannotContinue("the provider's run has other words than those that were shown")
        self._at[key] = at + len(known)
        return text[len(known) :]

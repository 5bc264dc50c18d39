"""Events: what a model's answer consists of. `entries.py` has the form in which a log stores them.

A log is a sequence of entries. Each entry is one event with its offset. The order rules:

1. The first entry is `start`, and no other `start` follows. A log whose writer died at once may hold the ending alone.
2. Text, reasoning, tool calls and metadata follow in the order in which the model produced them. They may be mixed.
   `continued` marks a seam, where another request to a model went on after a break; the text goes on as if uncut.
3. The last entry is the ending: exactly one of `finish`, `stop` and `error`. Nothing follows it, and a log without an
   ending is unfinished, however long it has been silent.
4. Text, reasoning, arguments and results that would exceed `MAX_EVENT` are split into several events, which a reader
   concatenates (`parts`).

Newer versions of Headwater may add event types, fields, finish reasons and error codes. Clients and servers ignore
event types and fields that they do not know. A newer version never changes a field that exists, never moves text into a
new event type, and never adds a fourth ending: every version can tell what the text is and whether a log has ended.

Dispatch on events with `match` and `assert_never`: then the type checker lists every place that a new event type
concerns.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, assert_never

import msgspec

from headwater.errors import HeadwaterError

MAX_EVENT = 64 * 1024
"""Largest size of an entry in bytes, stored or as a frame of a stream: clients and proxies limit lines."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Token counts of one answer, as the provider reported them; a count that it left out is 0."""

    input_tokens: int = 0
    """The whole input, whatever was read from the provider's cache or written to it."""
    output_tokens: int = 0
    """The whole output, reasoning included."""
    details: dict[str, Any] = {}
    """The provider's finer counts, such as `{"input_token_details": {"cache_read": 4}}`."""
    cached_tokens: int = 0
    """How many of the input tokens came from the provider's own cache."""
    cache_write_tokens: int = 0
    """How many of the input tokens the provider has written to its cache."""
    reasoning_tokens: int = 0
    """How many of the output tokens were reasoning."""
    cost: float | None = None
    """The price of the answer in US dollars; None where it is not known."""

    def of_cache(self) -> dict[str, int]:
        """What the provider's cache had or took, in the words of OpenAI's APIs; it is part of their input."""
        written = {"cache_write_tokens": self.cache_write_tokens} if self.cache_write_tokens else {}
        return {"cached_tokens": self.cached_tokens, **written}

    def __post_init__(self) -> None:
        # Logs of older versions hold the details alone, so the named counts are made of these in one place.
        for name, places in _NAMED.items() if self.details else ():
            if not getattr(self, name) and (count := sum(_counts(self.details, *places))):
                msgspec.structs.force_setattr(self, name, count)


_NAMED = {
    "cached_tokens": ("cache_read", "cached_tokens"),
    "cache_write_tokens": ("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"),
    "reasoning_tokens": ("reasoning", "reasoning_tokens"),
}
"""The names of these counts in details. LangChain counts the writes of Anthropic in one of three fields."""
_TIERS = ("", "priority_", "flex_")


def _counts(details: dict[str, Any], *names: str) -> Iterator[int]:
    """The counts under these names in the groups of some details."""
    for group in details.values():
        for name in names if isinstance(group, dict) else ():
            for tier in _TIERS:
                count: Any = group.get(f"{tier}{name}")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
                yield count if isinstance(count, int) else 0


class Saved(msgspec.Struct, frozen=True):
    """What a stored or shared answer has saved: the tokens, price and time of the original run."""

    seconds: float = 0.0
    """0 for a request that joined a running answer, since it is not known how long that had been running."""
    tokens: int = 0
    cost: float | None = None
    """In US dollars; None where it is not known."""

    @classmethod
    def of(cls, usage: Usage | None, seconds: float) -> "Saved":
        """What is saved by a run of so many seconds that need not be repeated."""
        usage = usage or Usage()
        return cls(round(seconds, 4), usage.input_tokens + usage.output_tokens, usage.cost)


class Cached(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the cache has answered a request."""

    status: Literal["hit", "joined"]
    age: int | None = None
    """Seconds since a stored answer was finished."""
    saved: Saved | None = None
    """Of a hit; what a join saves is known at its end."""
    matched: str | None = None
    """The question that the stored answer was given to, if it had another wording."""


class Start(msgspec.Struct, frozen=True, tag="start", omit_defaults=True):
    """The generation began. First entry of every log; written before the model is asked."""

    message_id: str
    """The log's id. In the stream of a replay it is `<log>~<random>`."""
    model: str
    """For example `openai:gpt-4o-mini`."""
    created: int = 0
    """When the log was opened, in seconds since 1970 by the writer's clock; 0 in logs of versions before this field."""
    cache: Cached | None = None
    """How the cache has answered this reader's request, in the response to it. Only the question is stored, as
    `matched` of an answer that serves other wordings of it; they alone are told it."""


class TextDelta(msgspec.Struct, frozen=True, tag="text-delta"):
    """The next piece of the answer's text; may be empty. The text is all pieces concatenated."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning-delta"):
    """The next piece of the reasoning that the model shows; separate from the text."""

    text: str


class ToolCallStart(msgspec.Struct, frozen=True, tag="tool-call-start"):
    """The model begins to call a tool. The other events of the call carry the same `id`."""

    id: str
    """The provider's id of the call, or `call_1`, `call_2`, … for a provider without ids."""
    name: str
    """Empty if the provider names no tool."""


class ToolCallDelta(msgspec.Struct, frozen=True, tag="tool-call-delta"):
    """The next piece of a tool call's arguments. All pieces concatenated are JSON text, or empty without arguments."""

    id: str
    arguments: str


class ToolCallEnd(msgspec.Struct, frozen=True, tag="tool-call-end"):
    """The arguments of a tool call are complete. Missing when the answer broke off within the call."""

    id: str


class ToolResult(msgspec.Struct, frozen=True, tag="tool-result"):
    """The next piece of the text that a tool returned, where the server runs the tools. It completes the call.

    All pieces of a call concatenated are its result. Other events may come in between.
    """

    id: str
    output: str


class Metadata(msgspec.Struct, frozen=True, tag="metadata"):
    """Facts about the answer that are no part of it; may come anywhere before the ending, several times. Never split.

    The last value of each field counts. `fitted` says how many messages were left out to fit the model's context.
    """

    data: dict[str, Any]


class Continued(msgspec.Struct, frozen=True, tag="continued", omit_defaults=True):
    """A seam: the answer broke off here, and a further request to a model goes on. No word is doubled or missing."""

    cause: str
    """Why it broke off: `provider` (its connection or its server failed), `truncated` (its stream ended without a
    reason), `stalled` (it said nothing for too long) or `server` (the writing server died or went away)."""
    way: str
    """How it goes on: `reattach` (the provider still had the run), `prefill` (the model continues its own text),
    `prompt` (it was asked to) or `restart` (nothing was shown but reasoning, so it began anew)."""
    after: str
    """The offset of the last entry before the seam."""
    attempt: int = 1
    """1 for the first seam of the log."""
    model: str = ""
    """The model that goes on, if it is another than that of `start`."""
    waited: float = 0.0
    """Seconds from the last entry before the seam to the seam."""
    rewind: str = ""
    """An offset, where readers of the dead server may have seen more than was stored: a client that has read beyond
    it drops what it has from there. Empty if no reader can have."""


class Finish(msgspec.Struct, frozen=True, tag="finish", omit_defaults=True):
    """Ending: the model finished by itself. State `finished`."""

    reason: str
    """`stop` (a whole answer), `tool_calls` (the client is to run tools), `length` (truncated at a token limit),
    `content_filter` (withheld by the provider) or `other`. Only the first two are cached (`is_admissible`)."""
    usage: Usage | None = None
    replayable: bool = True
    """False for an answer that one model or one request did not make alone, so that no other request gets it."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Ending: somebody stopped the answer. State `stopped`; what came before is a part."""

    by: str
    """The subject who stopped it."""


class Error(msgspec.Struct, frozen=True, tag="error", omit_defaults=True):
    """Ending: the answer broke off. State `failed`, or `lost` for the code `lost`; what came before is a part.

    An `error` frame without an id is no entry of the log. It says that this server cannot read the log on, for example
    because the store failed. If it is retryable, a client comes back with its last id.
    """

    code: str
    """Stable and short: `lost` (the writing server died), `store` (the store failed), `log_limit` (the log is full),
    `truncated` (the provider's stream ended without a reason), `timeout`, `shutdown`, `internal`, `newer_version`
    (see `Unknown`), or a failure of the provider such as `provider_error`."""
    message: str
    retryable: bool = False
    """Whether the same request may succeed later."""
    retry_after: float | None = None
    """Seconds after which a retry may succeed, if known."""
    status: int = 502
    """The HTTP status when the failure precedes the first byte of a response. Stored, but not part of the stream."""


class Unknown:
    """An event of a type that this version does not know, written by a newer version. Never produced here.

    During a rolling upgrade an older server meets the events of a newer one. The native dialect passes such an event on
    as it is stored, and clients ignore it unless they know it. Other dialects and the fold skip it. It is never an
    ending: if the store says that a log which ends in it is sealed, readers get `unknown_ending` after it.
    """

    __slots__ = __match_args__ = ("type", "json")

    def __init__(self, type: str, json: bytes) -> None:
        self.type = type
        self.json = json
        """The whole event as it was stored."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and self.json == other.json

    def __hash__(self) -> int:
        return hash(self.json)

    def __repr__(self) -> str:
        return f"Unknown({self.type!r}, {self.json!r})"


Ending = Finish | Stop | Error
Known = (
    Start
    | TextDelta
    | ReasoningDelta
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | ToolResult
    | Metadata
    | Continued
    | Finish
    | Stop
    | Error
)
Event = Known | Unknown
State = Literal["open", "finished", "stopped", "failed", "lost"]


def is_admissible(ending: Ending) -> bool:
    """Whether a log with this ending may answer other requests from the cache: only whole answers may.

    An answer that finished by `length` is truncated; a stopped, failed or lost one is a part.
    """
    match ending:
        case Finish(reason, replayable=replayable):
            return replayable and reason in ("stop", "tool_calls")
        case Stop() | Error():
            return False
        case _:
            assert_never(ending)


def state_after(ending: Ending) -> State:
    """The state of a log with this ending."""
    match ending:
        case Finish():
            return "finished"
        case Stop():
            return "stopped"
        case Error(code="lost"):
            return "lost"
        case Error():
            return "failed"
        case _:
            assert_never(ending)


def error_event(error: HeadwaterError) -> Error:
    """The event that says the same as an error of ours, in words for everybody."""
    return Error(error.code, error.told, error.retryable, error.retry_after, error.status)


def unforeseen() -> Error:
    """The event for a bug of ours, whose traceback is in the log."""
    return Error("internal", "The server failed. Try again; the server's log says why.", status=500)


def parts(event: Event) -> Sequence[Event]:
    """The event itself, or several with its text split among them if one would exceed `MAX_EVENT`."""
    if type(event) is TextDelta and len(event.text) <= PIECE:  # nearly all events; the match takes six times as long
        return (event,)
    match event:
        case TextDelta(text) | ReasoningDelta(text):
            return [type(event)(piece) for piece in _pieces(text)]
        case ToolCallDelta(id, text):
            return [ToolCallDelta(id, piece) for piece in _pieces(text)]
        case ToolResult(id, text):
            return [ToolResult(id, piece) for piece in _pieces(text)]
        case (
            Start()
            | ToolCallStart()
            | ToolCallEnd()
            | Metadata()
            | Continued()
            | Finish()
            | Stop()
            | Error()
            | Unknown()
        ):
            return (event,)
        case _:
            assert_never(event)


# In ASCII-only JSON a character takes at most 12 bytes: a surrogate pair, each half written as \uXXXX. The rest of the
# frame takes a few hundred bytes.
PIECE = (MAX_EVENT - 1024) // 12


def _pieces(text: str) -> Iterator[str]:
    if len(text) <= PIECE:
        yield text
        return
    for begin in range(0, len(text), PIECE):
        yield text[begin : begin + PIECE]

"""What a conversation consists of, in the form in which documents and responses have it. Pure."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from headwater.answer import Answer, Timing, ToolCall
from headwater.dialects.native.reader import SentError
from headwater.dialects.native.state import saved, whole
from headwater.errors import InvalidPrompt, RequestError
from headwater.events import Continued, Finish, Saved, Stop, Usage
from headwater.events import State as StateName

ID = r"[A-Za-z0-9_-]{8,64}"
Id = Annotated[str, Meta(pattern=f"^{ID}$", description="Chosen by the client: 8 to 64 letters, digits, `_` or `-`")]
T = TypeVar("T")
TITLE = 60
"""Letters of a title that is made of the first question, at most."""


class InvalidConversation(RequestError):
    """A conversation cannot have this: an unknown parent, an id that is none, a tree that is no tree."""

    code = "invalid_conversation"
    status = 422


class Attached(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that goes with a question; its data are kept apart."""

    id: str
    name: str
    type: str
    """The media type: an image's, or `text/…` for all that is read as text."""
    size: int
    """Bytes."""


class Question(msgspec.Struct, frozen=True, tag_field="role", tag="user", kw_only=True):
    """What a person asked."""

    id: str
    parent: str | None
    created_at: str
    content: str
    attachments: tuple[Attached, ...] = ()
    kind: Literal["ask", "continue"] = "ask"
    """`continue` asks for the rest of an answer that its length limit has cut."""


class Reply(msgspec.Struct, frozen=True, tag_field="role", tag="assistant", kw_only=True):
    """The answer to a question: open while it is written, then a copy of all that its log had."""

    id: str
    parent: str
    created_at: str
    state: StateName = "open"
    location: str | None = None
    """Where it is read: in a document the message id, in a response the path of the log."""
    text: str = ""
    reasoning: str = ""
    tools: tuple[ToolCall, ...] = ()
    metadata: dict[str, Any] = {}
    ending: Finish | Stop | SentError | None = None
    usage: Usage | None = None
    timing: Timing | None = None
    model: str | None = None
    continued: tuple[Continued, ...] = ()
    cache: Literal["hit", "collapsed"] | None = None
    produced_at: str | None = None
    """When a stored answer was written, for a hit."""
    saved: Saved | None = None
    matched: str | None = None
    """The question that a stored answer was given to, if it had other words; empty until the answer is here."""

    def settled(self, answer: Answer) -> "Reply":
        """This node with all that its log has come to."""
        state = whole(answer)
        return msgspec.structs.replace(
            self,
            saved=None if self.cache is None else saved(answer, joined=self.cache == "collapsed"),
            matched=None if self.matched is None else answer.question,
            **{name: getattr(state, name) for name in _OF_STATE},
        )

    def lost(self, why: str) -> "Reply":
        """This node with an ending that says why there is no more of it."""
        ending = SentError("lost", why, retryable=True)
        return msgspec.structs.replace(self, state="lost", ending=ending, matched=None)


_OF_STATE = ("state", "text", "reasoning", "tools", "metadata", "ending", "usage", "timing", "model", "continued")

Node = Question | Reply


class Settings(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a conversation asks; what is left out is the server's choice."""

    model: str | None = None
    system: Annotated[str, Meta(max_length=100_000)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None


class Live(msgspec.Struct, frozen=True):
    """The answer that is being written, from the moment on at which its question has got the right to be asked."""

    answer: str
    number: int
    """The place of its node in the conversation."""
    at: float
    before: str | None
    """The leaf before it."""


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the cache has done for a conversation's answers."""

    answers: int = 0
    hits: int = 0
    joins: int = 0
    seconds: float = 0.0
    tokens: int = 0
    cost: float | None = None
    """In US dollars, of the answers whose cost is known; None if none is."""

    def plus(self, reply: Reply) -> "Tally":
        """The tally with one more answer."""
        saved = reply.saved or Saved()
        return Tally(
            self.answers + 1,
            self.hits + (reply.cache == "hit"),
            self.joins + (reply.cache == "collapsed"),
            self.seconds + saved.seconds,
            self.tokens + saved.tokens,
            self.cost if saved.cost is None else (self.cost or 0.0) + saved.cost,
        )


class Head(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A conversation without its messages."""

    id: str
    place: str
    """The random name under which the messages lie, whoever's conversation it is."""
    created_at: str
    updated_at: str
    title: str = ""
    titled: Literal["auto", "person"] = "auto"
    leaf: str | None = None
    """The last node of the branch that is shown."""
    live: Live | None = None
    settings: Settings = Settings()
    shared: str | None = None
    """The token of the link that shows the conversation to anybody."""
    tally: Tally = Tally()
    size: int = 0
    """Places given to nodes so far."""
    revision: int = 0
    """Rises with every change."""
    used: float = 0.0
    """When all its documents were renewed last."""
    moved: bool = False
    """Whether it is on its way to another subject, and no change may be made here any more."""


class Summary(msgspec.Struct, frozen=True):
    """A conversation as a line of a list."""

    id: str
    title: str
    created_at: str
    updated_at: str
    live: str | None
    """The id of the answer that is being written."""
    shared: str | None
    """The token of its link."""


class Described(Summary, frozen=True):
    """A conversation without its messages."""

    leaf: str | None
    settings: Settings
    version: int


class Whole(Described, frozen=True):
    """A conversation with all messages of its tree, the oldest first."""

    messages: list[Node]


def summary(head: Head) -> Summary:
    """The line of a list that stands for a conversation."""
    live = head.live and head.live.answer
    return Summary(head.id, head.title, head.created_at, head.updated_at, live, head.shared)


def described(head: Head) -> Described:
    """A conversation without its messages."""
    line = msgspec.structs.asdict(summary(head))
    return Described(**line, leaf=head.leaf, settings=head.settings, version=head.revision)


def written(seconds: float) -> str:
    """A time as JSON has it: ISO 8601, UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def checked_id(id: str) -> str:
    """An id that a client has chosen. Raises `InvalidConversation`."""
    if not re.fullmatch(ID, id):
        raise InvalidConversation(f"{id[:80]!r} is not an id; write 8 to 64 letters, digits, _ or -")
    return id


def path(nodes: dict[str, Node], end: str | None) -> list[Node]:
    """The branch that ends in a node, from its root on; no node for an end that is not there."""
    branch: list[Node] = []
    while end is not None and (node := nodes.get(end)) is not None:
        branch.append(node)
        end = node.parent
    return branch[::-1]


_SIGNS = re.compile(r"[*_`#>~|]+|!?\[([^\]]*)\]\([^)]*\)|^\s*(?:[-+]|\d+[.)])\s+")
_SENTENCE = re.compile(r"(?<=[.!?。！？])(?:\s|$)|(?<=[。！？])")


def title_of(content: str) -> str:
    """A title made of a question: its first sentence or line, as whole words, without Markdown signs."""
    # No more of it, since an open bracket makes the pattern look at all that follows.
    line = next((line for line in content.strip()[:1000].splitlines() if _plain(line)), "")
    sentence = _plain(_SENTENCE.split(_plain(line), maxsplit=1)[0]).rstrip(".:")
    if len(sentence) <= TITLE:
        return sentence
    cut = sentence[:TITLE]
    return (cut[: cut.rfind(" ")] if " " in cut else cut[: TITLE - 1]).rstrip(",;:-– ") + "…"


def _plain(line: str) -> str:
    return " ".join(_SIGNS.sub(lambda sign: sign[1] or "", line).split())


def read(value: Any, kind: type[T]) -> T:
    """JSON, or what was made of it, as a struct. Raises `InvalidPrompt`, which names the place of the mistake."""
    try:
        if isinstance(value, bytes):
            return msgspec.json.decode(value, type=kind)
        return msgspec.convert(value, kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidPrompt(f"this cannot be read: {error}") from error

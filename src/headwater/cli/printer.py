"""An answer on the terminal: its text on standard output, all else on standard error, and the exit code it means."""

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any, assert_never

from headwater.cli.terminal import UNSAFE
from headwater.errors import Diverged, sentence
from headwater.offsets import write

if TYPE_CHECKING:
    from headwater.client import About, Answer
    from headwater.events import Continued, Ending, Event

FAILED, PARTIAL, INTERRUPTED = 1, 3, 130
"""Exit codes: no answer, or one that failed; an answer that was stopped or truncated; Ctrl-C, as in shells."""


def exit_code(ending: "Ending | None") -> int:
    """The exit code of a command that printed an answer with this ending."""
    from headwater.events import Error, Finish, Stop

    match ending:
        case Finish():
            return 0
        case Stop() | Error(code="truncated"):
            return PARTIAL
        case Error() | None:
            return FAILED
        case _:
            assert_never(ending)


class Printer:
    """Writes the answer to standard output as it arrives, and everything about it to standard error.

    `in_full` also shows the reasoning, what goes into and comes out of tools, and how the answer finished; and in JSON
    the offset of each event.
    """

    def __init__(self, as_json: bool, in_full: bool = False) -> None:
        self.about: About | None = None
        self.answer: Answer | None = None
        self.arrived = asyncio.Event()
        """Set when the location of the answer is known, so that the answer can be stopped."""
        self._as_json = as_json
        self._in_full = in_full
        self._terminal = sys.stdout.isatty()
        self._shared = self._terminal and sys.stderr.isatty()
        self._sent = self._last = time.monotonic()
        self._first: float | None = None
        self._deltas = self._shown = 0
        self._mid_line = False
        self._beside: tuple[type[Event], str] | None = None
        """What standard error is in the middle of."""
        for stream in (sys.stdout, sys.stderr):
            reconfigure: Any = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="replace")  # a character that the terminal cannot show becomes `?`

    def begin(self) -> None:
        """Note when the question is sent."""
        self._sent = time.monotonic()

    def attached(self, answer: "Answer") -> None:
        """Note the answer, and print whether it comes from the cache or from a generation that others started."""
        self.answer = answer
        self.arrived.set()
        if "; hit" in answer.cache_status:
            self.note(f"cached, {_age(answer.age or 0)} old")
        elif "; collapsed" in answer.cache_status:
            self.note("joined an answer to the same question that is being generated")

    def retrying(self, reason: str, pause: float) -> None:
        """Print that a connection failed and will be tried again."""
        self.note(f"{reason}; reconnecting in {pause:.1f} s …")

    def show(self, event: "Event") -> None:
        """Print one event. Raises `Diverged` where words that were printed are not part of the answer any more."""
        from headwater import events
        from headwater.answer import is_token

        if is_token(event):
            self._last = time.monotonic()
            self._first = self._first or self._last
        if isinstance(event, events.TextDelta | events.ReasoningDelta | events.ToolCallDelta):
            self._deltas += 1
        if isinstance(event, events.Start):
            self._introduce(event.model)
        if self._as_json:
            import msgspec

            place = {"offset": self.offset} if self._in_full else {}
            self._print(json.dumps(msgspec.to_builtins(event) | place) + "\n")
        else:
            self._show_text(event)

    @property
    def offset(self) -> str:
        """Where the answer can be read on, as the server writes it."""
        return write(self.answer.offset, self.answer.id) if self.answer is not None else ""

    def _show_text(self, event: "Event") -> None:
        from headwater import events

        match event:
            case events.TextDelta(text):
                self._shown += len(text)
                self._print(text)
            case events.Continued():
                self._go_on(event)
            case events.ReasoningDelta(text) | events.ToolCallDelta(_, text) | events.ToolResult(_, text):
                if self._in_full:
                    self._murmur((type(event), getattr(event, "id", "")), text)
                elif self._deltas == 1 and isinstance(event, events.ReasoningDelta):
                    self.note("thinking …")
            case events.ToolCallStart(_, name):
                self.note(f"calls {name}")
            case events.Start() | events.Metadata() | events.ToolCallEnd() | events.Unknown():
                pass
            case events.Finish() | events.Stop() | events.Error():
                pass  # `end` prints it
            case _:
                assert_never(event)

    def _go_on(self, seam: "Continued") -> None:
        """Note a seam on a terminal. Words that a dead server had not stored are followed by the whole text so far."""
        text = self.answer.text if self.answer is not None else ""
        taken_back = len(text) != self._shown
        if taken_back and not self._terminal:
            raise Diverged.at(self.offset)
        if sys.stderr.isatty():
            who = "server" if seam.cause == "server" else "provider"
            how = "the answer so far, and how it goes on" if taken_back else "the answer goes on"
            self._murmur((type(seam), ""), f"[the {who} broke off here; {how}:]")
        if taken_back:
            self._shown = len(text)
            self._print(text)

    def end(self, answer: "Answer") -> None:
        """Print how the answer ended, and how fast it was."""
        from headwater import events

        if self._mid_line:
            self._print("\n")
        match answer.ending:
            case events.Finish("length"):
                self.note("cut at the length limit")
            case events.Finish("content_filter"):
                self.note("ended by the provider's content filter")
            case events.Stop():
                self.note("stopped")
            case events.Error(_, message):
                self.fail(message)
            case events.Finish(reason, usage) if self._in_full:
                tokens = f"; {usage.input_tokens} tokens in, {usage.output_tokens} out" if usage else ""
                cost = f"; ${usage.cost:.6f}" if usage and usage.cost is not None else ""
                self.note(f"finished: {reason}{tokens}{cost}")
            case events.Finish() | None:
                pass
            case _:
                assert_never(answer.ending)
        if self._first is not None and not self._in_full:  # when a follower came says nothing about the model
            self.note(self._speed(answer))

    def note(self, text: str) -> None:
        """Print a remark, in brackets."""
        self._aside(f"[{text}]")

    def fail(self, text: str) -> None:
        """Print why there is no answer, or only a part of it."""
        self._aside(f"headwater: {sentence(text)}")

    def _aside(self, text: str) -> None:
        self._break_line()
        print(text.translate(UNSAFE), file=sys.stderr, flush=True)

    def _murmur(self, kind: "tuple[type[Event], str]", text: str) -> None:
        """Print a piece of what is not the answer, dimmed where that can be seen."""
        if self._beside != kind:
            self._break_line()
        self._beside, text = kind, text.translate(UNSAFE)
        print(f"\x1b[2m{text}\x1b[0m" if sys.stderr.isatty() else text, end="", file=sys.stderr, flush=True)

    def _break_line(self) -> None:
        """Begin a line on standard error, even if standard output is in mid-line on the same terminal."""
        if self._beside is not None or (self._mid_line and self._shared):
            print(file=sys.stderr, flush=True)
        self._beside, self._mid_line = None, self._mid_line and not self._shared

    def _introduce(self, model: str) -> None:
        about = self.about
        if about is not None and about.demo and about.model == model and sys.stderr.isatty():
            self.note(f"demo model: {about.notice}" if about.notice else f"{model} is a demo model")

    def _speed(self, answer: "Answer") -> str:
        first = (self._first or self._sent) - self._sent
        words = f"first token after {first:.2f} s"
        if "; hit" in answer.cache_status:
            return words  # the speed of a replay is not that of the model
        counted = answer.usage.output_tokens if answer.usage is not None else 0
        tokens, about = (counted, "") if counted else (self._deltas, "about ")
        taken = self._last - self._sent - first
        return f"{words}, {about}{(tokens - 1) / taken:.1f} tokens/s" if tokens > 1 and taken > 0 else words

    def _print(self, text: str) -> None:
        if self._terminal:
            text = text.translate(UNSAFE)
        if text:
            if self._beside is not None:
                self._break_line()
            sys.stdout.write(text)
            sys.stdout.flush()
            self._mid_line = not text.endswith("\n")


def _age(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

"""`headwater ask`: ask one question and print the answer as it arrives."""

import asyncio
import json
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from headwater.errors import HeadwaterError, RequestError

if TYPE_CHECKING:
    from headwater.client import About, Answer, Client
    from headwater.events import Ending, Event, Usage

FAILED, PARTIAL, INTERRUPTED = 1, 3, 130
"""Exit codes: failed; stopped or truncated; interrupted by Ctrl-C, as in shells."""

PARTING = 5.0
"""Seconds that Ctrl-C waits for the server to confirm the stop: 2 s for the status line and 2 s for the stop."""

_UNSAFE = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
"""Control characters: a model must not move the cursor or retitle the terminal."""


class Asked(NamedTuple):
    """The parsed command line."""

    question: str
    url: str
    model: str | None
    no_cache: bool
    as_json: bool


def ask(
    question: str = typer.Argument(None, help="The question; - or nothing: read it from standard input."),
    url: str = typer.Option("http://127.0.0.1:8000", help="Address of the server."),
    model: str = typer.Option(None, help="Model to ask, one of those the server offers."),
    no_cache: bool = typer.Option(False, "--no-cache", help="Bypass the cache."),
    as_json: bool = typer.Option(False, "--json", help="Print the events, one JSON object per line."),
) -> None:
    """Ask a running server and print the answer as it arrives. Ctrl-C stops the answer on the server too.

    `headwater serve` treats every caller as the same user, so Ctrl-C stops the answer for everyone reading it.

    Exit status: 0 finished, 1 failed, 3 stopped or truncated, 130 interrupted.
    """
    try:
        asked = Asked(_question(question), url, model, no_cache, as_json)
        code = asyncio.run(_converse(asked, Teller(as_json)))
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise typer.Exit(code)


def _question(given: str | None) -> str:
    if given is not None and given != "-":
        return given
    if given is None and sys.stdin.isatty():
        raise typer.BadParameter('there is no question; write it as: headwater ask "Why is the sky blue?"')
    return sys.stdin.buffer.read().decode("utf-8", "replace").strip()


async def _converse(asked: Asked, teller: "Teller") -> int:
    # Here and not at the top, so that `headwater --help` does not wait for an HTTP client.
    from headwater.client import Client, NotHeadwater, NothingListens

    try:
        async with Client(asked.url, on_retry=teller.retrying) as client:
            with suppress(NotHeadwater, RequestError):  # an app that includes our routes has no /api/about
                teller.about = await client.about()
            return await _stream(client, asked, teller)
    except NothingListens as error:
        teller.fail(f"{error}; start it with: headwater serve")
    except HeadwaterError as error:
        wait = "" if error.retry_after is None else f" (try again in {error.retry_after:g} s)"
        teller.fail(f"{error}{wait}")
    return FAILED


async def _stream(client: "Client", asked: Asked, teller: "Teller") -> int:
    # A separate task, so that Ctrl-C does not cancel the connection that delivers the rest of the answer.
    reading = asyncio.create_task(_read(client, asked, teller))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        await _stop(reading, teller)
        return INTERRUPTED
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(client: "Client", asked: Asked, teller: "Teller") -> int:
    messages = [{"role": "user", "content": asked.question}]
    teller.begin()
    answer = await client.chat(messages, model=asked.model, no_cache=asked.no_cache)
    teller.attached(answer)
    async for event in answer:
        teller.tell(event)
    teller.end(answer)
    return _exit_code(answer.ending)


async def _stop(reading: "asyncio.Task[int]", teller: "Teller") -> None:
    """Stop the answer on the server, and print what still arrives."""
    try:
        async with asyncio.timeout(PARTING):
            arrived = asyncio.create_task(teller.arrived.wait())
            await asyncio.wait({reading, arrived}, return_when=asyncio.FIRST_COMPLETED)
            arrived.cancel()
            if teller.answer is None or reading.done():
                return
            if await teller.answer.stop() == "open":
                teller.note("others still read this answer; it goes on")
                return
            await asyncio.wait({reading})
    except (HeadwaterError, TimeoutError) as error:
        teller.fail(f"the server did not confirm that it has stopped: {error or 'no answer'}")


def _exit_code(ending: "Ending | None") -> int:
    from headwater.events import Error, Finish, Stop

    match ending:
        case Finish():
            return 0
        case Stop() | Error(code="truncated"):
            return PARTIAL
        case _:
            return FAILED


class Teller:
    """Writes the answer to standard output as it arrives, and remarks about it to standard error."""

    def __init__(self, as_json: bool) -> None:
        self.about: About | None = None
        self.answer: Answer | None = None
        self.arrived = asyncio.Event()
        """Set once the answer's location is known, so that it can be stopped."""
        self._as_json = as_json
        self._terminal = sys.stdout.isatty()
        self._asked = self._last = time.monotonic()
        self._first: float | None = None
        self._pieces = 0
        self._mid_line = False
        for stream in (sys.stdout, sys.stderr):
            reconfigure: Any = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="replace")  # a terminal that cannot show a character gets `?`, not a traceback

    def begin(self) -> None:
        """Start the clock: the question is being sent."""
        self._asked = time.monotonic()

    def attached(self, answer: "Answer") -> None:
        """The server accepted the question; note whether the answer is cached or shared."""
        self.answer = answer
        self.arrived.set()
        if "; hit" in answer.cache_status:
            self.note(f"cached, {_age(answer.age or 0)} old")
        elif "; collapsed" in answer.cache_status:
            self.note("joined the same question, which is being answered")

    def retrying(self, reason: str, pause: float) -> None:
        """A connection failed and will be retried after `pause` seconds."""
        self.note(f"{reason}; reconnecting in {pause:.1f} s …")

    def tell(self, event: "Event") -> None:
        """Print one event."""
        from headwater import events

        if isinstance(event, events.TextDelta | events.ReasoningDelta):
            self._last = time.monotonic()
            self._first = self._first or self._last
            self._pieces += 1
        if isinstance(event, events.Start):
            self._introduce(event.model)
        if self._as_json:
            import msgspec

            self._print(json.dumps(msgspec.to_builtins(event)) + "\n")
            return
        match event:
            case events.TextDelta(text):
                self._print(text)
            case events.ToolCallStart(_, name):
                self.note(f"calls {name}")
            case events.ReasoningDelta() if self._pieces == 1:
                self.note("thinking …")
            case _:
                pass

    def end(self, answer: "Answer") -> None:
        """Note how the answer ended, and its speed."""
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
            case _:
                pass
        if self._first is not None:
            self.note(self._speed(answer.ending.usage if isinstance(answer.ending, events.Finish) else None))

    def note(self, text: str) -> None:
        """Print a remark to standard error."""
        self._aside(f"[{text}]")

    def fail(self, text: str) -> None:
        """Print a failure to standard error."""
        self._aside(f"headwater: {text}")

    def _aside(self, text: str) -> None:
        # On its own line, even if both streams share a terminal.
        begin = "\n" if self._mid_line and self._terminal and sys.stderr.isatty() else ""
        self._mid_line = self._mid_line and not begin
        print(f"{begin}{text.translate(_UNSAFE)}", file=sys.stderr, flush=True)

    def _introduce(self, model: str) -> None:
        about = self.about
        if about is not None and about.demo and about.model == model and sys.stderr.isatty():
            self.note(f"demo model: {about.notice}" if about.notice else f"{model} is a demo model")

    def _speed(self, usage: "Usage | None") -> str:
        first = (self._first or self._asked) - self._asked
        said = f"first token after {first:.2f} s"
        if self.answer is not None and "; hit" in self.answer.cache_status:
            return said  # the speed of a replay says nothing about the model
        tokens, about = (usage.output_tokens, "") if usage and usage.output_tokens else (self._pieces, "about ")
        taken = self._last - self._asked - first
        return f"{said}, {about}{(tokens - 1) / taken:.1f} tokens/s" if tokens > 1 and taken > 0 else said

    def _print(self, text: str) -> None:
        if self._terminal:
            text = text.translate(_UNSAFE)
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
            self._mid_line = not text.endswith("\n")


def _age(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

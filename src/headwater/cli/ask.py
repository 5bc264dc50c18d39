"""`headwater ask`: asks one question and prints the answer as it arrives."""

import asyncio
import json
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

import typer

from headwater.cli.terminal import UNSAFE, Terminal
from headwater.errors import HeadwaterError, RequestError, sentence

if TYPE_CHECKING:
    from headwater.client import About, Answer, Client
    from headwater.events import Ending, Event
    from headwater.settings import Settings

FAILED, PARTIAL, INTERRUPTED = 1, 3, 130
"""Exit codes: no answer, or one that failed; an answer that was stopped or truncated; Ctrl-C, as in shells."""

STOPPING = 5.0
"""Seconds for which Ctrl-C waits for the server to confirm the stop; a server takes 4 at most."""


class Options(NamedTuple):
    """The arguments of the command line."""

    question: str
    url: str
    model: str | None
    no_cache: bool
    as_json: bool
    api_key: str | None


def ask(
    question: str = typer.Argument(None, help="The question; with - or without one it is read from standard input."),
    url: str = typer.Option(
        None, help="Address of the server; default: where `headwater serve` listens, by HEADWATER_HOST and _PORT."
    ),
    model: str = typer.Option(None, help="A model other than the server's default."),
    no_cache: bool = typer.Option(False, "--no-cache", help="Bypass the cache."),
    as_json: bool = typer.Option(False, "--json", help="Print the events, one JSON object a line."),
) -> None:
    """Ask a running server and print the answer as it arrives. Ctrl-C also stops the answer on the server.

    A server that needs a key gets HEADWATER_API_KEY, from the environment or `.env`; an option would be shown by ps.
    Ctrl-C stops the answer for all who read it with the same key. A server without keys takes all for one.

    Exit codes: 0 finished, 1 no answer or failed, 3 stopped or truncated.
    """
    try:
        settings = Terminal().settings({})
        key = settings.api_key.get_secret_value() if settings.api_key else None
        options = Options(_question(question), url or _address(settings), model, no_cache, as_json, key)
        code = asyncio.run(_run(options, Printer(as_json)))
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise typer.Exit(code)


def _address(settings: "Settings") -> str:
    """Where `headwater serve` listens when it is started in this folder and environment."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - such a server is asked over loopback
    host = anywhere.get(settings.host, settings.host)
    if settings.port == 0:
        raise typer.BadParameter("HEADWATER_PORT is 0, any free port; give the one that the server printed with --url")
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _question(given: str | None) -> str:
    if given is not None and given != "-":
        return given
    if given is None and sys.stdin.isatty():
        raise typer.BadParameter('there is no question; write it as: headwater ask "Why is the sky blue?"')
    return sys.stdin.buffer.read().decode("utf-8", "replace").strip()


async def _run(options: Options, printer: "Printer") -> int:
    # Imported here, so that `headwater --help` does not wait for an HTTP client.
    from headwater.client import Client, NotHeadwater, NothingListens

    try:
        async with Client(options.url, api_key=options.api_key, on_retry=printer.retrying) as client:
            with suppress(NotHeadwater, RequestError):  # an app that includes our routes has no /api/about
                printer.about = await client.about()
            return await _stream(client, options, printer)
    except NothingListens as error:
        printer.fail(f"{error}. Start a server there with `headwater serve`, or name another one with --url")
    except HeadwaterError as error:
        wait = "" if error.retry_after is None else f" Try again in {error.retry_after:g} s."
        key = " Set HEADWATER_API_KEY to a key of this server." if error.status == 401 else ""
        printer.fail(f"{sentence(str(error))}{key}{wait}")
    return FAILED


async def _stream(client: "Client", options: Options, printer: "Printer") -> int:
    # A separate task: Ctrl-C cancels this one, and the connection must stay open for the rest of the answer.
    reading = asyncio.create_task(_read(client, options, printer))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        await _stop(reading, printer)
        return INTERRUPTED
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(client: "Client", options: Options, printer: "Printer") -> int:
    messages = [{"role": "user", "content": options.question}]
    printer.begin()
    answer = await client.chat(messages, model=options.model, no_cache=options.no_cache)
    printer.attached(answer)
    async for event in answer:
        printer.show(event)
    printer.end(answer)
    return _exit_code(answer.ending)


async def _stop(reading: "asyncio.Task[int]", printer: "Printer") -> None:
    """Stop the answer on the server, and print what arrives until then."""
    try:
        async with asyncio.timeout(STOPPING):
            arrived = asyncio.create_task(printer.arrived.wait())
            await asyncio.wait({reading, arrived}, return_when=asyncio.FIRST_COMPLETED)
            arrived.cancel()
            if printer.answer is None or reading.done():
                return
            if await printer.answer.stop() == "open":
                printer.note("others still read this answer; it goes on")
                return
            await asyncio.wait({reading})
    except (HeadwaterError, TimeoutError) as error:
        printer.fail(f"the server did not confirm the stop: {error or 'no answer'}")


def _exit_code(ending: "Ending | None") -> int:
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
    """Writes the answer to standard output as it arrives, and everything about it to standard error."""

    def __init__(self, as_json: bool) -> None:
        self.about: About | None = None
        self.answer: Answer | None = None
        self.arrived = asyncio.Event()
        """Set when the location of the answer is known, so that the answer can be stopped."""
        self._as_json = as_json
        self._terminal = sys.stdout.isatty()
        self._sent = self._last = time.monotonic()
        self._first: float | None = None
        self._deltas = 0
        self._mid_line = False
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
        """Print one event."""
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

            self._print(json.dumps(msgspec.to_builtins(event)) + "\n")
        else:
            self._show_text(event)

    def _show_text(self, event: "Event") -> None:
        from headwater import events

        match event:
            case events.TextDelta(text):
                self._print(text)
            case events.ReasoningDelta():
                if self._deltas == 1:
                    self.note("thinking …")
            case events.ToolCallStart(_, name):
                self.note(f"calls {name}")
            case events.Start() | events.Metadata() | events.Unknown():
                pass
            case events.ToolCallDelta() | events.ToolCallEnd() | events.ToolResult():
                pass
            case events.Finish() | events.Stop() | events.Error():
                pass  # `end` prints it
            case _:
                assert_never(event)

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
            case events.Finish() | None:
                pass
            case _:
                assert_never(answer.ending)
        if self._first is not None:
            self.note(self._speed(answer))

    def note(self, text: str) -> None:
        """Print a remark, in brackets."""
        self._aside(f"[{text}]")

    def fail(self, text: str) -> None:
        """Print why there is no answer, or only a part of it."""
        self._aside(f"headwater: {sentence(text)}")

    def _aside(self, text: str) -> None:
        # On a line of its own, even if standard output is in mid-line on the same terminal.
        begin = "\n" if self._mid_line and self._terminal and sys.stderr.isatty() else ""
        self._mid_line = self._mid_line and not begin
        print(f"{begin}{text.translate(UNSAFE)}", file=sys.stderr, flush=True)

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
            sys.stdout.write(text)
            sys.stdout.flush()
            self._mid_line = not text.endswith("\n")


def _age(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

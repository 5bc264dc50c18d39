"""`headwater ask`: asks one question and prints the answer as it arrives."""

import asyncio
import sys
from typing import TYPE_CHECKING, NamedTuple

import typer

from headwater.cli.caller import AS_JSON, URL, Caller, ends
from headwater.cli.printer import INTERRUPTED, Printer, exit_code
from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from headwater.client import Client

STOPPING = 5.0
"""Seconds for which Ctrl-C waits for the server to confirm the stop; a server takes 4 at most."""


class _Question(NamedTuple):
    """What the command line asks."""

    text: str
    model: str | None
    no_cache: bool

    async def ask(self, client: "Client", printer: Printer) -> int:
        # A separate task: Ctrl-C cancels this one, and the connection must stay open for the rest of the answer.
        reading = asyncio.create_task(self._read(client, printer))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await _stop(reading, printer)
            return INTERRUPTED
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, client: "Client", printer: Printer) -> int:
        printer.begin()
        answer = await client.chat(self.text, model=self.model, no_cache=self.no_cache)
        printer.attached(answer)
        async for event in answer:
            printer.show(event)
        printer.end(answer)
        return exit_code(answer.ending)


def ask(
    question: str = typer.Argument(None, help="The question; with - or without one it is read from standard input."),
    url: str = URL,
    model: str = typer.Option(None, help="A model other than the server's default."),
    no_cache: bool = typer.Option(False, "--no-cache", help="Bypass the cache."),
    as_json: bool = AS_JSON,
) -> None:
    """Ask a running server and print the answer as it arrives. Ctrl-C also stops the answer on the server.

    A server that needs a key gets HEADWATER_API_KEY, from the environment or `.env`; an option would be shown by ps.
    Ctrl-C stops the answer for all who read it with the same key. A server without keys takes all for one.

    Exit codes: 0 finished, 1 no answer or failed, 3 stopped or truncated.
    """
    ends(lambda: Caller.of(url, Printer(as_json)).call(_Question(_text(question), model, no_cache).ask))


def _text(given: str | None) -> str:
    if given is not None and given != "-":
        return given
    if given is None and sys.stdin.isatty():
        raise typer.BadParameter('there is no question; write it as: headwater ask "Why is the sky blue?"')
    return sys.stdin.buffer.read().decode("utf-8", "replace").strip()


async def _stop(reading: "asyncio.Task[int]", printer: Printer) -> None:
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

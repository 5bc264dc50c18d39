"""`headwater tail`: follows an answer by the id of its log, from any offset to its ending."""

import sys
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

import typer

from headwater.cli.caller import AS_JSON, URL, Caller, ends
from headwater.cli.printer import Printer, exit_code
from headwater.errors import Diverged

if TYPE_CHECKING:
    from headwater.client import Client

LOGS = "/api/streams/"


class _Place(NamedTuple):
    """Where to read, as the command line has it."""

    id: str
    after: str | None

    async def follow(self, client: "Client", printer: Printer) -> int:
        answer = await client.attach(self.id, self.after)
        printer.attached(answer)
        try:
            async for event in answer:
                printer.show(event)
        finally:
            if answer.ending is None and not isinstance(sys.exc_info()[1], Diverged):
                printer.note(f"read on with: headwater tail {answer.id} --after {printer.offset}")
        printer.end(answer)
        return exit_code(answer.ending)


def tail(
    id: str = typer.Argument(help="Id of the log: the `Location` of its response, whole or the last part alone."),
    after: str = typer.Option(None, help="Offset to read on after, the `id` of an event; default: the beginning."),
    url: str = URL,
    as_json: bool = AS_JSON,
) -> None:
    """Follow a running answer or print a finished one, whichever client asked for it. Ctrl-C does not stop the answer.

    The answer's text goes to standard output; reasoning, tool calls and their results go to standard error. A broken
    connection is resumed. A server that needs a key gets HEADWATER_API_KEY, from the environment or `.env`.

    Exit codes: 0 finished, 1 no answer or failed, 3 stopped or truncated.
    """
    prefix = id.rpartition(LOGS)[0]  # the server, if the id is a whole address, and the prefix of its routes
    caller = Caller.of(prefix if "://" in prefix else url, Printer(as_json, in_full=True))
    caller = caller._replace(url=urljoin(caller.url, prefix))
    ends(lambda: caller.call(_Place(id, after).follow))

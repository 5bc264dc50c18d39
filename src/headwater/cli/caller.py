"""The command line as a caller: which server it asks, with which key, and how it prints a failure."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import typer

from headwater.cli.access import addresses
from headwater.cli.printer import FAILED, INTERRUPTED, Printer
from headwater.cli.terminal import Terminal
from headwater.errors import HeadwaterError, RequestError, sentence

if TYPE_CHECKING:
    from headwater.client import Client
    from headwater.client.connection import Server

URL: Any = typer.Option(
    None, "--url", help="Address of the server; default: where `headwater serve` listens, by HEADWATER_HOST and _PORT."
)
AS_JSON: Any = typer.Option(False, "--json", help="Print the events, one JSON object a line.")


def ends(begin: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Begin a call, and end the command with its exit code, or with that of Ctrl-C."""
    try:
        code = asyncio.run(begin())
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise typer.Exit(code)


class Caller(NamedTuple):
    """Who calls which server, and where the answer is printed."""

    url: str
    api_key: str | None
    printer: Printer
    operator_key: str | None = None

    @classmethod
    def of(cls, url: str | None, printer: Printer) -> "Caller":
        """With the key of the environment or of `.env`; without an address, the server that they name."""
        settings = Terminal().settings({})
        key = settings.api_key.get_secret_value() if settings.api_key else None
        if not url and settings.port == 0:
            zero = "HEADWATER_PORT is 0, any free port; pass the address that the server printed with --url"
            raise typer.BadParameter(zero)
        # Where `headwater serve` listens when it is started in this folder and environment.
        operator = settings.operator_key.get_secret_value() if settings.operator_key else None
        return cls(url or addresses(settings.host, settings.port)[0], key, printer, operator)

    async def call(self, action: Callable[["Client", Printer], Awaitable[int]]) -> int:
        """Act as a client of the server. Returns the exit code of the action, or prints why it failed."""
        # Imported here, so that `headwater --help` does not wait for an HTTP client.
        from headwater.client import Client, NotHeadwater

        async def ask() -> int:
            async with Client(self.url, api_key=self.api_key, on_retry=self.printer.retrying) as client:
                with suppress(NotHeadwater, RequestError):  # an app that includes our routes has no /api/about
                    self.printer.about = await client.about()
                return await action(client, self.printer)

        return await self._explained(ask(), "HEADWATER_API_KEY")

    async def operate(self, action: Callable[["Server"], Awaitable[int]]) -> int:
        """Act as the server's operator, as `call` does as a client."""
        from headwater.client.connection import Server
        from headwater.client.patience import Patience

        headers = {} if self.operator_key is None else {"Authorization": f"Bearer {self.operator_key}"}

        async def act() -> int:
            server = Server(self.url, headers, Patience())
            try:
                return await action(server)
            finally:
                await server.aclose()

        return await self._explained(act(), "HEADWATER_OPERATOR_KEY")

    async def _explained(self, work: Awaitable[int], key: str) -> int:
        from headwater.client import NothingListens

        try:
            return await work
        except NothingListens as error:
            self.printer.fail(f"{error}. Start a server there with `headwater serve`, or name another one with --url")
        except HeadwaterError as error:
            wait = "" if error.retry_after is None else f" Try again in {error.retry_after:g} s."
            hint = f" Set {key} to a key of this server." if error.status == 401 else ""
            self.printer.fail(f"{sentence(str(error))}{hint}{wait}")
        return FAILED

"""`headwater doctor`: whether a server would work with these settings, and whether a proxy in front lets it stream."""

import asyncio
from typing import TYPE_CHECKING

import typer

from headwater.cli.terminal import Terminal

if TYPE_CHECKING:
    from headwater.settings import Settings
    from headwater.wiring.doctor import Finding

STYLES = {"ok": "green", "warning": "yellow", "fault": "red"}


def doctor(
    url: str = typer.Option(None, "--url", help="Address of a running server, as its users know it, to check too."),
    ask: bool = typer.Option(False, "--ask", help="Ask the model for a token, which may cost a fraction of a cent."),
) -> None:
    """Check settings, store, model and files here; with --url also what the proxies in front of a server do to streams.

    One line for each check: ok, warning or fault, with what to do. Exit code 1 if there is a fault.
    """
    terminal = Terminal()
    try:
        settings = terminal.settings({})
    except typer.Exit as wrong:  # each fault was named
        raise typer.Exit(1) from wrong
    raise typer.Exit(1 if asyncio.run(_examine(terminal, settings, url, ask)) else 0)


async def _examine(terminal: Terminal, settings: "Settings", url: str | None, ask: bool) -> int:
    from headwater.cli.worker import raise_file_limit
    from headwater.settings import export_env_file
    from headwater.wiring.doctor import examine
    from headwater.wiring.probe import probe

    export_env_file()
    faults = 0
    async for found in examine(settings, raise_file_limit(), ask):
        faults += _tell(terminal, found)
    if url:
        key = settings.api_key.get_secret_value() if settings.api_key else None
        async for found in probe(url, key):
            faults += _tell(terminal, found)
    return faults


def _tell(terminal: Terminal, found: "Finding") -> bool:
    terminal.say((f"{found.level:<9}", STYLES[found.level]), f"{found.what:<14}{found.words}")
    return found.level == "fault"

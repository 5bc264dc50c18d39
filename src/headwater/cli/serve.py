"""`headwater serve`: serve the page and the API on one address."""

import errno
import socket
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.settings import Settings
    from headwater.wiring.models import Choice


def serve(
    model: str = typer.Option(None, help="LangChain name (openai:gpt-4o-mini), local, or echo."),
    store: str = typer.Option(None, help="sqlite:///path, redis://…, upstash: or memory:."),
    host: str = typer.Option(None, help="Address to listen on [127.0.0.1]."),
    port: int = typer.Option(None, help="Port to listen on [8000]; 0: any free port."),
    workers: int = typer.Option(None, help="Number of server processes, which share the port and the store [1]."),
    insecure: bool = typer.Option(None, "--insecure", help="Without a key, let everybody in who reaches the address."),
    setting: list[str] = typer.Option(
        [], "--set", metavar="NAME=VALUE", help="Any other setting, such as cache_ttl=60; see docs/settings.md."
    ),
) -> None:
    """Serve the chat page and the API. Every option can also be set in the environment: HEADWATER_MODEL, …"""
    given: dict[str, object] = {"model": model, "store": store, "host": host, "port": port, "workers": workers}
    given["insecure"] = insecure
    console = Console(stderr=True)
    try:
        # Empty options count as absent, as in the environment: a script may pass on an unset variable.
        _run(
            console,
            {name: value for name, value in given.items() if value not in (None, "")} | dict(map(_pair, setting)),
        )
    except HeadwaterError as error:
        console.print(f"[red]headwater cannot start:[/red] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error


def _pair(written: str) -> tuple[str, str]:
    name, equals, value = written.partition("=")
    if not equals:
        raise typer.BadParameter(f"--set {written}: write it as NAME=VALUE, e.g. --set lease=30")
    name = name.lower().removeprefix("headwater_")
    if name in ("api_keys", "api_key"):
        raise typer.BadParameter(f"--set {name}: a key on a command line is shown by ps; set HEADWATER_{name.upper()}")
    return name, value


def _run(console: Console, given: dict[str, Any]) -> None:
    # Imported here, so that `headwater --help` does not wait half a second for the web framework.
    from pydantic import ValidationError

    from headwater.cli.access import announce_addresses, announce_keys
    from headwater.cli.supervisor import Supervisor
    from headwater.cli.worker import Factory, Worker
    from headwater.settings import Settings
    from headwater.wiring.keys import keys_of
    from headwater.wiring.models import choose
    from headwater.wiring.stores import describe_store, open_store

    if unknown := sorted(set(given) - set(Settings.model_fields)):
        raise typer.BadParameter(f"there is no setting {unknown[0]}; docs/settings.md has them all")
    try:
        settings = Settings(**given)
    except ValidationError as error:
        for fault in error.errors():
            console.print(f"[red]setting {'.'.join(map(str, fault['loc']))}:[/red] {fault['msg']}", highlight=False)
        raise typer.Exit(2) from error
    open_store(settings)  # reports an invalid store URL now, not in the traceback of each worker
    keys = keys_of(settings)
    choice = choose(settings)
    if choice.model == "local":
        settings = _with_weights(console, settings)
        choice = choose(settings)
    listening = _bind(console, settings.host, settings.port)
    announce_addresses(console, settings, listening.getsockname()[1])
    _announce(console, settings, choice, describe_store(settings))
    announce_keys(console, settings, keys)
    if settings.workers > 1:
        raise typer.Exit(Supervisor(settings, listening).run())
    Worker(Factory(settings)).run([listening])


def _bind(console: Console, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # IPPROTO_TCP is explicit because asyncio sets TCP_NODELAY only on sockets that name it. Without, Nagle's algorithm
    # can delay a token by 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        return listening
    except OSError as error:
        listening.close()
        another = ". Try --port 8001." if error.errno in (errno.EADDRINUSE, errno.EACCES) else ""
        console.print(
            f"[red]cannot listen on {host}:{port}:[/red] {error.strerror}{another}", highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from error


def _with_weights(console: Console, settings: "Settings") -> "Settings":
    """Fetch the demo model's weights, or fall back to the echo model.

    Raises `WeightsUnavailable` instead of falling back if the settings name the embedded model.
    """
    from headwater.models.embedded import weights

    try:
        _fetch(console, settings.data_dir)
    except weights.WeightsUnavailable as error:
        if settings.model is not None:
            raise
        console.print(
            f"[red]The demo model could not be downloaded, so the echo model answers:[/red] {error}", highlight=False
        )
        return settings.model_copy(update={"model": "echo"})
    return settings


def _fetch(console: Console, data_dir: "Path") -> None:
    """Download the demo model's weights with a progress bar, unless present. Raises `WeightsUnavailable`."""
    from headwater.models.embedded import weights
    from headwater.models.embedded.demo import DEMO

    if weights.locate(data_dir) is not None:
        return
    what = f"{DEMO.name} ({DEMO.licence}), once ({DEMO.megabytes} MB)"
    console.print(
        f"Downloading the demo model, {what}. Set OPENAI_API_KEY or HEADWATER_MODEL to use another model.",
        highlight=False,
        soft_wrap=True,
    )
    with Progress(
        "{task.description}", BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=console
    ) as bar:
        task = bar.add_task(DEMO.name)
        weights.fetch(data_dir, lambda done, total: bar.update(task, completed=done, total=total))


def _streams() -> str:
    """How many streams the limit on open files allows."""
    from headwater.cli.worker import raise_file_limit
    from headwater.web.capacity import streams

    files = raise_file_limit()
    return f"{streams(files):,} open streams ({files:,} open files; ulimit -Hn)"


def _announce(console: Console, settings: "Settings", choice: "Choice", store: str) -> None:
    console.print(f"  model  {choice.model}", highlight=False, soft_wrap=True)
    console.print(f"  store  {store}", highlight=False, soft_wrap=True)
    each = " in each worker" if settings.workers > 1 else ""
    console.print(f"  limit  {_streams()}{each}", highlight=False, soft_wrap=True)
    if choice.notice:
        console.print(f"  [yellow]Demo model.[/yellow] {choice.notice}", highlight=False, soft_wrap=True)

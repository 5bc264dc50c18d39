"""`headwater serve`: serve the page and the API on one address."""

import difflib
import errno
import socket
from collections.abc import Callable
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

from headwater.cli.terminal import Terminal
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
    terminal = Terminal()
    try:
        # Empty options count as absent, as in the environment: a script may pass on an unset variable.
        chosen = {name: value for name, value in given.items() if value not in (None, "")}
        _run(terminal, chosen | dict(map(_pair, setting)))
    except HeadwaterError as error:
        raise terminal.fail(str(error), "headwater cannot start", 2) from error


def _pair(written: str) -> tuple[str, str]:
    name, equals, value = written.partition("=")
    if not equals:
        raise typer.BadParameter(f"--set {written}: write it as NAME=VALUE, e.g. --set lease=30")
    name = name.lower().removeprefix("headwater_")
    return f"{name}_" if iskeyword(name) else name, value


def _run(terminal: Terminal, given: dict[str, Any]) -> None:
    # Imported here, so that `headwater --help` does not wait half a second for the web framework.
    from headwater.cli.access import announce_addresses, announce_keys
    from headwater.cli.logs import configure
    from headwater.cli.supervisor import Supervisor
    from headwater.cli.worker import Factory, Worker
    from headwater.settings import Settings
    from headwater.wiring.keys import keys_of, ways_of
    from headwater.wiring.models import catalogue, choose, prices_of
    from headwater.wiring.server import webhooks_of
    from headwater.wiring.stores import describe_store, open_store

    if unknown := sorted(set(given) - set(Settings.model_fields)):
        near = difflib.get_close_matches(unknown[0], Settings.model_fields, 1)
        hint = f"did you mean {near[0]}" if near else "docs/settings.md has them all"
        raise typer.BadParameter(f"there is no setting {unknown[0]}; {hint}")
    for name, field in Settings.model_fields.items():
        if name in given and "SecretStr" in str(field.annotation):
            variable = field.validation_alias or f"HEADWATER_{name.upper()}"
            raise typer.BadParameter(f"--set {name}: a secret on a command line is shown by ps; set {variable}")
    settings = terminal.settings(given)
    configure(settings)
    terminal.logs = settings.log_format == "json"
    # They report what is wrong now, and not in the traceback of each worker.
    open_store(settings)
    keys = keys_of(settings)
    ways_of(settings)
    prices_of(settings)
    webhooks_of(settings)
    with socket.socket(*_family(settings.host)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Before the weights: nobody should wait for a download, and learn then that the port is taken.
        _try(terminal, settings, lambda: listening.bind((settings.host, settings.port)))
        choice = choose(settings)
        catalogue(settings, choice.model)
        if choice.model == "local":
            settings = _with_weights(terminal, settings)
            choice = choose(settings)
        _try(terminal, settings, listening.listen)
        announce_addresses(terminal, settings, listening.getsockname()[1])
        _announce(terminal, settings, choice, describe_store(settings))
        announce_keys(terminal, settings, keys)
        if settings.workers > 1:
            raise typer.Exit(Supervisor(settings, listening).run())
        Worker(Factory(settings)).run([listening])


def _family(host: str) -> tuple[int, int, int]:
    # IPPROTO_TCP is explicit because asyncio sets TCP_NODELAY only on sockets that name it. Without, Nagle's algorithm
    # can delay a token by 40 ms.
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), socket.SOCK_STREAM, socket.IPPROTO_TCP


def _try(terminal: Terminal, settings: "Settings", step: Callable[[], object]) -> None:
    """Bind or listen; where another program has the port, say so and exit."""
    try:
        step()
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            why += "; another program uses this port, perhaps a `headwater serve` that still runs"
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            other = settings.port + 1 if settings.port >= 1024 else 8000
            why += f". Try --port {other}, or HEADWATER_PORT={other} in front of the command"
        raise terminal.fail(why, f"cannot listen on {settings.host}:{settings.port}", 1) from error


def _with_weights(terminal: Terminal, settings: "Settings") -> "Settings":
    """Fetch the demo model's weights, or fall back to the echo model.

    Raises `WeightsUnavailable` instead of falling back if the settings name the embedded model.
    """
    from headwater.models.embedded import weights

    try:
        _fetch(terminal, settings.data_dir)
    except weights.WeightsUnavailable as error:
        if settings.model is not None:
            raise
        terminal.fail(str(error), "The demo model could not be downloaded, so the echo model answers", 0)
        return settings.model_copy(update={"model": "echo"})
    return settings


def _fetch(terminal: Terminal, data_dir: "Path") -> None:
    """Download the demo model's weights with a progress bar, unless present. Raises `WeightsUnavailable`."""
    from headwater.models.embedded import weights
    from headwater.models.embedded.demo import DEMO

    if weights.locate(data_dir) is not None:
        return
    what = f"{DEMO.name} ({DEMO.licence}), once ({DEMO.megabytes} MB)"
    terminal.say(f"Downloading the demo model, {what}. Set OPENAI_API_KEY or HEADWATER_MODEL to use another model.")
    with Progress(
        *("{task.description}", BarColumn(), TaskProgressColumn(), TimeRemainingColumn()),
        console=terminal.console,
        disable=terminal.logs,
    ) as bar:
        task = bar.add_task(DEMO.name)
        weights.fetch(data_dir, lambda done, total: bar.update(task, completed=done, total=total))


def _announce(terminal: Terminal, settings: "Settings", choice: "Choice", store: str) -> None:
    from headwater.cli.worker import raise_file_limit
    from headwater.web.capacity import streams

    each = " in each worker" if settings.workers > 1 else ""
    files = raise_file_limit()
    terminal.say(f"  model  {choice.model}")
    terminal.say(f"  store  {store}")
    terminal.say(f"  limit  {streams(files):,} open streams ({files:,} open files; ulimit -Hn){each}")
    if choice.notice:
        terminal.say(("  Demo model.", "yellow"), f" {choice.notice}")

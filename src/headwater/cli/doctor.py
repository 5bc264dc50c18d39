"""`headwater doctor`: whether a server would work with these settings, and whether a proxy in front lets it stream."""

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from headwater.cli.terminal import Terminal

if TYPE_CHECKING:
    import httpx

    from headwater.settings import Settings
    from headwater.wiring.doctor import Finding

PROBE = "/api/stream"
TICK = 0.2
"""Seconds between the five events of the probe."""
STYLES = {"ok": "green", "warning": "yellow", "fault": "red"}


def doctor(
    url: str = typer.Option(None, "--url", help="Address of a running server, as its users have it, to look at too."),
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

    export_env_file()
    faults = 0
    async for found in examine(settings, raise_file_limit(), ask):
        faults += _tell(terminal, found)
    if url:
        key = settings.api_key.get_secret_value() if settings.api_key else None
        for found in await asyncio.to_thread(lambda: [*probe(url.rstrip("/"), key)]):
            faults += _tell(terminal, found)
    return faults


def _tell(terminal: Terminal, found: "Finding") -> bool:
    terminal.say((f"{found.level:<9}", STYLES[found.level]), f"{found.what:<14}{found.words}")
    return found.level == "fault"


def probe(url: str, key: str | None) -> "Iterator[Finding]":
    """Read the minimal stream of a server through everything in front of it, and time its events."""
    import httpx

    from headwater.wiring.doctor import Finding

    headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip, br, zstd"}
    headers |= {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(headers=headers, timeout=30, follow_redirects=True) as client:
            ready = client.get(f"{url}/readyz")
            if not ready.is_success:
                yield Finding("fault", "server", f"{url}/readyz answers {ready.status_code}: {ready.text[:300]}")
            with client.stream("GET", f"{url}{PROBE}") as response:
                if response.status_code == 401:
                    yield Finding("fault", "stream", f"{url} needs a key: set HEADWATER_API_KEY")
                    return
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    words = f"{url}{PROBE} answers {response.status_code} and no stream; is this a Headwater?"
                    yield Finding("fault", "stream", words)
                    return
                began = time.monotonic()
                times = [time.monotonic() - began for piece in response.iter_raw() if piece]
                yield from _judged(response, times)
    except httpx.HTTPError as error:
        yield Finding("fault", "server", f"{url} cannot be read: {error}")


def _judged(response: "httpx.Response", times: list[float]) -> "Iterator[Finding]":
    from headwater.wiring.doctor import Finding

    coding = response.headers.get("content-encoding", "identity")
    if coding != "identity":
        yield Finding("fault", "compression", f"a proxy compresses streams ({coding}); leave text/event-stream out")
    spread = times[-1] - times[0] if times else 0.0
    if len(times) < 4 or spread < 2 * TICK:
        held = f"five events of a second arrived in {len(times)} pieces within {spread:.2f} s: a proxy buffers them"
        yield Finding("fault", "buffering", f"{held}; docs/deploy.md says how to turn that off")
    else:
        yield Finding("ok", "buffering", f"none: {len(times)} pieces arrived over {spread:.2f} s")
    if "no-transform" not in response.headers.get("cache-control", ""):
        words = "a proxy has taken Cache-Control: no-transform away; others behind it may buffer or compress"
        yield Finding("warning", "headers", words)
    if "x-accel-buffering" not in response.headers:
        words = "X-Accel-Buffering did not arrive; nginx takes it for itself, and one in front of that may buffer"
        yield Finding("ok" if len(times) >= 4 else "warning", "headers", words)

"""`headwater top`, `streams` and `cache`: what a running server does, for whoever operates it."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from headwater.cli.caller import URL, Caller, ends
from headwater.cli.printer import Printer
from headwater.cli.scrape import Scrape
from headwater.cli.terminal import UNSAFE, standard_output, table, write

if TYPE_CHECKING:
    from headwater.client.connection import Server

cache = typer.Typer(help="Show and purge the cache of a running server.", no_args_is_help=True)
STREAMS, CACHE = "/api/operator/streams", "/api/operator/cache"


def top(
    url: str = URL,
    interval: float = typer.Option(2.0, min=0.2, help="Seconds between two looks."),
    once: bool = typer.Option(False, "--once", help="Print one table, of all since the server began, and end."),
) -> None:
    """Watch a running server: rates, running answers, readers, hits and first tokens, by tenant.

    Shows all workers of the server. Its operator's key is HEADWATER_OPERATOR_KEY, from the environment or `.env`.
    """

    async def watch(server: "Server") -> int:
        before: Scrape | None = None
        with Live(console=standard_output(), auto_refresh=False) as live:
            while True:
                now = Scrape.parse((await server.read("GET", "/metrics")).text)
                live.update(_overview(now, before), refresh=True)
                if once:
                    return 0
                before = now
                await asyncio.sleep(interval)

    _run(url, watch)


def streams(url: str = URL) -> None:
    """List the answers that a running server generates; of several workers, those of the one that answers."""

    async def show(server: "Server") -> int:
        found = await server.get("GET", STREAMS, dict[str, Any])
        fields = ("id", "tenant", "model", "state", "age", "entries", "readers")
        rows = [[row[field] for field in fields] for row in found["streams"]]
        shown = table(*fields, rows=rows, names=4) if rows else "No answer is being generated."
        write(_of(found), shown)
        return 0

    _run(url, show)


@cache.command()
def stats(url: str = URL) -> None:
    """Show how each tenant's requests met the cache since the server began, in all its workers."""

    async def show(server: "Server") -> int:
        found = await server.get("GET", CACHE, dict[str, Any])
        rows: list[list[object]] = []
        for each in found["tenants"]:
            requests, tokens, saved = each["requests"], each["tokens"], each["saved"]
            counts = [requests.get(outcome, 0) for outcome in ("hit", "joined", "miss", "bypass")]
            share = _percent((counts[0] + counts[1]) / (sum(counts) or math.nan))
            used = [tokens.get("input", 0) + tokens.get("output", 0), saved.get("tokens", 0)]
            costs = ["–" if cost is None else f"{cost:.4f}" for cost in (each["cost"], saved["cost"])]  # no price known
            whole = [f"{count:.0f}" for count in (*counts, *used)]
            rows.append([each["tenant"], *whole[:4], share, *whole[4:], *costs, f"{saved.get('seconds', 0):.0f}"])
        met, paid = ("hits", "joined", "misses", "bypassed", "served"), ("tokens", "saved", "USD", "saved", "s saved")
        write(_of(found), table("tenant", *met, *paid, rows=rows))
        return 0

    _run(url, show)


@cache.command()
def purge(
    tenant: str = typer.Option(..., help="Tenant whose cached answers are purged."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    url: str = URL,
) -> None:
    """Let a tenant's next requests be answered anew: nothing of before is found, also by questions that run.

    Stored answers stay readable by their ids until they expire, and conversations keep their copies.
    """
    if not yes:
        typer.confirm(f"Purge the cache of tenant {tenant.translate(UNSAFE)}?", abort=True)

    async def act(server: "Server") -> int:
        found = await server.get("DELETE", f"{CACHE}?tenant={quote(tenant, safe='')}", dict[str, Any])
        write(f"Purged. Other servers and workers on the same store obey within {found['within']:g} s.")
        return 0

    _run(url, act)


def _run(url: str | None, action: Callable[["Server"], Awaitable[int]]) -> None:
    ends(lambda: Caller.of(url, Printer(False)).operate(action))


def _overview(now: Scrape, before: Scrape | None) -> Group:
    """The table of a look, with rates since the one before it; without one, with all since the server began."""
    new, seconds = now.since(before), now.at - before.at if before else math.nan
    each = "/s" if before else ""

    def rate(name: str, **labels: str) -> str:
        counted = new.total(name, **labels)
        return f"{counted / seconds:.1f}" if before else f"{counted:.0f}"

    def row(name: str, **labels: str) -> list[object]:
        requests = new.total("headwater_requests_total", **labels)
        served = sum(new.total("headwater_requests_total", outcome=outcome, **labels) for outcome in ("hit", "joined"))
        return [
            name,
            rate("headwater_requests_total", **labels),
            _percent(served / requests if requests else math.nan),
            f"{now.total('headwater_generations_running', **labels):.0f}",
            rate("headwater_tokens_total", kind="output", **labels),
            *(_seconds(new.quantile(share, **labels)) for share in (0.5, 0.99)),
            f"{cost:.4f}" if (cost := now.total("headwater_cost_usd_total", **labels)) else "–",
        ]

    names = sorted(now.values("tenant"), key=lambda name: -new.total("headwater_requests_total", tenant=name))
    head = ("tenant", f"requests{each}", "served", "running", f"tokens{each}", "first token p50", "p99", "cost in USD")
    state = {
        "readers": f"{now.total('headwater_open_readers'):.0f}",
        "entries to store": f"{now.total('headwater_store_pending_entries'):.0f}",
        "flush p99": _seconds(new.quantile(0.99, "headwater_store_flush_seconds_bucket")),
        "loop delay": _seconds(now.total("headwater_event_loop_delay_seconds")),
        f"failures{each}": rate("headwater_failures_total"),
    }
    rows = [row("all"), *(row(name, tenant=name) for name in names)]
    words = "   ".join(f"{name} {value}" for name, value in state.items())
    return Group(Text(words), table(*head, rows=rows))


def _of(found: dict[str, Any]) -> str:
    """Which process has answered."""
    return "Process {process} on {host}, Headwater {version}".format(**found["server"])


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.0%}"


def _seconds(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f} s" if value >= 1 else f"{value * 1000:.3g} ms"

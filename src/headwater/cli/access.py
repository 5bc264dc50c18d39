"""What `headwater serve` says at its start about who can reach it: the addresses, the keys, the settings to change."""

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from headwater.cli.terminal import Terminal
from headwater.web.hosts import is_loopback, of_this_machine

if TYPE_CHECKING:
    from headwater.access.keyfile import Keys
    from headwater.settings import Settings

ANY = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def announce_addresses(terminal: Terminal, settings: "Settings", port: int) -> None:
    """Print the addresses that work, the one for this machine first."""
    first, *others = addresses(settings.host, port)
    workers = f"  ({settings.workers} workers)" if settings.workers > 1 else ""
    terminal.say(("Headwater", "bold"), f"  {first}{workers}")
    for each in others:
        terminal.say(f"           {each}")


def announce_keys(terminal: Terminal, settings: "Settings", keys: "Keys") -> None:
    """Print whether a key is needed, and which settings allow more."""
    valid, local = len(keys.current()), is_loopback(settings.host)
    if keys.required:
        needed = f"{valid} valid" if valid else ("none is valid; make one: headwater keys create", "yellow")
    else:
        needed = "none needed" if local else ("none needed: whoever reaches the address may use it", "yellow")
    if settings.takes_tokens:
        needed = f"{valid} valid, and JSON Web Tokens for {settings.jwt_audience}"
    terminal.say("  keys   ", needed)
    if local:
        reach = f"this machine only; for others: {'' if valid else 'headwater keys create, then '}--host 0.0.0.0"
    else:
        reach = "by address or this machine's name; other names: HEADWATER_HOSTS, other sites' pages: HEADWATER_ORIGINS"
    terminal.say("  reach  ", reach)


def addresses(host: str, port: int) -> list[str]:
    """The URLs of a server that listens on `host`."""
    if host not in ANY:
        hosts = [host]
    else:
        local = "127.0.0.1" if host == ANY[0] else "::1"
        hosts = list(dict.fromkeys(filter(None, (local, _outward(), *of_this_machine()[:1]))))
    return [f"http://[{each}]:{port}" if ":" in each else f"http://{each}:{port}" for each in hosts]


def _outward() -> str | None:
    """The address by which this machine is known in its network; None without one."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # chooses a route, and sends nothing
        return str(probe.getsockname()[0])
    return None

"""Which `Host` a request may name: an address, this machine, or a name that the operator gave.

DNS rebinding needs a name: a foreign page makes its own name point to this server, and the browser then takes the
server for a part of that site. An address can be pointed nowhere, so every literal one is served.
"""

import re
import socket
from collections.abc import Iterable
from ipaddress import ip_address

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:/?#@\[\]]+))(?::[0-9]*)?", re.ASCII | re.IGNORECASE)


class Hosts:
    """The hosts that are served: `named` ones, with or without a port, and those that cannot be foreign. `*`: any."""

    def __init__(self, named: Iterable[str]) -> None:
        given = tuple(named)
        self._any = "*" in given
        self._names = frozenset(["localhost", *(name for host in given if (name := name_of(host)))])
        self._last: str | None = None

    def serves(self, host: str) -> bool:
        """Whether a `Host` header is one of these."""
        if self._any or host == self._last:
            return True
        name = name_of(host)
        if name is None or not (name in self._names or name.endswith(".localhost") or is_address(name)):
            return False
        self._last = host  # most requests name the same one as the one before
        return True


def of_this_machine() -> list[str]:
    """The names under which a local network knows this machine: its host name, whole and short, and that of mDNS."""
    whole = socket.gethostname().lower()
    short = whole.partition(".")[0]
    return list(dict.fromkeys([whole, short, f"{short}.local"])) if short else []


def is_address(name: str) -> bool:
    """Whether a host is a literal IP address, in the form in which browsers write it."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on `host`."""
    name = host.lower().strip("[]")
    return name == "localhost" or name.endswith(".localhost") or (is_address(name) and ip_address(name).is_loopback)


def name_of(host: str) -> str | None:
    """The host name in a `Host` header, in lower case and without its port; None if the header is malformed."""
    found = _HOST.fullmatch(f"[{host}]" if host.count(":") > 1 and "[" not in host else host)
    return (found[1] or found[2]).lower() if found is not None else None

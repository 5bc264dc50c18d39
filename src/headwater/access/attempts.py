"""A limit on wrong keys from one address, in bounded memory."""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address

MOST, WITHIN, ADDRESSES = 10, 60.0, 1000
"""Wrong keys that an address may try, the seconds for which they count, and how many addresses are remembered."""


class Attempts:
    """Counts wrong keys by address. When too many addresses send some, the oldest is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until this address may try again; 0 if it may now."""
        since, count = self._wrong.get(site(address), (0.0, 0))
        return max(0.0, since + WITHIN - self._clock()) if count >= MOST else 0.0

    def failed(self, address: str) -> None:
        """Count a wrong key."""
        where, now = site(address), self._clock()
        since, count = self._wrong.pop(where, (now, 0))
        self._wrong[where] = (since, count + 1) if now < since + WITHIN else (now, 1)
        if len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)


def site(address: str) -> str:
    """An IPv4 address, or the network of an IPv6 one: whoever has one of its addresses has all of them."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    shared = isinstance(ip, IPv6Address) and ip.ipv4_mapped is None
    return str(IPv6Network((ip.packed, 64), strict=False)) if shared else address

"""Purges: a tenant's stored answers are found no more, though no store can list them.

Every fingerprint of a tenant that was purged has its purge's token in it, so that all names of before are unknown. The
tokens are one document, which every server reads again after `FRESH` seconds at most. What was purged stays readable by
its id until it expires.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

import msgspec

from headwater.errors import Conflict, StoreError
from headwater.log.store import Documents

FRESH = 10.0
"""Seconds after which another server is sure to have learnt of a purge."""
_NAME = "purges"
_ATTEMPTS = 10
_log = logging.getLogger(__name__)


class Purge(msgspec.Struct, frozen=True):
    """The last purge of a tenant: its token, and when it was, in seconds since 1970."""

    token: str
    at: float


_decode = msgspec.json.Decoder(dict[str, Purge]).decode


class Purges:
    """The last purge of each tenant, as the store keeps them. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, Purge] | None = None
        self._looked = 0.0

    def token(self, tenant: str) -> str:
        """What the tenant's fingerprints hold; empty for one that was never purged."""
        found = self._known.get(tenant) if self._known else None
        return found.token if found else ""

    async def refresh(self, documents: Documents) -> None:
        """Learn of purges elsewhere, if the last look was not just now. Raises `StoreError` at the first look only."""
        if self._known is not None and self._clock() - self._looked < FRESH:
            return
        self._looked = self._clock()
        try:
            self._known = (await self._read(documents))[0]
        except StoreError as error:
            if self._known is None:
                raise
            _log.warning("purges of other servers are not known for a while: %s", error)

    async def purge(self, documents: Documents, tenant: str, kept: float) -> None:
        """Purge a tenant, whose answers the store keeps for so many seconds. Raises `StoreError`."""
        now = time.time()
        for _ in range(_ATTEMPTS):
            known, version = await self._read(documents)
            # What was stored before the older ones is gone.
            known = {name: each for name, each in known.items() if now - each.at < 2 * kept}
            known[tenant] = Purge(secrets.token_hex(8), now)
            try:
                await documents.put(_NAME, msgspec.json.encode(known), ttl=2 * kept, version=version)
            except Conflict:
                await asyncio.sleep(0)  # another purge was faster
                continue
            self._known, self._looked = known, self._clock()
            return
        raise StoreError("others purge at the same time; try again")

    async def _read(self, documents: Documents) -> tuple[dict[str, Purge], int]:
        found = await documents.get(_NAME)
        return (_decode(found.value), found.version) if found else ({}, 0)

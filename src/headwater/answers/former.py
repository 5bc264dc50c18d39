"""Former subjects: who a subject was before it joined another one, so that it can stop what was begun then.

A former subject may still be in use, by a device that has not joined. For `LIFE`, what that one begins can be stopped
too.
"""

import asyncio

from headwater.log.store import Documents, Store, listed
from headwater.principal import Principal

LIFE = 24 * 3600
"""Seconds for which a former subject is known; no answer takes longer."""


async def join(documents: Documents, source: Principal, target: Principal) -> None:
    """Let a subject stop what another one, and whoever that was before, has begun. Raises `StoreError`."""
    names = [source.subject, *await _known(documents, source)]
    puts = (documents.put(name, b"", ttl=LIFE, collection=_of(target)) for name in names if name != target.subject)
    await asyncio.gather(*puts)


async def stop(store: Store, log: str, principal: Principal) -> bool:
    """`Store.stop` for a subject and, while others are left on the log, for whoever it was before."""
    if await store.stop(log, principal.subject):
        return True
    for name in await _known(store, principal):
        if await store.stop(log, name):
            return True
    return False


async def _known(documents: Documents, principal: Principal) -> list[str]:
    return [name async for name, _ in listed(documents, _of(principal))]


def _of(principal: Principal) -> str:
    return f"former:{principal.tenant}:{principal.subject}"

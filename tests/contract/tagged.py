"""A store for a cluster that takes the names of the contract suite, which lack the tag that a cluster requires."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import msgspec

from headwater.entries import Entry
from headwater.log.names import names_in
from headwater.log.redis.store import RedisStore
from headwater.log.store import NO_TERMS, Abandoned, Claim, Description, Lease, Limits, Receipt, Terms
from headwater.offsets import ORIGIN, Offset
from headwater.principal import Principal
from headwater.testing.contract import Clock


class Tagged(RedisStore):
    """Puts one tag before all names and logs."""

    def __init__(self, url: str, limits: Limits, clock: Clock, tag: str) -> None:
        super().__init__(url, limits, clock)
        self.tag = tag

    async def claim(self, name: str, log: str, principal: Principal, *, ttl: float, terms: Terms = NO_TERMS) -> Claim:
        tagged = terms._replace(binds=None if terms.binds is None else self._names(terms.binds))
        return self._plain(await super().claim(self._names(name), self.tag + log, principal, ttl=ttl, terms=tagged))

    async def find(self, name: str, principal: Principal, *, terms: Terms = NO_TERMS) -> Claim | None:
        found = await super().find(self._names(name), principal, terms=terms)
        return None if found is None else self._plain(found)

    async def open(
        self, log: str, principal: Principal, *, ttl: float, name: str | None = None, recovery: bytes | None = None
    ) -> Lease:
        bound = None if name is None else self._names(name)
        await super().open(self.tag + log, principal, ttl=ttl, name=bound, recovery=recovery)
        return Lease(log)

    async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
        return await super().append(entries, self._tagged(lease))

    async def seal(self, entries: Sequence[Entry], lease: Lease) -> None:
        await super().seal(entries, self._tagged(lease))

    async def read(
        self, log: str, after: Offset = ORIGIN, *, follow: bool = True
    ) -> AsyncGenerator[Sequence[Entry], None]:
        async with aclosing(super().read(self.tag + log, after, follow=follow)) as pages:
            async for page in pages:
                yield page

    async def stop(self, log: str, subject: str) -> bool:
        return await super().stop(self.tag + log, subject)

    def listen(self, lease: Lease, wake: Callable[[], None]) -> Callable[[], None]:
        return super().listen(self._tagged(lease), wake)

    async def release(self, lease: Lease) -> None:
        await super().release(self._tagged(lease))

    async def abandoned(self, log: str) -> Abandoned | None:
        return await super().abandoned(self.tag + log)

    async def take_over(self, entries: Sequence[Entry], log: str) -> Lease:
        await super().take_over(entries, self.tag + log)
        return Lease(log, entries[0].offset.epoch)

    def watch_abandoned(self, found: Callable[[str], None]) -> None:
        super().watch_abandoned(lambda log: found(log.removeprefix(self.tag)))

    async def describe(self, log: str) -> Description:
        return await super().describe(self.tag + log)

    async def forget(self, log: str) -> None:
        await super().forget(self.tag + log)

    def _names(self, name: str) -> str:
        return "\n".join(self.tag + each for each in names_in(name))

    def _tagged(self, lease: Lease) -> Lease:
        return Lease(self.tag + lease.log, lease.epoch)

    def _plain(self, claim: Claim) -> Claim:
        lease = None if claim.lease is None else Lease(claim.lease.log.removeprefix(self.tag), claim.lease.epoch)
        return msgspec.structs.replace(claim, log=claim.log.removeprefix(self.tag), lease=lease)

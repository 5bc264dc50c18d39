"""What the stores of Redis and of Upstash share: the calls that are one step and no more."""

import time
from collections.abc import Callable, Sequence

import msgspec

from headwater.log.counters import Count, Slots, Taken
from headwater.log.lua import counters
from headwater.log.lua.documents import LuaDocuments
from headwater.log.lua.script import Run
from headwater.log.lua.steps import Steps
from headwater.log.store import NO_TERMS, Abandoned, Claim, Description, Limits, Terms
from headwater.principal import Principal


class LuaStore(LuaDocuments):
    """A store whose steps are scripts. `run` runs those over logs, `run_alone` those that name all keys they use.

    The difference of `clock` from this machine's is added to ages and TTLs; a test has such a clock.
    """

    def __init__(
        self, limits: Limits, run: Run, clock: Callable[[], float] | None = None, *, run_alone: Run | None = None
    ) -> None:
        super().__init__(run_alone or run, lambda: 0.0 if clock is None else clock() - time.time())
        self.limits = limits
        self._steps = Steps(run, limits, self._skew)

    async def find(self, name: str, principal: Principal, *, terms: Terms = NO_TERMS) -> Claim | None:
        return await self._steps.find(name, principal, terms)

    async def abandoned(self, log: str) -> Abandoned | None:
        found = await self._steps.abandoned(log)
        return found and msgspec.structs.replace(found, recovery=self._decoded(found.recovery))

    def watch_abandoned(self, found: Callable[[str], None]) -> None:
        self._steps.found_abandoned = found

    async def describe(self, log: str) -> Description:
        return await self._steps.describe(log)

    async def constant(self, name: str, value: bytes) -> bytes:
        return self._decoded(await self._steps.constant(name, self._encoded(value)))

    async def take(self, owner: str, counts: Sequence[Count] = (), slots: Slots | None = None) -> Taken:
        return await counters.take(self._run, self._skew, owner, counts, slots)

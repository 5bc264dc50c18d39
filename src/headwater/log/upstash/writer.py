"""One log's writer over Upstash: an append is one plain command, and a script only when that one was refused.

Upstash bills the commands inside a script like any others, and an append by script is six. So a writer that knows
where its log ends adds the next pack there by itself. Redis refuses the pack when the log ends elsewhere: because the
same pack is stored already and the reply got lost, because another has sealed the log, or because a stop was asked for.
The script then looks what it was. A writer that is silent renews its lease, and the lease says whether to stop.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from headwater.errors import Sealed, StoreError
from headwater.events import Ending
from headwater.log.lua.script import key
from headwater.log.lua.steps import Standing, Steps, asked_by
from headwater.log.packs import Pack
from headwater.log.store import Lease, Limits, Receipt
from headwater.log.upstash.rest import Argument, Reply

RENEWAL = 7.5
"""Seconds after which an append renews the lease as well, half of a lease where that is less: should that fail, a
writer's patience ends before the lease does."""
ROUTINE = 300.0
"""Seconds after which the script is run in any case, for it renews the TTLs: half of what they have to spare there."""

EMPTY = Standing(None, turn=1, last=0, size=0, packs=1)
"""How a log stands that was opened just now. One that was opened by an earlier try of the same call, and written since,
refuses what begins like a new one."""

Pipeline = Callable[[Sequence[Sequence[Argument]]], Awaitable["list[Reply | StoreError]"]]


class UpstashWriter:
    """Appends to one log, of which it is `known` how it stands, or not; `steps` are asked when that proves wrong."""

    def __init__(self, pipeline: Pipeline, steps: Steps, limits: Limits, known: Standing | None) -> None:
        self._pipeline = pipeline
        self._steps = steps
        self._limits = limits
        self._known = known
        self._renewed = self._asked = time.monotonic()

    async def append(self, packs: Sequence[Pack], lease: Lease) -> Receipt:
        """Add what comes next and keep the lease alive. Raises as `Store.append` does."""
        stop = None
        for pack in packs or [None]:
            begin = time.monotonic()
            standing = await self._add(pack, lease, begin)
            if standing is None:
                self._known = None
                standing = await self._steps.append([] if pack is None else [pack], lease)
                self._renewed = self._asked = begin
            self._known, stop = standing, standing.stop
        return Receipt(stop)

    async def seal(self, packs: Sequence[Pack], ending: Ending, lease: Lease) -> None:
        """Add what comes last and close the log. Raises as `Store.seal` does."""
        *before, last = packs
        if before:
            with suppress(Sealed):  # perhaps by this very seal, retried: the last step knows
                await self.append(before, lease)
        self._known = None
        await self._steps.seal([last], ending, lease)

    async def _add(self, pack: Pack | None, lease: Lease, now: float) -> Standing | None:
        """How the log stands when it took the pack as the next one, or None when that is for the script to say."""
        known = self._known
        if known is None or lease.epoch != Lease(lease.log).epoch or now - self._asked > ROUTINE:
            return None
        commands: list[Sequence[Argument]] = []
        if pack is not None:
            if pack.first != known.last + 1:
                return None
            place = f"{known.turn}-{pack.first}"
            known = known._replace(last=pack.last, size=known.size + pack.size, packs=known.packs + 1)
            if known.last > self._limits.entries or known.size > self._limits.bytes:
                return None
            fields = {"l": known.last, "e": lease.epoch, "n": known.packs - 1, "s": known.size, "d": pack.data.decode()}
            words = [word for field in fields.items() for word in field]
            commands.append(["XADD", _key("packs", lease), "NOMKSTREAM", place, *words])
        renews = pack is None or now - self._renewed >= min(RENEWAL, self._limits.lease / 2)
        if renews:
            commands.append(["GETEX", _key("lease", lease), "PX", round(self._limits.lease * 1000)])
        answers = await self._pipeline(commands)
        if not all(isinstance(answer, bytes) for answer in answers):
            return None
        if renews:
            assert isinstance(answers[-1], bytes)
            self._renewed = now
            known = known._replace(stop=asked_by(answers[-1]))
        return known


def _key(kind: str, lease: Lease) -> str:
    return key(kind, lease.log).decode()

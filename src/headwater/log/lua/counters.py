"""Typed caller of the Lua step over counters. The counters of an owner lie in two keys of one slot of a cluster."""

from collections.abc import Callable, Sequence

from headwater.log.counters import Count, Slots, Taken
from headwater.log.lua.documents import key_of
from headwater.log.lua.script import Argument, Run, ms, script

_TAKE = script("take")


async def take(run: Run, skew: Callable[[], float], owner: str, counts: Sequence[Count], slots: Slots | None) -> Taken:
    """As `Counters.take`; `run` and `skew` are those of `Steps`."""
    arguments: list[Argument] = [ms(skew()), len(counts)]
    for name, amount, window, most in counts:
        arguments += [name.encode(), repr(amount), ms(window), "" if most is None else repr(most)]
    if slots is not None:
        arguments += [ms(slots.ttl), "" if slots.most is None else slots.most]
        arguments += [holder.encode() for holder in slots.holders]
    refused, held, *standing = await run(_TAKE, [key_of("counters", owner), key_of("slots", owner)], arguments)
    return Taken(refused.decode(), [*map(float, standing[::2])], [ms / 1000 for ms in standing[1::2]], held)

"""Several names given as one, joined by newlines: a claim tries them in their order, and a new log gets them all."""

from collections.abc import Callable

import msgspec

from headwater.log.store import Claim


def names_in(name: str) -> list[str]:
    """The names that are given as one, in the order in which they are tried."""
    return name.split("\n")


def first_of(name: str, find: Callable[[str], Claim | None]) -> Claim | None:
    """What `find` returns for the first of the names that are given as one for which it returns anything."""
    for place, each in enumerate(names_in(name)):
        if (claim := find(each)) is not None:
            return msgspec.structs.replace(claim, place=place) if place else claim
    return None

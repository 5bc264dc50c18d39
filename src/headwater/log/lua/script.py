"""The steps of the store contract as Lua scripts: one file for each step, joined with the files it shares with others.

Redis runs a script as one atomic step.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from headwater.offsets import TAG

Argument = bytes | str | int


Lane = Literal["prompt", "flush", "large"]
"""What a script must not wait for: somebody waits for a `prompt` one and would wait for flushes; a `flush` may be late;
the reply of a `large` one is a part of a log rather than a few words."""


class Script(NamedTuple):
    """A step as Redis runs it: its text, and the SHA-1 digest under which Redis caches it."""

    text: str
    digest: str
    lane: Lane = "prompt"


Run = Callable[[Script, Sequence[bytes], Sequence[Argument]], Awaitable[Any]]
"""Runs a script completely, or raises `StoreError`."""


@cache
def script(name: str, *before: str, lane: Lane = "prompt") -> Script:
    """The step in `lua/<name>.lua`, preceded by the files it needs."""
    folder = files("headwater.log.lua")
    text = "\n".join((folder / f"{each}.lua").read_text("utf-8") for each in (*before, name))
    text = text.replace("TAG_SIZE", str(TAG))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), lane)


def tag(name: str) -> bytes:
    """The hash tag of a name or a log id, which decides on which server of a cluster its keys lie."""
    return encoded(name)[:TAG]


def key(kind: str, name: str) -> bytes:
    """The Redis key of a log or a name, or the channel of a log; `lua/log.lua` lists the kinds."""
    return b"headwater:{%b}:%b:%b" % (tag(name), kind.encode(), encoded(name))


def encoded(name: str) -> bytes:
    """A name as an argument."""
    # A name may come from a client's URL with half of a surrogate pair in it: an unknown name, not a crash.
    return name.encode("utf-8", "surrogatepass")


def ms(seconds: float) -> int:
    """A time as an argument, in milliseconds."""
    return round(seconds * 1000)

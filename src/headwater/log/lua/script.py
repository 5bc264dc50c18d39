"""The steps of the store contract as Lua, which Redis runs each in one piece: a file a step, behind what they share."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

Argument = bytes | str | int


class Script(NamedTuple):
    """A step as Redis runs it: its text, and the digest under which Redis remembers it."""

    text: str
    digest: str
    large: bool = False
    """Whether its answer may be: a part of a log, and not a few words."""


@cache
def script(name: str, *before: str, large: bool = False) -> Script:
    """The step in `lua/<name>.lua`, with the files that go before it."""
    folder = files("headwater.log.lua")
    text = "\n".join((folder / f"{each}.lua").read_text("utf-8") for each in (*before, name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), large)


def tag(name: str) -> bytes:
    """What decides where a name's or a log's keys lie: its first 12 bytes, as `lua/log.lua` says it too."""
    return _bytes(name)[:12]


def key(kind: str, name: str) -> bytes:
    """The key of a log or a name, or a log's channel; see `lua/log.lua`."""
    return b"headwater:{%b}:%b:%b" % (tag(name), kind.encode(), _bytes(name))


def _bytes(name: str) -> bytes:
    # A name may come out of a stranger's URL, with half a surrogate pair in it; it must be unknown, not a crash.
    return name.encode("utf-8", "surrogatepass")

"""Typed callers of the Lua steps over documents; each may run twice, as those of `steps.py` may.

Their scripts use the keys that are declared, and no others. A collection lies on one server of a cluster, whichever it
is; other documents are spread over all.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from headwater.errors import Conflict
from headwater.log.lua.script import Argument, Run, key, script
from headwater.log.store import DOCUMENTS, Document
from headwater.offsets import TAG

PAGE_BYTES = 640 * 1024
"""Bytes of values in a page, at most: less than the contract permits, since Upstash encodes them again for a reply of
a megabyte, and on Redis other replies wait behind it."""

_DOCUMENT = script("document")
_COLLECTION = script("collection")
_PAGE = script("collection", lane="large")


class DocumentSteps:
    """Documents in any server that speaks Redis; `run` and `skew` are those of `Steps`."""

    def __init__(self, run: Run, skew: Callable[[], float]) -> None:
        self._run = run
        self._skew = skew

    async def get(self, name: str, collection: str) -> Document | None:
        """The document of this name."""
        return await self._one(name, collection, "get")

    async def put(
        self, name: str, value: bytes, ttl: float, version: int | None, *, collection: str = ""
    ) -> Document | None:
        """Keep a document; returns the one that it replaced."""
        wanted = -1 if version is None else version
        return await self._one(name, collection, "put", value, round(ttl * 1000), wanted, secrets.token_hex(8))

    async def delete(self, name: str, collection: str) -> None:
        """Forget a document."""
        await self._one(name, collection, "delete")

    async def page(self, collection: str, after: str) -> Sequence[tuple[str, Document]]:
        """A page of a collection."""
        found = await self._all(collection, "list", _bytes(after), DOCUMENTS, PAGE_BYTES)
        names = (name.decode("utf-8", "surrogatepass") for name in found[1::3])
        return [*zip(names, map(Document, found[2::3], found[3::3]), strict=True)]

    async def renew(self, collection: str, ttl: float) -> None:
        """Keep all documents of a collection for so many seconds."""
        await self._all(collection, "renew", round(ttl * 1000))

    async def drop(self, collection: str) -> None:
        """Forget a collection."""
        await self._all(collection, "drop")

    async def _one(self, name: str, collection: str, what: str, *arguments: Argument) -> Document | None:
        if collection:
            answer = await self._all(collection, what, _bytes(name), *arguments)
        else:
            answer = await self._run(_DOCUMENT, [key_of("document", name)], [self._ms(), what, *arguments])
        if answer[0] == b"conflict":
            raise Conflict(f"the document {name} has another version than {arguments[2]}; read it and put it again")
        return Document(*answer[1:3]) if len(answer) > 1 else None

    async def _all(self, collection: str, what: str, *arguments: Argument) -> list[Any]:
        keys = [key_of("collection", collection), key_of("names", collection)]
        answer: list[Any] = await self._run(
            _PAGE if what == "list" else _COLLECTION, keys, [self._ms(), what, *arguments]
        )
        return answer

    def _ms(self) -> int:
        return round(self._skew() * 1000)


def key_of(kind: str, name: str) -> bytes:
    """The key of what is no log: a document, a collection, counters."""
    # Spread over all servers of a cluster, whatever the names begin with.
    return key(kind, hashlib.sha256(_bytes(name)).hexdigest()[:TAG] + name)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")

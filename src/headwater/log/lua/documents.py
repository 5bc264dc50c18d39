"""Documents as Lua steps; each step may run twice, as those of `steps.py` may.

Their scripts use the keys that are declared, and no others. A collection lies on one server of a cluster, whichever it
is; other documents are spread over all.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from headwater.errors import Conflict
from headwater.log.lua.script import Argument, Run, encoded, key, ms, script
from headwater.log.store import DOCUMENTS, Document, check_size
from headwater.offsets import TAG

PAGE_BYTES = 640 * 1024
"""Bytes of values in a page, at most: less than the contract permits, since Upstash encodes them again for a reply of
a megabyte, and on Redis other replies wait behind it."""

_DOCUMENT = script("document")
_COLLECTION = script("collection")
_PAGE = script("collection", lane="large")


class LuaDocuments:
    """Keeps documents in any server that speaks Redis; `run` and `skew` are those of `Steps`."""

    def __init__(self, run: Run, skew: Callable[[], float]) -> None:
        self._run = run
        self._skew = skew

    async def get(self, name: str, *, collection: str = "") -> Document | None:
        return await self._one(name, collection, "get")

    async def put(
        self, name: str, value: bytes, *, ttl: float, version: int | None = None, collection: str = ""
    ) -> Document | None:
        check_size(value)
        wanted = -1 if version is None else version
        arguments = (self._encoded(value), ms(ttl), wanted, secrets.token_hex(8))
        return await self._one(name, collection, "put", *arguments)

    async def delete(self, name: str, *, collection: str = "") -> None:
        await self._one(name, collection, "delete")

    async def list_documents(self, collection: str, *, after: str = "") -> Sequence[tuple[str, Document]]:
        found = await self._all(collection, "list", encoded(after), DOCUMENTS, PAGE_BYTES)
        names = (name.decode("utf-8", "surrogatepass") for name in found[1::3])
        return [*zip(names, map(self._document, found[2::3], found[3::3]), strict=True)]

    async def renew_documents(self, collection: str, ttl: float) -> None:
        await self._all(collection, "renew", ms(ttl))

    async def delete_documents(self, collection: str) -> None:
        await self._all(collection, "drop")

    def _encoded(self, value: bytes) -> bytes:
        """Bytes of any kind as they travel and are stored."""
        return value

    def _decoded(self, value: bytes) -> bytes:
        return value

    def _document(self, value: bytes, version: int) -> Document:
        return Document(self._decoded(value), version)

    async def _one(self, name: str, collection: str, what: str, *arguments: Argument) -> Document | None:
        if collection:
            answer = await self._all(collection, what, encoded(name), *arguments)
        else:
            answer = await self._run(_DOCUMENT, [key_of("document", name)], [ms(self._skew()), what, *arguments])
        if answer[0] == b"conflict":
            raise Conflict(f"the document {name} has another version than {arguments[2]}; read it and put it again")
        return self._document(*answer[1:3]) if len(answer) > 1 else None

    async def _all(self, collection: str, what: str, *arguments: Argument) -> list[Any]:
        keys = [key_of("collection", collection), key_of("names", collection)]
        step = _PAGE if what == "list" else _COLLECTION
        answer: list[Any] = await self._run(step, keys, [ms(self._skew()), what, *arguments])
        return answer


def key_of(kind: str, name: str) -> bytes:
    """The key of what is no log: a document, a collection, counters."""
    # Spread over all servers of a cluster, whatever the names begin with.
    return key(kind, hashlib.sha256(encoded(name)).hexdigest()[:TAG] + name)

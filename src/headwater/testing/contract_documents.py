"""Clause 12: documents, which outlive requests, replace each other in one step, and expire."""

import asyncio

import pytest

from headwater.errors import Conflict, DocumentTooLarge
from headwater.log.store import MAX_DOCUMENT, Document
from headwater.testing.contract_harness import Harness

VALUE = b"\x00\xff any bytes"


class Documents:
    async def test_a_document_is_kept(self, harness: Harness) -> None:
        """A value comes back as it was put, in every process; each put returns the document that it replaced."""
        assert await harness.store.get("chat") is None
        assert await harness.store.put("chat", VALUE, ttl=60) is None
        assert await harness.peer.get("chat") == Document(VALUE, 1)
        assert await harness.peer.put("chat", b"", ttl=60) == Document(VALUE, 1)
        assert await harness.store.get("chat") == Document(b"", 2)
        assert await harness.store.get("another") is None

    async def test_a_document_of_another_version_is_not_replaced(self, harness: Harness) -> None:
        """A put that names a version replaces that version alone; 0 stands for no document."""
        await harness.store.put("chat", b"a", ttl=60, version=0)
        with pytest.raises(Conflict):
            await harness.peer.put("chat", b"b", ttl=60, version=0)
        assert await harness.peer.put("chat", b"b", ttl=60, version=1) == Document(b"a", 1)
        with pytest.raises(Conflict):
            await harness.store.put("chat", b"c", ttl=60, version=1)
        assert await harness.store.get("chat") == Document(b"b", 2)

    async def test_one_of_many_puts_of_a_version_wins(self, harness: Harness) -> None:
        """A race has one winner, whichever process it is in."""
        puts = ((harness.store, harness.peer)[i % 2].put("chat", bytes([i]), ttl=60, version=0) for i in range(10))
        answers = await asyncio.gather(*puts, return_exceptions=True)
        assert sum(not isinstance(answer, Conflict) for answer in answers) == 1

    async def test_every_put_of_a_race_replaces_another(self, harness: Harness) -> None:
        """Without a version no put is lost: all but the last one are returned to somebody."""
        puts = ((harness.store, harness.peer)[i % 2].put("chat", bytes([i]), ttl=60) for i in range(10))
        replaced = {answer and answer.value for answer in await asyncio.gather(*puts)}
        last = await harness.store.get("chat")
        assert last is not None
        assert replaced | {last.value} == {None, *(bytes([i]) for i in range(10))}

    async def test_a_document_expires(self, harness: Harness) -> None:
        """After its TTL a document is gone, and the next one begins at version 1; a put renews the TTL."""
        await harness.store.put("chat", b"a", ttl=60)
        harness.clock.now += 50
        await harness.peer.put("chat", b"b", ttl=60)
        harness.clock.now += 50
        assert await harness.peer.get("chat") == Document(b"b", 2)
        harness.clock.now += 11
        assert await harness.peer.get("chat") is None
        assert await harness.store.put("chat", b"c", ttl=60, version=0) is None
        assert await harness.store.get("chat") == Document(b"c", 1)

    async def test_a_document_is_deleted(self, harness: Harness) -> None:
        """Also one that does not exist."""
        await harness.store.put("chat", b"a", ttl=60)
        await harness.peer.delete("chat")
        await harness.peer.delete("chat")
        assert await harness.store.get("chat") is None

    async def test_a_large_document_is_refused(self, harness: Harness) -> None:
        """The largest one is kept; a larger one is refused, and what is there stays."""
        await harness.store.put("chat", b"x" * MAX_DOCUMENT, ttl=60)
        with pytest.raises(DocumentTooLarge):
            await harness.store.put("chat", b"x" * (MAX_DOCUMENT + 1), ttl=60)
        kept = await harness.peer.get("chat")
        assert kept is not None
        assert len(kept.value) == MAX_DOCUMENT

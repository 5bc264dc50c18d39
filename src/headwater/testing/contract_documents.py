"""Clause 12: documents, which outlive requests, replace each other in one step, and expire; and their collections."""

import asyncio

import pytest

from headwater.errors import Conflict, DocumentTooLarge
from headwater.log.store import DOCUMENT_BYTES, DOCUMENTS, MAX_DOCUMENT, Document, Store
from headwater.testing.contract_harness import Harness

VALUE = b"\x00\xff any bytes"
ODD = "chats:\x00\x01 {a}:%_*\\'ü\U0001f600"
"""A collection whose name has what separates, escapes or matches elsewhere."""

in_each = pytest.mark.parametrize("collection", ["", ODD], ids=["alone", "collected"])
"""Marks a test of a document that lies in no collection, and in one."""


class Documents:
    @in_each
    async def test_a_document_is_kept(self, harness: Harness, collection: str) -> None:
        """A value comes back as it was put, in every process; each put returns the document that it replaced."""
        assert await harness.store.get("chat", collection=collection) is None
        assert await harness.store.put("chat", VALUE, ttl=60, collection=collection) is None
        assert await harness.peer.get("chat", collection=collection) == Document(VALUE, 1)
        assert await harness.peer.put("chat", b"", ttl=60, collection=collection) == Document(VALUE, 1)
        assert await harness.store.get("chat", collection=collection) == Document(b"", 2)
        assert await harness.store.get("another", collection=collection) is None

    @in_each
    async def test_a_document_of_another_version_is_not_replaced(self, harness: Harness, collection: str) -> None:
        """A put that names a version replaces that version alone; 0 stands for no document."""
        await harness.store.put("chat", b"a", ttl=60, version=0, collection=collection)
        with pytest.raises(Conflict):
            await harness.peer.put("chat", b"b", ttl=60, version=0, collection=collection)
        with pytest.raises(Conflict):
            # Also with the very value that is there.
            await harness.peer.put("chat", b"a", ttl=60, version=0, collection=collection)
        assert await harness.peer.put("chat", b"b", ttl=60, version=1, collection=collection) == Document(b"a", 1)
        with pytest.raises(Conflict):
            await harness.store.put("chat", b"c", ttl=60, version=1, collection=collection)
        assert await harness.store.get("chat", collection=collection) == Document(b"b", 2)

    @in_each
    async def test_one_of_many_puts_of_a_version_wins(self, harness: Harness, collection: str) -> None:
        """A race has one winner, whichever process it is in."""
        puts = (
            (harness.store, harness.peer)[i % 2].put("chat", bytes([i]), ttl=60, version=0, collection=collection)
            for i in range(10)
        )
        answers = await asyncio.gather(*puts, return_exceptions=True)
        assert sum(not isinstance(answer, Conflict) for answer in answers) == 1

    @in_each
    async def test_every_put_of_a_race_replaces_another(self, harness: Harness, collection: str) -> None:
        """Without a version no put is lost: all but the last one are returned to somebody."""
        puts = (
            (harness.store, harness.peer)[i % 2].put("chat", bytes([i]), ttl=60, collection=collection)
            for i in range(10)
        )
        replaced = {answer and answer.value for answer in await asyncio.gather(*puts)}
        last = await harness.store.get("chat", collection=collection)
        assert last is not None
        assert replaced | {last.value} == {None, *(bytes([i]) for i in range(10))}

    @in_each
    async def test_a_document_expires(self, harness: Harness, collection: str) -> None:
        """After its TTL a document is gone, and the next one begins at version 1; a put renews the TTL."""
        await harness.store.put("chat", b"a", ttl=60, collection=collection)
        harness.clock.now += 50
        await harness.peer.put("chat", b"b", ttl=60, collection=collection)
        harness.clock.now += 50
        assert await harness.peer.get("chat", collection=collection) == Document(b"b", 2)
        harness.clock.now += 11
        assert await harness.peer.get("chat", collection=collection) is None
        assert await harness.store.put("chat", b"c", ttl=60, version=0, collection=collection) is None
        assert await harness.store.get("chat", collection=collection) == Document(b"c", 1)

    @in_each
    async def test_a_document_is_deleted(self, harness: Harness, collection: str) -> None:
        """Also one that does not exist."""
        await harness.store.put("chat", b"a", ttl=60, collection=collection)
        await harness.peer.delete("chat", collection=collection)
        await harness.peer.delete("chat", collection=collection)
        assert await harness.store.get("chat", collection=collection) is None

    @in_each
    async def test_a_large_document_is_refused(self, harness: Harness, collection: str) -> None:
        """The largest one is kept; a larger one is refused, and what is there stays."""
        await harness.store.put("chat", b"x" * MAX_DOCUMENT, ttl=60, collection=collection)
        with pytest.raises(DocumentTooLarge):
            await harness.store.put("chat", b"x" * (MAX_DOCUMENT + 1), ttl=60, collection=collection)
        kept = await harness.peer.get("chat", collection=collection)
        assert kept is not None
        assert len(kept.value) == MAX_DOCUMENT

    async def test_a_collection_is_listed_in_the_order_of_code_points(self, harness: Harness) -> None:
        """Also where a name begins with another one, and where case, length or UTF-16 would order otherwise."""
        names = ["A", "B", "a", "a\x00", "a ", "aa", "a~", "b", "z", "é", "\uffee", "\U0001f600"]
        for name in reversed(names):
            await harness.store.put(name, name.encode(), ttl=60, collection=ODD)
        await harness.store.put("b", b"b again", ttl=60, collection=ODD)
        values = {name: Document(name.encode(), 1) for name in names} | {"b": Document(b"b again", 2)}
        assert await harness.peer.list_documents(ODD) == [(name, values[name]) for name in names]
        for i, name in enumerate(names):
            found = await harness.peer.list_documents(ODD, after=name)
            assert [each for each, _ in found] == names[i + 1 :]
        assert [name for name, _ in await harness.peer.list_documents(ODD, after="aaa")] == names[6:]
        assert await harness.peer.list_documents("none") == []

    async def test_collections_are_apart(self, harness: Harness) -> None:
        """The same name is another document in each, however their names begin, and one in none is in no list."""
        collections = ["a", "ab", "a:", "b", "a\x00", ODD, ODD + ODD]
        await harness.store.put("b", b"alone", ttl=60)
        for each in collections:
            await harness.store.put("b", each.encode(), ttl=60, version=0, collection=each)
        for each in collections:
            assert await harness.peer.list_documents(each) == [("b", Document(each.encode(), 1))]
        await harness.peer.renew_documents("a", 120)
        await harness.peer.delete("b", collection="b")
        await harness.peer.delete_documents("a:")
        assert [await harness.store.list_documents(each) for each in ("b", "a:")] == [[], []]
        harness.clock.now += 61
        left = [each for each in collections if await harness.store.list_documents(each)]
        assert (left, await harness.store.get("b")) == (["a"], None)

    async def test_a_large_collection_comes_in_pages(self, harness: Harness) -> None:
        """Each page begins behind the last name of the one before, and has a bounded number of documents."""
        names = [f"{i:04}" for i in range(DOCUMENTS + 5)]
        puts = (harness.store.put(name, name.encode(), ttl=60, collection="many") for name in names)
        await asyncio.gather(*puts)
        pages = await listed(harness.peer, "many")
        assert [name for page in pages for name, _ in page] == names
        assert max(map(len, pages)) <= DOCUMENTS

    async def test_a_page_has_a_bounded_number_of_bytes(self, harness: Harness) -> None:
        """But one document at least, however large."""
        for name in "abcdef":
            size = 1 if name == "c" else MAX_DOCUMENT
            await harness.store.put(name, name.encode() * size, ttl=60, collection="large")
        pages = await listed(harness.peer, "large")
        assert "".join(name for page in pages for name, _ in page) == "abcdef"
        assert max(sum(len(each.value) for _, each in page) for page in pages) <= DOCUMENT_BYTES

    async def test_a_document_of_a_collection_expires_alone(self, harness: Harness) -> None:
        """Others stay; no page is empty because all documents that it could have had are gone."""
        for i in range(DOCUMENTS):
            await harness.store.put(f"{i:04}", b"a", ttl=60, collection="chats")
        await harness.store.put("later", b"b", ttl=90, collection="chats")
        await harness.store.put("0000", b"c", ttl=90, collection="chats")
        harness.clock.now += 61
        assert [name for name, _ in await harness.peer.list_documents("chats")] == ["0000", "later"]
        harness.clock.now += 30
        assert await harness.peer.list_documents("chats") == []

    async def test_a_collection_is_renewed(self, harness: Harness) -> None:
        """All of its documents are kept for as long, but those that have expired stay gone."""
        for name, ttl in (("short", 1.0), ("a", 60.0), ("b", 200.0)):
            await harness.store.put(name, VALUE, ttl=ttl, collection="chats")
        harness.clock.now += 30
        await harness.peer.renew_documents("chats", 100)
        await harness.store.put("late", VALUE, ttl=60, collection="chats")
        assert [name for name, _ in await harness.store.list_documents("chats")] == ["a", "b", "late"]
        harness.clock.now += 90
        assert [name for name, _ in await harness.store.list_documents("chats")] == ["a", "b"]
        assert await harness.store.get("a", collection="chats") == Document(VALUE, 1)
        assert await harness.store.get("short", collection="chats") is None
        harness.clock.now += 11
        assert await harness.store.list_documents("chats") == []
        await harness.store.renew_documents("chats", 100)
        assert await harness.store.put("a", VALUE, ttl=60, version=0, collection="chats") is None

    async def test_a_collection_is_deleted(self, harness: Harness) -> None:
        """Also one that does not exist. What is put later begins at version 1, and expires by its own TTL."""
        await harness.store.put("a", b"a", ttl=600, collection="chats")
        await harness.store.put("b", b"b", ttl=600, collection="chats")
        await harness.store.renew_documents("chats", 900)
        await harness.peer.delete_documents("chats")
        await harness.peer.delete_documents("chats")
        assert await harness.store.list_documents("chats") == []
        assert await harness.store.get("a", collection="chats") is None
        assert await harness.store.put("b", b"c", ttl=60, version=0, collection="chats") is None
        assert await harness.peer.list_documents("chats") == [("b", Document(b"c", 1))]
        harness.clock.now += 61
        assert await harness.peer.list_documents("chats") == []

    async def test_a_page_shows_one_moment(self, harness: Harness) -> None:
        """A collection that is deleted or written meanwhile is seen before or after, never in between."""
        for name in "abcd":
            await harness.store.put(name, b"", ttl=60, collection="chats")
        deleting = asyncio.create_task(harness.store.delete_documents("chats"))
        pages = await asyncio.gather(*(harness.peer.list_documents("chats") for _ in range(5)))
        await deleting
        assert {len(page) for page in pages} <= {0, 4}


async def listed(store: Store, collection: str) -> list[list[tuple[str, Document]]]:
    """The pages of a collection."""
    pages: list[list[tuple[str, Document]]] = []
    while page := await store.list_documents(collection, after=pages[-1][-1][0] if pages else ""):
        pages.append([*page])
    return pages

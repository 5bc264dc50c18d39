"""Readers that take pages in the step that adds them to a log, instead of waking up for each."""

import asyncio
from collections.abc import Sequence

from headwater.entries import Entry
from headwater.events import TextDelta
from headwater.log.logs import Logs
from headwater.log.memory import MemoryStore
from headwater.testing.contract_harness import ALICE, TEST_TIMEOUT, TTL, WHOLE, entry


def text(*words: str) -> list[TextDelta]:
    return [TextDelta(word) for word in words]


async def test_a_reader_takes_pages_without_waking_up() -> None:
    """What a waiting reader takes is not yielded to it, what it refuses is, and it gets everything once."""
    store = MemoryStore()
    logs = Logs(store)
    taken: list[str] = []
    refused: list[str] = []

    def take(page: Sequence[Entry]) -> bool:
        if isinstance(page[-1].event, TextDelta) and page[-1].event.text != "refused":
            taken.extend(each.event.text for each in page if isinstance(each.event, TextDelta))
            return True
        return False

    async def follow() -> None:
        async for page in logs.read("log", take=take):
            refused.extend(getattr(each.event, "text", "the end") for each in page)

    async with asyncio.timeout(TEST_TIMEOUT), logs.write(await store.open("log", ALICE, ttl=TTL)) as writer:
        writer.append(text("first"))
        following = asyncio.create_task(follow())
        await asyncio.sleep(0)
        for words in (["a"], ["b", "c"], ["refused"], ["d"]):
            writer.append(text(*words))
            if words == ["refused"]:
                await asyncio.sleep(0)
        await writer.seal(WHOLE)
        await following
    assert (taken, refused) == (["a", "b", "c", "d"], ["first", "refused", "the end"])


async def test_a_reader_goes_on_in_the_store_behind_what_it_took() -> None:
    """A reader of a writer that falls silent gets the rest from the store, and nothing twice."""
    store = MemoryStore()
    logs = Logs(store)
    seen: list[str] = []

    def told(page: Sequence[Entry]) -> bool:
        seen.extend(getattr(each.event, "text", "the end") for each in page)
        return True

    async def follow() -> None:
        async for page in logs.read("log", take=told):
            told(page)

    lease = await store.open("log", ALICE, ttl=TTL)
    async with asyncio.timeout(TEST_TIMEOUT):
        async with logs.write(lease) as writer:
            following = asyncio.create_task(follow())
            await asyncio.sleep(0)
            writer.append(text("a"))
            writer.append(text("b"))
        await store.append([entry(1, TextDelta("a")), entry(2, TextDelta("b")), entry(3, TextDelta("c"))], lease)
        await store.seal([entry(4, WHOLE)], lease)
        await following
    assert seen == ["a", "b", "c", "the end"]

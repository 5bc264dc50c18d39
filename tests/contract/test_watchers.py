"""The registry under every tailer: who is woken, who is failed and when, and what remains when everybody has left."""

import asyncio

import pytest

from headwater.errors import StoreError
from headwater.log.watchers import Waiter, Watchers


class Clock:
    """Seconds that a test counts."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def failure_of(waiter: Waiter) -> StoreError:
    with pytest.raises(StoreError) as raised:
        async with asyncio.timeout(1):
            await waiter.wait()
    return raised.value


async def test_news_before_the_wait() -> None:
    """News that comes between the look and the wait ends the wait at once; news from before the look does not."""
    waiter = Waiter()
    waiter.wake()
    waiter.begin()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await waiter.wait()
    waiter.wake()
    async with asyncio.timeout(1):
        await waiter.wait()


async def test_news_of_what_was_seen() -> None:
    """An entry that the reader has seen already does not wake it; a later one does, and so does any other change."""
    for news, woken in ((3.0, False), (4.0, True), (None, True)):
        waiter = Waiter()
        waiter.begin()
        waiter.wake(news) if news else waiter.wake()
        waiting = asyncio.create_task(waiter.wait(seen=3))
        await asyncio.sleep(0)
        assert waiting.done() == woken
        waiting.cancel()


async def test_an_exception_for_each_follower() -> None:
    """Followers of a failed log do not share an exception, whose traceback would grow with each of them."""
    watchers: Watchers[Waiter] = Watchers()
    waiters = [Waiter() for _ in range(3)]
    for waiter in waiters:
        watchers.follow("log", waiter)
    why = StoreError("away")
    why.retry_after = 7.0
    watchers.fail(why, ["log", "a log that nobody follows"])
    failures = [await failure_of(waiter) for waiter in waiters]
    assert len({id(each) for each in [*failures, why]}) == 4
    assert {(str(each), each.retry_after) for each in failures} == {("away", 7.0)}


async def test_a_failure_that_lasts() -> None:
    """Followers hear of a failure only once it has lasted, counted from the first look that failed since a success."""
    clock = Clock()
    watchers: Watchers[Waiter] = Watchers(clock)
    waiter = Waiter()
    watchers.follow("log", waiter)
    assert not watchers.failed("log", StoreError("first"), 5)
    clock.now = 4
    watchers.succeeded("log")
    assert not watchers.failed("log", StoreError("second"), 5)
    clock.now = 8
    assert not watchers.failed("log", StoreError("third"), 5)
    clock.now = 9
    assert watchers.failed("log", StoreError("fourth"), 5)
    assert str(await failure_of(waiter)) == "fourth"


def test_patience_begins_anew_with_new_followers() -> None:
    """A look that failed for a reader who has left since takes nothing from the patience of those who come later."""
    clock = Clock()
    watchers: Watchers[Waiter] = Watchers(clock)
    early, late = Waiter(), Waiter()
    watchers.follow("log", early)
    assert not watchers.failed("log", StoreError("away"), 5)
    watchers.leave("log", early)
    assert not watchers.failed("log", StoreError("away"), 5)  # nobody follows it
    clock.now = 60
    watchers.follow("log", late)
    assert not watchers.failed("log", StoreError("away"), 5)


def test_the_last_follower() -> None:
    """Only the last follower of a log is the last, also when one of them follows, or leaves, twice."""
    watchers: Watchers[Waiter] = Watchers()
    first, second = Waiter(), Waiter()
    assert [watchers.follow("log", each) for each in (first, first, second)] == [True, False, True]
    assert [watchers.leave("log", each) for each in (first, first, second, second)] == [False, False, True, False]
    assert not watchers.followers


def test_listeners_of_one_log() -> None:
    """A stop wakes every listener of its log and no other, until they cease; the last one says that nobody is left."""
    watchers: Watchers[Waiter] = Watchers()
    woken: list[str] = []
    deserted: list[str] = []
    cease = [
        watchers.listen(log, lambda who=who: woken.append(who), lambda who=who: deserted.append(who))
        for who, log in (("a", "log"), ("b", "log"), ("c", "other"))
    ]
    watchers.wake_writer("log")
    assert woken == ["a", "b"]
    cease[0]()
    cease[0]()
    watchers.wake_writer("log")
    assert (woken, deserted) == (["a", "b", "b"], [])
    cease[1]()
    watchers.wake_writer("log")
    assert (woken, deserted) == (["a", "b", "b"], ["b"])
    assert list(watchers.listeners) == ["other"]

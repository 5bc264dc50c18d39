"""Fixtures shared by the tests of several stores."""

from collections.abc import AsyncGenerator, Generator

import pytest
from upstash_double import UpstashDouble, upstash_double

from headwater.log.upstash.store import UpstashStore
from headwater.log.upstash.times import UpstashTimes

pytest.register_assert_rewrite("headwater.testing")


@pytest.fixture(scope="module")
def running_upstash() -> Generator[UpstashDouble, None, None]:
    with upstash_double() as double:
        yield double


@pytest.fixture
def upstash(running_upstash: UpstashDouble) -> UpstashDouble:
    """The double, empty."""
    running_upstash.reset()
    return running_upstash


@pytest.fixture
def times() -> UpstashTimes:
    """The intervals and time limits of both stores below; a test overrides them by parametrizing `times`."""
    return UpstashTimes()


@pytest.fixture
async def here(upstash: UpstashDouble, times: UpstashTimes) -> AsyncGenerator[UpstashStore, None]:
    """The store as one server opens it."""
    store = UpstashStore(upstash.url, upstash.token, times=times)
    yield store
    await store.aclose()


@pytest.fixture
async def there(upstash: UpstashDouble, times: UpstashTimes) -> AsyncGenerator[UpstashStore, None]:
    """The store as another server opens it."""
    store = UpstashStore(upstash.url, upstash.token, times=times)
    yield store
    await store.aclose()

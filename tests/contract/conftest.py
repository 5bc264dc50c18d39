"""Fixtures that several stores' tests share."""

from collections.abc import AsyncGenerator, Generator

import pytest
from upstash_double import UpstashDouble, upstash_double

from headwater.log.upstash.store import UpstashStore

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
async def here(upstash: UpstashDouble) -> AsyncGenerator[UpstashStore, None]:
    """A server's handle on the double."""
    store = UpstashStore(upstash.url, upstash.token)
    yield store
    await store.aclose()


@pytest.fixture
async def there(upstash: UpstashDouble) -> AsyncGenerator[UpstashStore, None]:
    """Another server's."""
    store = UpstashStore(upstash.url, upstash.token)
    yield store
    await store.aclose()

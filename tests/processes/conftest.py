"""Fixtures of the process tests: stores that several servers share."""

from collections.abc import Generator
from pathlib import Path

import pytest
import redis_servers
from upstash_double import upstash_double


@pytest.fixture(params=["sqlite", "valkey", "upstash"])
def river(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[dict[str, str], None, None]:
    """Settings of a store for all servers of a test, with a lease short enough to wait for."""
    shared = {"HEADWATER_LEASE": "1.5"}
    if request.param == "sqlite":
        yield {**shared, "HEADWATER_STORE": f"sqlite://{tmp_path}/logs.sqlite"}
    elif request.param == "upstash":
        with upstash_double() as double:
            yield {**shared, "UPSTASH_REDIS_REST_URL": double.url, "UPSTASH_REDIS_REST_TOKEN": double.token}
    else:
        with redis_servers.serving(redis_servers.engines()[0]) as server:
            yield {**shared, "HEADWATER_STORE": server.url}

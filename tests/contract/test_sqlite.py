"""The SQLite store keeps the contract, through two handles on one file, and looks after that file."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from headwater.log.sqlite import SqliteStore
from headwater.log.store import Limits
from headwater.testing.contract import Clock, Harness, StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def harness(self, limits: Limits, tmp_path: Path) -> AsyncGenerator[Harness, None]:
        clock = Clock()
        store, peer = (SqliteStore(tmp_path / "logs.db", limits, clock) for _ in range(2))
        yield Harness(store, peer, clock)
        await peer.aclose()
        await store.aclose()

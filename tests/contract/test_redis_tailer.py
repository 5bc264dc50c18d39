"""How long those who follow logs in Redis are patient with it."""

import asyncio
import time
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from redis.asyncio.connection import AbstractConnection

from headwater.errors import StoreError
from headwater.log.lua.steps import Sight
from headwater.log.redis import tailer as redis_tailer
from headwater.log.redis.tailer import RedisTailer
from headwater.testing.contract_harness import PATIENCE


async def nobody_answers() -> AbstractConnection:
    raise StoreError("away")


async def test_every_failure_has_the_whole_of_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that failed for a reader who has left since takes nothing from the patience of those who come later."""
    monkeypatch.setattr(redis_tailer, "PATIENCE", 0.5)
    looked = asyncio.Event()
    looks = 0

    async def look(logs: Sequence[tuple[str, bool]]) -> list[Sight]:
        nonlocal looks
        looks += 1
        looked.set()
        raise StoreError("away for a blink")

    tailer = RedisTailer(nobody_answers, look, lease=0.4)
    async with asyncio.timeout(PATIENCE):
        with tailer.waiter("log") as early:
            tailer.join("log", early)
            await looked.wait()
        monotonic = time.monotonic
        monkeypatch.setattr(redis_tailer, "time", SimpleNamespace(monotonic=lambda: monotonic() + 60))  # a minute later
        looks = 0
        with tailer.waiter("log") as late:
            tailer.join("log", late)
            with pytest.raises(StoreError, match="blink"):
                await late.wait(0)
    assert looks > 1
    await tailer.aclose()

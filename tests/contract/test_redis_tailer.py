"""How long those who follow logs in Redis are patient with it."""

import asyncio
from collections.abc import Sequence

import pytest
from redis.asyncio.connection import AbstractConnection

from headwater.errors import StoreError
from headwater.log import redis_tailer
from headwater.log.redis_steps import Sight
from headwater.log.redis_tailer import RedisTailer

PATIENCE = 0.5


async def nobody_answers() -> AbstractConnection:
    raise StoreError("away")


async def test_every_failure_has_the_whole_of_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that failed for a reader who has left since takes nothing from the patience of those who come later."""
    monkeypatch.setattr(redis_tailer, "PATIENCE", PATIENCE)
    looks = 0

    async def look(logs: Sequence[tuple[str, bool]]) -> list[Sight]:
        nonlocal looks
        looks += 1
        raise StoreError("away for a blink")

    tailer = RedisTailer(nobody_answers, look, lease=0.4)
    now = asyncio.get_running_loop().time
    async with asyncio.timeout(10 * PATIENCE):
        with tailer.waiter("log") as early:
            tailer.join("log", early)
            while not looks:
                await asyncio.sleep(0.01)
        await asyncio.sleep(PATIENCE)  # in which nobody waits, so nothing is looked at
        with tailer.waiter("log") as late:
            tailer.join("log", late)
            begun = now()
            with pytest.raises(StoreError, match="blink"):
                await late.wait(0)
    assert now() - begun > PATIENCE
    await tailer.aclose()

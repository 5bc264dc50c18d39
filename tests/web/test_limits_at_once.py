"""Equal questions at the same moment share one answer, also where no second answer may be generated."""

import asyncio
from pathlib import Path

import pytest
from serving import headwater, post_chat, until

from headwater.answers.quota import Allowance, Quota
from headwater.events import Finish, TextDelta
from headwater.log.sqlite.store import SqliteStore
from headwater.models.scripted import Scripted


@pytest.mark.parametrize("most", [Allowance(generations=1), Allowance(Quota(generations=1))], ids=["process", "tenant"])
async def test_equal_questions_at_once_need_one_place(most: Allowance, tmp_path: Path) -> None:
    """All but the first come before its log is there; a refused one looks again once that is claimed."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("Hel"), gate, Finish("stop")])
    store = SqliteStore(tmp_path / "logs")
    async with headwater(model, store, allowance=most) as server:
        asked = [asyncio.create_task(post_chat(server.client)) for _ in range(20)]
        await until(lambda: len(model.prompts) > 0, "an answer is being generated")
        other = await post_chat(server.client, "another")
        gate.set()
        got = await asyncio.gather(*asked)
    await store.aclose()

    assert {each.status_code for each in got} == {200}
    assert other.status_code in (429, 503)
    assert len(model.prompts) == 1

"""Every pinned client on an answer that its provider broke off, and that another request went on with."""

from collections.abc import Awaitable, Callable

import pytest
from clients.conftest import Told, node, python
from serving import headwater

from headwater.events import Continued, Finish, TextDelta, Usage
from headwater.models.scripted import Scripted

TEXT = "A river begins in the hills."
SEAM = Continued("provider", "prefill", "1-2", waited=0.1)
STEPS = [
    TextDelta("A river be"),
    0.1,
    [SEAM, TextDelta("gins")],
    0.05,
    TextDelta(" in the hills."),
    Finish("stop", Usage(7, 5)),
]


@pytest.mark.parametrize(("run", "driver"), [(node, "seams.mjs"), (python, "seams_python.py")], ids=["node", "python"])
async def test_each_has_the_whole_text_once_live_and_stored(run: Callable[..., Awaitable[Told]], driver: str) -> None:
    """In mid-word and in one message. Only httpx-sse, which sends `no-store`, asks the model twice."""
    model = Scripted(STEPS)
    async with headwater(model) as server:
        told = await run(driver, str(server.client.base_url).rstrip("/"))
    assert told == {client: [TEXT] * len(texts) for client, texts in told.items()}
    assert len(model.prompts) <= len(told) + (run is python)

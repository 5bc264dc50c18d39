"""The chat page in Firefox: what a person notices first works there as in Chromium."""

import asyncio

import pytest
from firefox import Firefox
from serving import Headwater, headwater, until

from headwater.events import Finish, TextDelta, Usage
from headwater.models.scripted import SILENCE, Scripted
from headwater.web.response import Pace

pytestmark = pytest.mark.browser

QUICK = Pace(hold=0.05)


async def ask(firefox: Firefox, server: Headwater, question: str = "Hello?") -> None:
    """Open the page, type a question and send it."""
    await firefox.goto(server.client.base_url)
    await firefox.click("@composer")
    await firefox.type(question)
    await firefox.click("@send")


async def test_firefox_shows_an_answer_as_it_arrives(firefox: Firefox) -> None:
    """Each token is on the page while the next one is still unmade."""
    second = asyncio.Event()
    model = Scripted([TextDelta("One"), second, TextDelta(" **two**"), Finish("stop", Usage(5, 3))])
    async with headwater(model, pace=QUICK) as server:
        await ask(firefox, server)
        await firefox.wait_for_text("@message-assistant", "One")
        await firefox.wait_for_attribute("@message-assistant", "data-state", "streaming")
        second.set()
        await firefox.wait_for_attribute("@message-assistant", "data-state", "finished")
        assert "One two" in await firefox.text("@message-assistant")
        assert "Hello?" in await firefox.text("@message-user")


async def test_firefox_goes_on_at_the_exact_token_after_a_reload(firefox: Firefox) -> None:
    """No token is lost or doubled, and the model is called once."""
    rest = asyncio.Event()
    model = Scripted([TextDelta("One"), TextDelta(" two"), rest, TextDelta(" three"), Finish("stop")])
    async with headwater(model, pace=QUICK) as server:
        await ask(firefox, server)
        await firefox.wait_for_text("@message-assistant", "One two")

        await firefox.reload()

        await firefox.wait_for_text("@message-assistant", "One two")
        rest.set()
        await firefox.wait_for_attribute("@message-assistant", "data-state", "finished")
        assert (await firefox.text("@message-assistant")).count("One two three") == 1
    assert len(model.prompts) == 1


async def test_firefox_stops_the_model_by_the_key(firefox: Firefox) -> None:
    """Escape reaches the server, and the part that came is kept."""
    model = Scripted([TextDelta("Part of it"), SILENCE])
    async with headwater(model, pace=QUICK) as server:
        await ask(firefox, server)
        await firefox.wait_for_text("@message-assistant", "Part of it")

        await firefox.press("Escape")

        await firefox.wait_for_attribute("@message-assistant", "data-state", "stopped")
        assert "Part of it" in await firefox.text("@message-assistant")
        await until(lambda: model.running == 0, "the model was ended")

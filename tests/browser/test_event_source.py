"""The browser's own EventSource reads a log, without a line of ours on the page."""

import asyncio

from playwright.async_api import Page, expect
from proxy import breakable
from serving import chat, headwater, until

from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted

READ = """(location) => {
    document.body.innerHTML = '<p></p><output></output>'
    const source = new EventSource(location)
    source.onmessage = ({ data }) => (document.querySelector('p').textContent += JSON.parse(data).text ?? '')
    source.onerror = () => (document.querySelector('output').value += `${source.readyState} `)
}"""


async def test_it_comes_back_with_its_last_id_and_204_ends_it(page: Page) -> None:
    """Its connection breaks in mid-answer; no word is missing or doubled, and after the ending it asks no more."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("One "), TextDelta("two "), gate, TextDelta("three"), Finish("stop")])
    async with headwater(model) as server, breakable(server.client) as proxy:
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as asked:
            location = asked.headers["location"]
        await page.goto(f"{proxy.url}/readyz")
        await page.evaluate(READ, location)
        text, errors = page.locator("p"), page.locator("output")
        await expect(text).to_have_text("One two ")
        proxy.cut()
        await expect(errors).to_have_text("0 ")
        gate.set()
        await expect(text).to_have_text("One two three")
        await expect(errors).to_have_text("0 0 2 ")
        await until(lambda: not server.answers.running, "the answer has ended")

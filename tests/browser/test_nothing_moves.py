"""Of an answer that is being written nothing moves that is already shown, whatever comes after it."""

import asyncio

import pytest
from playwright.async_api import Page
from serving import headwater

from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.web.response import Pace

pytestmark = pytest.mark.browser

ANSWER = (
    "# Rivers\n\nA claim about rivers.[^1] See the [survey][source].\n\n```ts\nconst a = 1\n```\n\n"
    "| River | km |\n|---|---|\n| Rhine | 1230 |\n\n- one\n- two\n\n> A quote\n\nThe end of it.\n\n"
)
DEFINITIONS = "[source]: https://example.org/survey\n\n[^1]: A source of the claim.\n\n"
BLOCKS = """() => {
  const blocks = [...document.querySelectorAll('.prose > :not(section)')]
  window.seen ??= blocks
  return blocks.map((block, index) => {
    const { x, y, width, height } = block.getBoundingClientRect()
    return [block.tagName, block === window.seen[index], x, y + scrollY, width, height]
  })
}"""


async def test_definitions_and_footnotes_move_nothing(page: Page) -> None:
    """The blocks keep their places, and are the same elements, when the definitions arrive that they refer to."""
    more, end = asyncio.Event(), asyncio.Event()
    script = [TextDelta(ANSWER), more, TextDelta(DEFINITIONS), end, Finish("stop")]
    async with headwater(Scripted(script), pace=Pace(hold=0.02)) as server:
        await page.goto(str(server.client.base_url))
        await page.get_by_test_id("composer").fill("Where do they rise?")
        await page.get_by_test_id("send").click()
        await page.get_by_text("The end of it.").wait_for()
        before = await page.evaluate(BLOCKS)
        more.set()
        await page.locator(".footnotes li").wait_for()
        assert await page.evaluate(BLOCKS) == before
        end.set()
        await page.get_by_role("link", name="survey").wait_for()
        assert await page.evaluate(BLOCKS) == before
        assert await page.locator(".footnotes").text_content() == "A source of the claim.↩"
        assert await page.locator("sup").inner_text() == "1"

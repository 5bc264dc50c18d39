"""Take the pictures of the page in docs/images anew: light, dark, on a phone; run by `make screenshots`."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright, expect

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from chromium import FLAGS, chromium  # noqa: E402 - the tests know how to start a browser and a server
from serving import headwater  # noqa: E402

from headwater.extending import Event, Finish, Prompt, TextDelta, Usage  # noqa: E402
from headwater.prompt import text_of  # noqa: E402
from headwater.testing import SILENCE, Scripted  # noqa: E402

QUESTION = "Why do servers stream answers?"
ANSWER = """**A language model writes one token after another.** A server that waits for the last one shows nothing for
seconds; one that streams shows each token as it comes.

| | waits | streams |
|---|---|---|
| first word | after the whole answer | at once |
| a lost connection | ask again | go on at the same token |
| two equal questions | two model calls | one |

With Headwater, a browser needs three lines:

```js
const answer = await fetch('/api/stream/completion/chat', question)
const text = answer.body.pipeThrough(new TextDecoderStream())
for await (const piece of text) show(piece)
```

"""
FOLLOW_UP = "What if I reload the page now?"
REST = "Nothing is lost. The answer is a log on the server, and the page reads on"
EARLIER = (
    "Plan a week in the Alps",
    "Why is my test flaky?",
    "Names for a river-blue paint",
    "Rezept für Apfelstrudel",
)
PICTURES = [
    ("page-light", "light", 1280, 840),
    ("page-dark", "dark", 1280, 840),
    ("page-phone", "light", 390, 780),
    ("page-phone-chats", "dark", 390, 780),
]
LARGEST = 200_000


class Writer:
    """Answers the first question of the picture whole and is still writing the second; any other has a short answer."""

    name = "openai:gpt-4o-mini"

    def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The answer of the question that is asked last."""
        question = text_of(prompt.messages[-1])
        # The pauses are those of a quick model, and make the figures of the answer.
        parts = [ANSWER[begin : begin + 60] for begin in range(0, len(ANSWER), 60)]
        first = [*(step for part in parts for step in (0.1, TextDelta(part))), Finish("stop", Usage(21, 148))]
        second = [*(TextDelta(word + " ") for word in REST.split()), SILENCE]
        steps = {QUESTION: first, FOLLOW_UP: second}.get(question, [TextDelta("Gladly."), Finish("stop", Usage(9, 2))])
        return Scripted(steps).stream(prompt)


async def ask(page: Page, question: str, state: str = "finished") -> None:
    """Ask in the chat that is shown, and wait for what comes of it."""
    await page.get_by_test_id("composer").fill(question)
    await page.get_by_test_id("send").click()
    await expect(page.get_by_test_id("message-assistant").last).to_have_attribute("data-state", state)


async def take(browser: Browser, name: str, scheme: str, width: int, height: int) -> None:
    """Take one picture: an answer that is whole, one that is still being written, and the chats before it."""
    async with headwater(Writer()) as server:
        dark = "dark" if scheme == "dark" else "light"
        page = await browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=dark, has_touch=width < 600
        )
        await page.goto(str(server.client.base_url))
        for question in reversed(EARLIER):
            await ask(page, question)
            await page.get_by_test_id("new-chat").click()
        await ask(page, QUESTION)
        await ask(page, FOLLOW_UP, "streaming")
        await expect(page.get_by_test_id("message-assistant").last).to_contain_text("reads on")
        if "chats" in name:
            await page.get_by_test_id("open-chats").click()
            await expect(page.get_by_test_id("live-dot")).to_be_visible()
        else:
            # The question before it belongs to the picture.
            await page.evaluate("scrollTo(0, 0)")
        picture = await page.screenshot(animations="disabled", caret="hide")
        await page.close()
    if len(picture) > LARGEST:
        sys.exit(f"{name} has {len(picture):,} bytes, over {LARGEST:,}: make the picture smaller.")
    (ROOT / "docs" / "images" / f"{name}.png").write_bytes(picture)
    print(f"docs/images/{name}.png: {len(picture):,} bytes")


async def main() -> None:
    """Take all pictures, one after the other."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name, scheme, width, height in PICTURES:
            await take(browser, name, scheme, width, height)
        await browser.close()


asyncio.run(main())

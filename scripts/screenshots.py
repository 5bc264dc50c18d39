"""Take the pictures of the page in docs/images anew: light, dark, and on a phone; run by `make screenshots`."""

import asyncio
import sys
from pathlib import Path

from playwright.async_api import Browser, async_playwright, expect

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from chromium import FLAGS, chromium  # noqa: E402 - the tests know how to start a browser and a server
from serving import headwater  # noqa: E402

from headwater.extending import Finish, TextDelta, Usage  # noqa: E402
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
PICTURES = [("page-light", "light", 1100, 840), ("page-dark", "dark", 1100, 840), ("page-phone", "light", 390, 780)]
LARGEST = 200_000


async def take(browser: Browser, name: str, scheme: str, width: int, height: int) -> None:
    """Take one picture: an answer that is whole, and one that is still being written."""
    words = [TextDelta(word + " ") for word in REST.split()]
    # The pauses are those of a quick model, and make the figures below the answer.
    parts = [ANSWER[begin : begin + 60] for begin in range(0, len(ANSWER), 60)]
    paced = [step for part in parts for step in (0.2, TextDelta(part))]
    first = Scripted([*paced, Finish("stop", Usage(21, 148))])
    second = Scripted([*words, SILENCE])

    class Both:
        """Answers the first question whole, and is still writing the second answer."""

        name = "openai:gpt-4o-mini"

        def stream(self, prompt: object) -> object:
            model = second if first.prompts else first
            return model.stream(prompt)

    async with headwater(Both()) as server:
        dark = "dark" if scheme == "dark" else "light"
        page = await browser.new_page(viewport={"width": width, "height": height}, color_scheme=dark)
        await page.goto(str(server.client.base_url))
        for question, state in ((QUESTION, "finished"), (FOLLOW_UP, "streaming")):
            await page.get_by_test_id("composer").fill(question)
            await page.get_by_test_id("send").click()
            await expect(page.get_by_test_id("message-assistant").last).to_have_attribute("data-state", state)
        await expect(page.get_by_test_id("message-assistant").last).to_contain_text("reads on")
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

"""The page for everyone: axe in every view, the keyboard alone, right to left, small and wide screens, no network."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from serving import headwater

from headwater.errors import ModelError
from headwater.events import Finish, ReasoningDelta, TextDelta, Usage
from headwater.models.scripted import Scripted
from headwater.web.response import Pace

pytestmark = pytest.mark.browser

QUICK = Pace(hold=0.05)
AXE = (Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js").read_text()
VIOLATIONS = """async () => (await axe.run(document, { resultTypes: ['violations'] })).violations
    .map(({ id, nodes }) => [id, ...nodes.map(({ html, any }) => [html.slice(0, 160), any[0]?.message])])"""

ANSWER = """## A spring

Water **returns** to the [light](https://example.org) where `rock` lets it:

- [x] rain sinks in
- [ ] clay stops it

| source | litres/s |
|---|---|
| Headwater | 12 |

```python
for drop in river:
    print(drop)
```
"""


async def assert_clean(page: Page, view: str) -> None:
    """Nothing for axe to mend in what is shown now."""
    # Transitions and the fade of a dialog would be measured half-way.
    found: list[Any] = await page.evaluate(VIOLATIONS)
    assert found == [], f"{view}: {found}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_in_any_view(page: Page, browser: Browser, scheme: str) -> None:
    """The empty page, a chat, the list, each dialog, the drawer of a phone, a shared chat, and an error."""
    steps = [ReasoningDelta("Rain?"), TextDelta(ANSWER), Finish("stop", Usage(20, 60))]
    async with headwater(Scripted(steps), pace=QUICK) as server:
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        await page.goto(str(server.client.base_url))
        await page.evaluate(AXE)
        await expect(page.get_by_test_id("composer")).to_be_visible()
        await assert_clean(page, "empty")
        await page.get_by_test_id("composer").fill("Tell me about springs")
        await page.get_by_test_id("send").click()
        await expect(page.get_by_test_id("message-assistant")).to_have_attribute("data-state", "finished")
        await assert_clean(page, "chat and list")
        await page.get_by_test_id("facts").click()
        await assert_clean(page, "figures")

        for keys, dialog in (("Control+k", "search-dialog"), ("Control+/", "keys-dialog")):
            await page.keyboard.press(keys)
            await expect(page.get_by_test_id(dialog)).to_be_visible()
            await assert_clean(page, dialog)
            await page.keyboard.press("Escape")
        await page.get_by_test_id("settings").click()
        await expect(page.get_by_test_id("settings-dialog")).to_be_visible()
        await assert_clean(page, "settings")
        await page.keyboard.press("Escape")
        await page.locator(".header").get_by_role("button", name="What to do").click()
        await assert_clean(page, "menu")
        await page.get_by_role("menuitem", name="Share").click()
        await page.get_by_test_id("share-make").click()
        link = await page.get_by_test_id("address").input_value()
        await assert_clean(page, "share")
        await page.keyboard.press("Escape")
        for name, dialog in (("cache", "cache-dialog"), ("second device", "join-dialog")):
            await page.get_by_test_id("sidebar").get_by_role("button", name="More").click()
            await page.get_by_role("menuitem", name=name).click()
            await expect(page.get_by_test_id(dialog)).to_be_visible()
            await assert_clean(page, dialog)
            await page.keyboard.press("Escape")

        await page.set_viewport_size({"width": 390, "height": 844})
        await page.get_by_test_id("open-chats").click()
        await expect(page.get_by_test_id("drawer")).to_be_visible()
        await assert_clean(page, "drawer")
        await page.keyboard.press("Escape")
        await page.goto(link)
        await page.evaluate(AXE)
        await expect(page.get_by_test_id("message-assistant")).to_be_visible()
        await assert_clean(page, "shared")
        await page.goto(f"{server.client.base_url}?chat=not-a-chat-of-mine")
        await page.evaluate(AXE)
        await expect(page.get_by_test_id("missing")).to_be_visible()
        await assert_clean(page, "missing")
    async with headwater(Scripted([ModelError("Out of coffee.", status=502)]), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await page.evaluate(AXE)
        await page.get_by_test_id("composer").fill("Tell me about springs")
        await page.get_by_test_id("send").click()
        await expect(page.get_by_test_id("error")).to_be_visible()
        await assert_clean(page, "error")


async def test_everything_is_reached_by_the_keyboard_and_the_focus_comes_back(page: Page) -> None:
    """The first Tab offers the way to the question box; a dialog holds the focus, and gives it back."""
    async with headwater(Scripted([TextDelta("Yes."), Finish("stop")]), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await page.get_by_test_id("composer").fill("Are there springs?")
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("message-assistant")).to_have_attribute("data-state", "finished")
        await page.reload()
        await expect(page.get_by_test_id("chat-row")).to_have_count(1)

        # A browser's first Tab goes to the first thing that can have the focus.
        skip = page.locator("a[href], button, input, select, textarea").first
        await skip.focus()
        await expect(skip).to_be_in_viewport()
        await expect(skip).to_have_text("Skip to the question box")
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("composer")).to_be_focused()

        await page.get_by_test_id("settings").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("settings-dialog")).to_be_visible()
        for _ in range(12):
            await page.keyboard.press("Tab")
            assert await page.evaluate(
                "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
            )
        await page.keyboard.press("Escape")
        await expect(page.get_by_test_id("settings-dialog")).to_have_count(0)
        await expect(page.get_by_test_id("settings")).to_be_focused()

        more = page.get_by_test_id("chat-row").get_by_role("button")
        await more.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
        await page.keyboard.press("ArrowUp")
        await expect(page.get_by_role("menuitem", name="Delete")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(more).to_be_focused()
        await page.keyboard.press("Control+Shift+O")
        await expect(page.get_by_test_id("composer")).to_be_focused()
        await expect(page.get_by_test_id("suggestion").first).to_be_visible()


SMALL = """() => [...document.querySelectorAll('button, a[href], select, input, textarea')]
    .filter((each) => each.checkVisibility({ visibilityProperty: true }) && !each.closest('.prose'))
    .map((each) => [each.getBoundingClientRect(), each.outerHTML.slice(0, 120)])
    .filter(([{ width, height, bottom }]) => bottom > 0 && (width < 43.5 || height < 43.5))
    .map(([{ width, height }, html]) => `${Math.round(width)}×${Math.round(height)} ${html}`)"""


async def test_a_phone_has_large_targets_and_the_header_in_reach_also_on_its_side(browser: Browser) -> None:
    """Nothing to touch is under 44 px, nothing is wider than the screen, and scrolling leaves the header."""
    context = await browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = await context.new_page()
    async with headwater(Scripted([TextDelta("Line.\n\n" * 60), Finish("stop")]), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await expect(page.get_by_test_id("suggestion").first).to_be_visible()
        assert await page.evaluate(SMALL) == []
        await page.get_by_test_id("composer").fill("Tell me about springs")
        await page.get_by_test_id("send").click()
        await expect(page.get_by_test_id("message-assistant")).to_have_attribute("data-state", "finished")
        assert await page.evaluate(SMALL) == []
        await page.get_by_test_id("open-chats").click()
        await expect(page.get_by_test_id("drawer").get_by_test_id("chat-row")).to_have_count(1)
        assert await page.evaluate(SMALL) == []
        await page.keyboard.press("Escape")
        await expect(page.get_by_test_id("drawer")).to_have_count(0)

        await page.set_viewport_size({"width": 844, "height": 390})
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        await expect(page.get_by_test_id("open-chats")).to_be_in_viewport()
        await expect(page.get_by_test_id("composer")).to_be_in_viewport()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await context.close()


async def test_the_page_speaks_the_language_of_the_browser_and_another_when_asked(browser: Browser) -> None:
    """German by the browser; Arabic by the settings, from right to left, kept over a reload."""
    context = await browser.new_context(viewport={"width": 1100, "height": 800}, locale="de-AT")
    page = await context.new_page()
    async with headwater(Scripted([TextDelta("Ja."), Finish("stop")]), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await expect(page.get_by_role("heading", name="Was möchten Sie wissen?")).to_be_visible()
        assert await page.evaluate("document.documentElement.lang") == "de"
        await page.get_by_test_id("suggestion").first.click()
        await expect(page.get_by_test_id("message-assistant")).to_have_attribute("data-state", "finished")
        await expect(page.get_by_test_id("sidebar").get_by_role("heading", name="Heute")).to_be_visible()

        await page.get_by_test_id("settings").click()
        await page.get_by_test_id("setting-language").select_option("ar")
        await expect(page.get_by_test_id("sidebar").get_by_role("heading", name="اليوم")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.reload()
        await expect(page.get_by_test_id("sidebar").get_by_role("heading", name="اليوم")).to_be_visible()
        assert await page.evaluate("document.documentElement.dir") == "rtl"
        # The list stands at the right, and the column beside it.
        side = await page.get_by_test_id("sidebar").bounding_box()
        column = await page.locator(".column").bounding_box()
        assert side is not None
        assert column is not None
        assert side["x"] == pytest.approx(column["width"], abs=1)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await context.close()


async def test_the_page_opens_without_a_network_once_it_was_visited(page: Page) -> None:
    """Its panels and languages too; what is typed then is kept; no answer of the API ever comes from there."""
    async with headwater(Scripted([TextDelta("Yes."), Finish("stop")]), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await page.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
        # The copies of chats are in another cache, which is not the service worker's.
        files = "caches.keys().then((names) => names.filter((name) => name.startsWith('headwater:')))"
        assert len(await page.evaluate(files)) == 1
        manifest = await page.evaluate("fetch(document.querySelector('link[rel=manifest]').href).then((r) => r.json())")
        assert {icon["sizes"] for icon in manifest["icons"]} >= {"192x192", "512x512"}

        await page.context.set_offline(True)
        await page.goto(str(server.client.base_url))
        await expect(page.get_by_test_id("composer")).to_be_visible()
        await expect(page.get_by_test_id("connection-banner")).to_be_visible()
        await page.get_by_test_id("composer").fill("for later")
        await page.get_by_test_id("settings").click()
        await page.get_by_test_id("setting-language").select_option("de")
        await expect(page.get_by_role("heading", name="Was möchten Sie wissen?")).to_be_attached()
        await page.reload()
        await expect(page.get_by_test_id("composer")).to_have_value("for later")

        await page.context.set_offline(False)
        await expect(page.get_by_test_id("connection-banner")).to_have_count(0)
        kept = await page.evaluate(
            f"{files}.then(async ([n]) => (await (await caches.open(n)).keys()).map((r) => r.url))"
        )
        assert kept
        assert not any("/api/" in url for url in kept)

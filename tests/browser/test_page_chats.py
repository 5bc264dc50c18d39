"""Many chats on the page: each at its own address, listed, found, renamed, deleted and had back, shared, moved."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, expect
from serving import headwater, until

from headwater.events import Event, Finish, TextDelta, Usage
from headwater.prompt import Prompt, text_of
from headwater.web.response import Pace

pytestmark = pytest.mark.browser

QUICK = Pace(hold=0.05)


class Guide:
    """Says what it is asked about; an answer to a question with `long` in it ends when the gate opens."""

    name = "scripted"

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []
        self.gate = asyncio.Event()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """One paragraph, in two halves."""
        self.prompts.append(prompt)
        question = text_of(prompt.messages[-1])
        yield [TextDelta(f"All about **{question}**: ")]
        if "long" in question:
            await self.gate.wait()
        yield [TextDelta("a spring comes to light in a meadow."), Finish("stop", Usage(5, 9))]


async def ask(page: Page, question: str, state: str = "finished") -> None:
    """Ask in the chat that is shown, and wait for what comes of it."""
    await page.get_by_test_id("composer").fill(question)
    await page.get_by_test_id("send").click()
    await expect(page.get_by_test_id("message-assistant").last).to_have_attribute("data-state", state)


def row(page: Page, title: str) -> Locator:
    """The line of a chat in the list."""
    return page.get_by_test_id("sidebar").get_by_test_id("chat-row").filter(has_text=title)


async def choose(line: Locator, name: str) -> None:
    """Choose from the menu of a line."""
    await line.hover()
    await line.get_by_role("button").click()
    await line.get_by_role("menuitem", name=name).click()


async def test_each_chat_has_its_own_address_and_its_own_draft(page: Page) -> None:
    """Back and forward go between them, a reload stays, and what was typed and not sent waits in each."""
    async with headwater(Guide(), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await ask(page, "rivers")
        rivers = page.url
        assert "?chat=" in rivers
        await expect(page).to_have_title("rivers")
        await page.get_by_test_id("composer").fill("half a thought")

        await page.get_by_test_id("new-chat").click()
        await expect(page.get_by_test_id("composer")).to_have_value("")
        await expect(page.get_by_test_id("composer")).to_be_focused()
        await ask(page, "lakes")
        assert page.url != rivers
        await expect(page.get_by_test_id("sidebar").get_by_test_id("chat-row")).to_contain_text(["lakes", "rivers"])

        await page.go_back()
        await expect(page.get_by_test_id("message-user")).to_contain_text("rivers")
        await expect(page.get_by_test_id("composer")).to_have_value("half a thought")
        await page.reload()
        await expect(page).to_have_title("rivers")
        await expect(page.get_by_test_id("composer")).to_have_value("half a thought")

        await page.get_by_test_id("new-chat").click()
        await page.get_by_test_id("composer").fill("the first words of a new chat")
        await page.reload()
        await expect(page.get_by_test_id("composer")).to_have_value("the first words of a new chat")

        await page.goto(f"{server.client.base_url}?chat=not-a-chat-of-mine")
        await expect(page.get_by_test_id("missing")).to_be_visible()


async def test_a_new_chat_leaves_the_running_answer_alone(page: Page) -> None:
    """The list shows that it goes on, and it is whole when one comes back."""
    model = Guide()
    async with headwater(model, pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await ask(page, "long rivers", "streaming")
        await page.get_by_test_id("new-chat").click()
        await ask(page, "lakes")
        await expect(row(page, "long rivers").get_by_test_id("live-dot")).to_be_visible()

        await row(page, "long rivers").get_by_role("link").click()
        answer = page.get_by_test_id("message-assistant")
        await expect(answer).to_have_attribute("data-state", "streaming")
        model.gate.set()
        await expect(answer).to_have_attribute("data-state", "finished")
        await expect(answer).to_contain_text("All about long rivers: a spring")
        await expect(page.get_by_test_id("live-dot")).to_have_count(0)
    assert len(model.prompts) == 2


async def test_chats_are_found_renamed_deleted_and_had_back(page: Page) -> None:
    """The search looks into answers; a name stays after a reload; a deletion can be undone until it is done."""
    async with headwater(Guide(), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        for question in ("rivers", "lakes"):
            await page.get_by_test_id("new-chat").click()
            await ask(page, question)
        await page.keyboard.press("Control+k")
        await expect(page.get_by_test_id("search-field")).to_be_focused()
        await page.keyboard.type("MEADOW rivers")
        await expect(page.get_by_test_id("search-dialog").get_by_role("status")).to_have_text("Found: 1")
        await expect(page.get_by_test_id("search-result").locator("mark").first).to_be_visible()
        await page.keyboard.press("Enter")
        await expect(page).to_have_title("rivers")
        await expect(page.get_by_test_id("message-assistant")).to_be_in_viewport()

        await choose(row(page, "rivers"), "Rename")
        await page.keyboard.type("Streams\n")
        await expect(page).to_have_title("Streams")
        await page.reload()
        await expect(page.get_by_test_id("chat-title")).to_have_text("Streams")

        await choose(row(page, "Streams"), "Delete")
        await expect(row(page, "Streams")).to_have_count(0)
        await page.get_by_test_id("undo").click()
        await expect(page).to_have_title("Streams")

        chat = page.url.split("chat=")[1]
        await choose(row(page, "Streams"), "Delete")
        await page.reload()
        await expect(row(page, "lakes")).to_have_count(1)
        await expect(row(page, "Streams")).to_have_count(0)
        await page.goto(f"{server.client.base_url}?chat={chat}")
        await expect(page.get_by_test_id("missing")).to_be_visible()


async def test_a_chat_is_exported_and_imported(page: Page, tmp_path: Path) -> None:
    """Markdown for people, JSON for the way back."""
    async with headwater(Guide(), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await ask(page, "rivers")
        files: dict[str, str] = {}
        for name in ("Markdown", "JSON"):
            async with page.expect_download() as download:
                await choose(row(page, "rivers"), f"Export as {name}")
            await (await download.value).save_as(tmp_path / name)
            files[name] = (tmp_path / name).read_text()
        assert "All about **rivers**" in files["Markdown"]
        assert json.loads(files["JSON"])["title"] == "rivers"

        (tmp_path / "chat.json").write_text(files["JSON"].replace("rivers", "brooks"))
        await page.get_by_test_id("import-file").set_input_files(tmp_path / "chat.json")
        await expect(page.get_by_test_id("toast")).to_contain_text("Imported: 1")
        await expect(page.get_by_test_id("message-assistant")).to_contain_text("All about brooks")
        (tmp_path / "wrong.json").write_text('{"a": 1}')
        await page.get_by_test_id("import-file").set_input_files(tmp_path / "wrong.json")
        await expect(page.get_by_test_id("toast")).to_contain_text("could not be imported")


async def test_a_shared_link_shows_a_live_answer_to_somebody_else_until_it_is_revoked(
    page: Page, browser: Browser
) -> None:
    """Read-only, in another browser, while the answer is written."""
    model = Guide()
    async with headwater(model, pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await ask(page, "long rivers", "streaming")
        await page.locator(".header").get_by_role("button", name="What to do").click()
        await page.locator(".header").get_by_role("menuitem", name="Share").click()
        await page.get_by_test_id("share-make").click()
        link = await page.get_by_test_id("address").input_value()

        other = await (await browser.new_context()).new_page()
        await other.goto(link)
        await expect(other.get_by_test_id("shared-banner")).to_contain_text("not yours")
        await expect(other.get_by_test_id("message-assistant")).to_contain_text("All about long rivers")
        await expect(other.get_by_test_id("composer")).to_have_count(0)
        model.gate.set()
        await expect(other.get_by_test_id("message-assistant")).to_have_attribute("data-state", "finished")
        await expect(other.get_by_test_id("message-assistant")).to_contain_text("a spring")

        await page.get_by_test_id("share-end").click()
        await expect(page.get_by_test_id("share-make")).to_be_visible()
        await other.reload()
        await expect(other.get_by_test_id("missing")).to_be_visible()


async def test_a_second_device_joins_by_a_link_that_works_once(page: Page, browser: Browser) -> None:
    """It shows the same chats from then on."""
    async with headwater(Guide(), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await ask(page, "rivers")
        await page.get_by_test_id("sidebar").get_by_role("button", name="More").click()
        await page.get_by_role("menuitem", name="second device").click()
        link = await page.get_by_test_id("address").input_value()

        other = await (await browser.new_context()).new_page()
        await other.goto(link)
        await other.get_by_role("button").click()
        await expect(row(other, "rivers")).to_be_visible()


async def test_settings_of_a_chat_reach_the_model_and_the_cache_panel_counts(page: Page) -> None:
    """A system prompt and a temperature go with the next question; an equal question in another chat is a hit."""
    model = Guide()
    async with headwater(model, pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await page.get_by_test_id("settings").click()
        await page.get_by_test_id("setting-system").fill("Speak of water.")
        await page.get_by_test_id("setting-temperature").fill("0.5")
        await page.keyboard.press("Escape")
        await ask(page, "rivers")
        assert [message.role for message in model.prompts[0].messages] == ["system", "user"]
        assert model.prompts[0].parameters.temperature == 0.5

        for _ in range(2):
            await page.get_by_test_id("new-chat").click()
            await ask(page, "lakes")
        assert len(model.prompts) == 2
        await page.get_by_test_id("sidebar").get_by_role("button", name="More").click()
        await page.get_by_role("menuitem", name="cache").click()
        figures = page.get_by_test_id("cache-figures")
        await expect(figures.locator("dd").nth(0)).to_have_text("3")
        await expect(figures.locator("dd").nth(1)).to_have_text("1")
        await page.get_by_test_id("cache-clear").click()
        await page.get_by_test_id("cache-clear-yes").click()
        await expect(figures.locator("dd").last).to_have_text("0")
        await page.keyboard.press("Escape")

        await page.get_by_test_id("new-chat").click()
        await ask(page, "lakes")
        await until(lambda: len(model.prompts) == 3, "the model is asked anew")


async def test_a_question_asked_without_a_network_is_sent_when_it_is_back(page: Page) -> None:
    """The page says that it is offline, keeps the question at its own address, and sends it by itself."""
    async with headwater(Guide(), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await expect(page.get_by_test_id("composer")).to_be_visible()
        await page.context.set_offline(True)
        await page.get_by_test_id("composer").fill("rivers")
        await page.get_by_test_id("send").click()
        await expect(page.get_by_test_id("connection-banner")).to_contain_text("You are offline")
        await expect(page.get_by_test_id("try-now")).to_be_visible()
        await page.context.set_offline(False)
        await expect(page.get_by_test_id("message-assistant")).to_have_attribute("data-state", "finished")
        await expect(page.get_by_test_id("connection-banner")).to_have_count(0)
        assert "?chat=" in page.url


COPIES = """async () => {
  const names = (await caches.keys()).filter((name) => name.startsWith('headwater-copies:'))
  const kept = await Promise.all(names.map(async (name) => (await (await caches.open(name)).keys()).length))
  return kept.some((count) => count > 1)
}"""


async def test_a_chat_that_was_read_is_there_without_a_network(page: Page) -> None:
    """With its line in the list."""
    async with headwater(Guide(), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await page.evaluate("navigator.serviceWorker.ready")
        await ask(page, "rivers")
        await page.reload()
        await expect(page.get_by_test_id("message-assistant")).to_contain_text("All about rivers")
        await page.wait_for_function(COPIES)

        await page.context.set_offline(True)
        await page.reload()

        await expect(page.get_by_test_id("message-assistant")).to_contain_text("All about rivers")
        await expect(row(page, "rivers")).to_be_visible()
        await expect(page.get_by_test_id("connection-banner")).to_be_visible()
        await page.context.set_offline(False)
        await expect(page.get_by_test_id("connection-banner")).to_have_count(0)

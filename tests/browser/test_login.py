"""The login box and the refusal in a real browser, and the chat page that goes there and comes back."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from serving import Headwater, headwater

from headwater.access.keyfile import KeyFile, Keys
from headwater.access.keys import parse
from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.web.response import Pace

pytestmark = pytest.mark.browser

KEY = "browser-key-0001"
QUICK = Pace(hold=0.05)


def keys() -> Keys:
    """One key."""
    return Keys(parse(f"acme:{KEY}"), KeyFile(Path("/nonexistent/keys.json")))


async def log_in(page: Page, key: str = KEY) -> None:
    """Fill the box."""
    await page.get_by_label("Key").fill(key)
    await page.get_by_role("button", name="Log in").click()


async def at(server: Headwater, page: Page, path: str) -> None:
    """Wait until the page is at a path."""
    await page.wait_for_url(str(server.client.base_url).rstrip("/") + path)


async def test_a_visitor_logs_in_chats_and_logs_out(page: Page) -> None:
    """With a wrong key first."""
    async with headwater(Scripted([TextDelta("Hello."), Finish("stop")]), keys=keys(), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await log_in(page, "wrong")
        await expect(page.get_by_role("alert")).to_contain_text("not valid")
        await log_in(page)
        await at(server, page, "/")
        await page.get_by_test_id("composer").fill("Hello?")
        await page.get_by_test_id("send").click()
        await expect(page.get_by_test_id("message-assistant")).to_contain_text("Hello.")

        await page.goto(f"{server.client.base_url}/login")
        await expect(page.get_by_role("main")).to_contain_text("acme")
        await page.get_by_role("button", name="Log out").click()
        await page.goto(str(server.client.base_url))
        await expect(page.get_by_label("Key")).to_be_visible()


async def test_the_page_comes_back_from_a_new_login_with_the_answer_and_the_draft(page: Page) -> None:
    """The session ends in mid-answer: the page logs in anew, and reads on at the exact token."""
    rest = asyncio.Event()
    model = Scripted([TextDelta("One"), TextDelta(" two"), rest, TextDelta(" three"), Finish("stop")])
    async with headwater(model, keys=keys(), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await log_in(page)
        await page.get_by_test_id("composer").fill("Hello?")
        await page.get_by_test_id("send").click()
        answer = page.get_by_test_id("message-assistant")
        await expect(answer).to_contain_text("One two")
        await page.get_by_test_id("composer").fill("and then")

        await page.context.clear_cookies()
        await page.get_by_test_id("stop").click()  # without a session: nothing is stopped
        await expect(page.get_by_label("Key")).to_be_visible()
        await log_in(page)

        await expect(page.get_by_test_id("composer")).to_have_value("and then")
        await expect(answer).to_contain_text("One two")
        rest.set()
        await expect(answer).to_have_attribute("data-state", "finished")
        assert (await answer.inner_text()).count("One two three") == 1
    assert len(model.prompts) == 1


async def test_a_login_with_another_key_finds_no_draft_of_the_one_before(page: Page) -> None:
    """The same key finds it again."""
    ring = Keys(parse(f"acme:{KEY},acme:{KEY}-of-another"), KeyFile(Path("/nonexistent/keys.json")))
    async with headwater(Scripted([TextDelta("Hello."), Finish("stop")]), keys=ring, pace=QUICK) as server:
        home = str(server.client.base_url).replace("127.0.0.1", "localhost")  # where browsers trust plain HTTP
        await page.goto(home)
        for key, found in ((KEY, ""), (KEY, "half a question"), (f"{KEY}-of-another", "")):
            await log_in(page, key)
            await expect(page.get_by_test_id("composer")).to_have_value(found)
            await page.get_by_test_id("composer").fill("half a question")
            await page.goto(f"{home}/login")
            await page.get_by_role("button", name="Log out").click()
            await page.goto(home)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 1100), ("light", 360)])
async def test_the_box_and_the_refusal_are_calm_in_light_dark_and_on_a_phone(
    page: Page, scheme: str, width: int, tmp_path: Path
) -> None:
    """They follow the system's scheme, need no script, and fit the screen."""
    async with headwater(Scripted([]), keys=keys()) as server:
        await page.set_viewport_size({"width": width, "height": 700})
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        port = server.client.base_url.port
        for name, host in (("login", "127.0.0.1"), ("refused", f"{'long-' * 11}name.example")):
            await page.goto(f"http://{host}:{port}/")
            await expect(page.get_by_role("heading")).to_be_visible()
            await page.screenshot(path=tmp_path / f"{name}.png")
            shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + Number(b), 0)"
            assert (await page.evaluate(shade) < 300) == (scheme == "dark")
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")

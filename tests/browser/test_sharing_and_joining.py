"""A shared conversation, and a second device that joins, in a real browser."""

import asyncio
from base64 import b64encode

import pytest
from playwright.async_api import Browser, expect
from serving import headwater
from test_login import KEY, keys

from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.web.response import Pace

pytestmark = pytest.mark.browser

ONE = "/api/conversations/conversation-1"


async def test_a_stranger_follows_a_shared_conversation_without_a_key(browser: Browser) -> None:
    """While it is written, with its file; and sees that the link was revoked."""
    rest = asyncio.Event()
    model = Scripted([TextDelta("One"), rest, TextDelta(" two"), Finish("stop")])
    async with headwater(model, keys=keys(), pace=Pace(hold=0.05)) as server:
        server.client.headers["authorization"] = f"Bearer {KEY}"
        file = {"name": "notes.txt", "type": "text/plain", "data": b64encode(b"the notes").decode()}
        asked = {"content": "Hello?", "parent": None, "attachments": [file]}
        await server.client.post(f"{ONE}/messages", json=asked)
        url = (await server.client.post(f"{ONE}/share")).json()["url"]
        async with await browser.new_context() as context:
            page = await context.new_page()
            await page.goto(url)
            answer = page.get_by_test_id("message-assistant")
            await expect(answer).to_contain_text("One")
            await expect(page.get_by_test_id("composer")).to_have_count(0)
            rest.set()
            await expect(answer).to_contain_text("One two")
            await expect(answer).to_have_attribute("data-state", "finished")
            link = await page.get_by_role("link", name="notes.txt").evaluate("link => link.href")
            assert await (await context.request.get(link)).text() == "the notes"
            assert await context.cookies() == []

            await server.client.delete(f"{ONE}/share")
            await page.reload()
            await expect(page.get_by_test_id("shared-banner")).to_have_count(0)
            await expect(answer).to_have_count(0)


async def test_a_second_device_joins_by_a_button_without_a_script(browser: Browser) -> None:
    """It then has the chats of both."""
    async with headwater(Scripted([TextDelta("x"), Finish("stop")])) as server:
        await server.client.put(ONE, json={"title": "Of the desk"})
        url, home = (await server.client.post("/api/visitor/link")).json()["url"], f"{server.client.base_url}/"
        async with await browser.new_context(java_script_enabled=False) as context:
            page = await context.new_page()
            await page.goto(home)
            await context.request.put(f"{home}{ONE[1:]}", data={"title": "Of the phone"})
            await page.goto(url)
            await expect(page.get_by_role("main")).to_contain_text("(1)")
            await page.get_by_role("button").click()
            await page.wait_for_url(home)
        listed = (await server.client.get("/api/conversations")).json()["conversations"]

    assert {each["title"] for each in listed} == {"Of the desk", "Of the phone"}

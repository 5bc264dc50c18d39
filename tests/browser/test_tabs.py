"""Many tabs of one browser, and tabs that go: answers over one connection, and no question lost."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

import pytest
from playwright.async_api import Browser, Page, expect
from proxy import breakable
from serving import headwater, until
from starlette.requests import Request

from headwater.events import Event, Finish, TextDelta
from headwater.principal import ANYONE, Principal
from headwater.prompt import Prompt, text_of
from headwater.web.response import Pace

pytestmark = pytest.mark.browser

QUICK = Pace(hold=0.05)


class Patient:
    """Says half of each answer, and the rest when the gate opens."""

    name = "scripted"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = asyncio.Event()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The question in capitals."""
        question = text_of(prompt.messages[-1])
        self.asked.append(question)
        yield [TextDelta(f"{question.upper()}: ")]
        await self.gate.wait()
        yield [TextDelta("done."), Finish("stop")]


async def ask(page: Page, question: str) -> None:
    """Ask in the chat that is shown."""
    await page.get_by_test_id("composer").fill(question)
    await page.get_by_test_id("send").click()


async def test_eight_tabs_with_live_answers_read_over_one_connection(browser: Browser) -> None:
    """A browser opens six connections to a server: with one for each answer, the seventh tab would hang."""
    model, reads = Patient(), list[list[str]]()

    def who(request: Request) -> Principal:
        if request.url.path.startswith("/api/streams") and "event-stream" in request.headers.get("accept", ""):
            reads.append(request.query_params.getlist("read"))
        return ANYONE

    async with headwater(model, pace=QUICK, who=who) as server:
        context = await browser.new_context()
        tabs = [await context.new_page() for _ in range(8)]
        for number, tab in enumerate(tabs):
            await tab.goto(str(server.client.base_url))
            await ask(tab, f"question {number}")
            await expect(tab.get_by_test_id("message-assistant")).to_contain_text(f"QUESTION {number}:")
        assert len(reads[-1]) == 8
        assert all(reads), "an answer was read over a connection of its own"

        model.gate.set()
        for number, tab in enumerate(tabs):
            answer = tab.get_by_test_id("message-assistant")
            await expect(answer).to_have_attribute("data-state", "finished")
            await expect(answer).to_contain_text(f"QUESTION {number}: done.")
        await context.close()


async def test_a_question_that_a_tab_could_not_send_is_sent_by_the_next_one(browser: Browser) -> None:
    """The server was away when it was asked, and the tab is closed before it is back."""
    model = Patient()
    model.gate.set()
    async with headwater(model, pace=QUICK) as server, breakable(server.client) as between:
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(between.url)
        await ask(page, "rivers")
        await expect(page.get_by_test_id("message-assistant")).to_have_attribute("data-state", "finished")
        between.refusing = True
        between.cut()
        await page.get_by_test_id("new-chat").click()
        await ask(page, "lakes")
        await expect(page.get_by_test_id("message-user")).to_contain_text("lakes")
        await page.close()
        assert model.asked == ["rivers"]

        between.refusing = False
        page = await context.new_page()
        await page.goto(between.url)

        await until(lambda: "lakes" in model.asked, "the question is asked")
        await expect(page.get_by_test_id("chat-row")).to_contain_text(["lakes", "rivers"])
        await context.close()


async def test_two_tabs_that_ask_in_one_chat_at_once_both_get_their_answer(browser: Browser) -> None:
    """The second question waits for the first one's answer, and both tabs show all of it."""
    model = Patient()
    model.gate.set()
    async with headwater(model, pace=QUICK) as server:
        context = await browser.new_context()
        one, two = await context.new_page(), await context.new_page()
        await one.goto(str(server.client.base_url))
        await ask(one, "rivers")
        await expect(one.get_by_test_id("message-assistant")).to_have_attribute("data-state", "finished")
        await two.goto(one.url)
        await expect(two.get_by_test_id("message-assistant")).to_contain_text("RIVERS: done.")
        model.gate.clear()

        await asyncio.gather(ask(one, "lakes"), ask(two, "seas"))
        for tab in (one, two):
            await expect(tab.get_by_test_id("message-assistant").last).to_contain_text(re.compile("LAKES:|SEAS:"))
        assert len(model.asked) == 2
        model.gate.set()

        for tab in (one, two):
            for words in ("LAKES: done.", "SEAS: done."):
                await expect(tab.get_by_test_id("message-assistant").filter(has_text=words)).to_have_count(1)
            await expect(tab.get_by_test_id("message-user")).to_have_count(3)
        await context.close()

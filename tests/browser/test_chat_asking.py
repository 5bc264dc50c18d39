"""Asking in the chat page: drafts, queue, branches, files, and what is told of an answer."""

import asyncio

import pytest
from playwright.async_api import Page, expect
from serving import headwater, until

from headwater.events import Finish, TextDelta, Usage
from headwater.models.scripted import Scripted
from headwater.web.response import Pace

pytestmark = pytest.mark.browser

QUICK = Pace(hold=0.02)


async def ask(page: Page, question: str) -> None:
    """Type a question and press Enter."""
    await page.get_by_test_id("composer").fill(question)
    await page.get_by_test_id("composer").press("Enter")


async def finished(page: Page) -> None:
    """Wait for the newest answer."""
    await expect(page.get_by_test_id("message-assistant").last).to_have_attribute("data-state", "finished")


async def test_a_queued_question_is_asked_when_the_answer_is_done_and_a_draft_survives_a_reload(page: Page) -> None:
    """Both are kept while the first answer is still being written."""
    rest = asyncio.Event()
    model = Scripted([TextDelta("So far"), rest, TextDelta(", all."), Finish("stop")])
    async with headwater(model, pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await ask(page, "First?")
        await expect(page.get_by_test_id("message-assistant")).to_contain_text("So far")
        await ask(page, "Second?")
        await expect(page.get_by_test_id("queue")).to_contain_text("Second?")
        await page.get_by_test_id("composer").fill("half a thought")
        await page.reload()
        await expect(page.get_by_test_id("composer")).to_have_value("half a thought")
        await expect(page.get_by_test_id("queue")).to_contain_text("Second?")
        rest.set()
        await expect(page.get_by_test_id("message-user").last).to_contain_text("Second?")
        await finished(page)
        await until(lambda: len(model.prompts) == 2, "both questions are asked")


async def test_arrow_up_edits_the_last_question_and_its_branches_are_flipped(page: Page) -> None:
    """The old question and its answer are one key away."""
    model = Scripted([TextDelta("An answer."), Finish("stop")])
    async with headwater(model, pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await ask(page, "Old words?")
        await finished(page)
        await page.get_by_test_id("composer").press("ArrowUp")
        await page.get_by_test_id("edit-box").fill("New words?")
        await page.get_by_test_id("edit-box").press("Enter")
        question = page.get_by_test_id("message-user")
        await expect(question).to_contain_text("New words?")
        await finished(page)
        await question.get_by_label("Previous version").click()
        await expect(question).to_contain_text("Old words?")
        await page.keyboard.press("ArrowRight")
        await expect(question).to_contain_text("New words?")


async def test_an_answer_cut_by_its_length_goes_on_and_its_facts_open_on_demand(page: Page) -> None:
    """The figures are out of sight until somebody asks for them, and a screen reader hears plain text."""
    model = Scripted([TextDelta("# Springs\n\nSome **water**"), Finish("length", Usage(12, 34))])
    async with headwater(model, pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await ask(page, "Springs?")
        await finished(page)
        await expect(page.get_by_test_id("announcer")).to_have_text("Heading: Springs. Some water")
        await expect(page.get_by_test_id("stats")).to_have_count(0)
        await page.get_by_test_id("facts").click()
        await expect(page.get_by_test_id("stats")).to_contain_text("12 read, 34 written")
        await page.keyboard.press("Tab")
        await page.get_by_test_id("continue").click()
        await expect(page.get_by_test_id("message-assistant")).to_have_count(2)
        await until(lambda: len(model.prompts) == 2, "the rest is asked for")


async def test_a_text_file_goes_to_the_model(page: Page) -> None:
    """Its words are in the prompt, and its name stays at the question."""
    model = Scripted([TextDelta("Read."), Finish("stop")])
    async with headwater(model, pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await expect(page.get_by_test_id("composer")).to_be_focused()
        note = {"name": "note.txt", "mimeType": "text/plain", "buffer": b"Water runs downhill."}
        await page.get_by_test_id("file-picker").set_input_files([note])  # pyright: ignore[reportArgumentType]
        await expect(page.get_by_test_id("files")).to_contain_text("note.txt")
        await ask(page, "What does it say?")
        await finished(page)
        await expect(page.get_by_test_id("message-user")).to_contain_text("note.txt")
    assert "Water runs downhill." in str(model.prompts[0])

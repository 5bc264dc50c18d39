"""The turns of a chat on the page: the queue's buttons, Escape, images, reasoning, tools, failures, the curl line."""

import asyncio
import base64
import shlex

import pytest
from playwright.async_api import FilePayload, Page, Route, expect
from serving import headwater, until

from headwater.errors import ModelError
from headwater.events import Finish, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, ToolResult
from headwater.models.scripted import SILENCE, Scripted
from headwater.web.response import Pace

pytestmark = pytest.mark.browser

QUICK = Pace(hold=0.02)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ANNOUNCED = """() => {
  window.heard = []
  const place = document.querySelector('[data-testid=announcer]')
  const all = { childList: true, characterData: true, subtree: true }
  new MutationObserver(() => window.heard.push(place.textContent)).observe(place, all)
}"""


async def ask(page: Page, question: str) -> None:
    """Type a question and press Enter."""
    await page.get_by_test_id("composer").fill(question)
    await page.get_by_test_id("composer").press("Enter")


async def _without_images(route: Route) -> None:
    response = await route.fetch()
    about = await response.json()
    for model in about["models"]:
        model["images"] = False
    await route.fulfill(response=response, json=about)


async def test_a_waiting_question_is_edited_removed_and_sent_at_once(page: Page) -> None:
    """Sending it now stops the running answer, whose part is kept."""
    model = Scripted([TextDelta("A part"), SILENCE])
    async with headwater(model, pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await ask(page, "First?")
        await expect(page.get_by_test_id("message-assistant")).to_contain_text("A part")
        for question in ("Second?", "Third?", "Fourth?"):
            await ask(page, question)
        queue = page.get_by_test_id("queue")
        await expect(queue.get_by_role("listitem")).to_have_count(3)
        await queue.get_by_label("Remove this waiting question").first.click()
        await queue.get_by_label("Edit this waiting question").first.click()
        await expect(page.get_by_test_id("composer")).to_have_value("Third?")
        await expect(queue.get_by_role("listitem")).to_have_count(1)
        await queue.get_by_role("button", name="Send now").click()
        await expect(page.get_by_test_id("message-assistant").first).to_have_attribute("data-state", "stopped")
        await expect(page.get_by_test_id("message-user").last).to_contain_text("Fourth?")
        await until(lambda: len(model.prompts) == 2, "the question that was sent now is asked")
        await expect(page.get_by_test_id("message-assistant").last).to_have_attribute("data-state", "streaming")
        await page.keyboard.press("Escape")
        await expect(page.get_by_test_id("message-assistant").last).to_have_attribute("data-state", "stopped")
        await until(lambda: model.running == 0, "the model is stopped")


async def test_an_image_is_refused_where_the_model_takes_none(page: Page) -> None:
    """The reason is said before anything is sent, and the words that were typed stay."""
    async with headwater(Scripted([TextDelta("Never."), Finish("stop")]), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await page.get_by_test_id("composer").fill("What is in it?")
        await page.route("**/api/about", _without_images)
        await page.reload()
        image = FilePayload(name="pixel.png", mimeType="image/png", buffer=PIXEL)
        await page.get_by_test_id("file-picker").set_input_files([image])
        await expect(page.get_by_text("pixel.png: this model does not take images.")).to_be_visible()
        await expect(page.get_by_test_id("composer")).to_have_value("What is in it?")


async def test_reasoning_and_tools_are_folded_and_a_screen_reader_hears_the_answer_once(page: Page) -> None:
    """What the model thought and called is one click away; what is heard is plain text."""
    begun = asyncio.Event()
    model = Scripted(
        [
            ReasoningDelta("A spring comes first."),
            ToolCallStart("call-1", "look_up"),
            ToolCallDelta("call-1", '{"word": "spring"}'),
            ToolCallEnd("call-1"),
            ToolResult("call-1", "water from the ground"),
            TextDelta("It is **water**"),
            begun,
            TextDelta(" from `below`."),
            Finish("stop"),
        ]
    )
    async with headwater(model, pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await page.evaluate(ANNOUNCED)
        await ask(page, "What is a spring?")
        answer = page.get_by_test_id("message-assistant")
        await expect(answer).to_contain_text("It is water")
        begun.set()
        await expect(answer).to_have_attribute("data-state", "finished")
        await expect(page.get_by_test_id("announcer")).to_have_text("It is water from below.")
        assert await page.evaluate("heard") == ["Answering", "It is water from below."]
        thought, output = answer.get_by_text("A spring comes first."), answer.get_by_text("water from the ground")
        await expect(thought).to_be_hidden()
        await expect(output).to_be_hidden()
        await answer.get_by_text("Thought", exact=False).first.click()
        await expect(thought).to_be_visible()
        await answer.get_by_text("Tool look_up").click()
        await expect(output).to_be_visible()


async def test_a_failure_is_told_in_plain_words_and_the_servers_own_are_folded(page: Page) -> None:
    """What the provider said is for whoever opens the details."""
    failing = ModelError("the provider said: key sk-… is out of money at 10.0.0.7", code="overloaded", retryable=False)
    async with headwater(Scripted([failing]), pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await ask(page, "Hello?")
        error = page.get_by_test_id("error")
        await expect(error).to_be_visible()
        detail = error.get_by_text("out of money", exact=False)
        await expect(detail).to_be_hidden()
        await error.get_by_text("Details").click()
        await expect(detail).to_be_visible()


async def test_the_curl_line_of_an_answer_reads_the_answer(page: Page) -> None:
    """The panel says where a live answer comes from; the line that it copies works in a terminal."""
    rest = asyncio.Event()
    model = Scripted([TextDelta("From the log"), rest, TextDelta(" itself."), Finish("stop")])
    async with headwater(model, pace=QUICK) as server:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.goto(str(server.client.base_url))
        await ask(page, "Where from?")
        await expect(page.get_by_test_id("message-assistant")).to_contain_text("From the log")
        rest.set()
        await expect(page.get_by_test_id("message-assistant")).to_have_attribute("data-state", "finished")
        await page.get_by_test_id("facts").click()
        await expect(page.get_by_test_id("facts-panel")).to_contain_text("Written by the model for this question")
        await page.get_by_role("button", name="Copy as curl").click()
        await page.wait_for_function("async () => (await navigator.clipboard.readText()).startsWith('curl')")
        line = shlex.split(await page.evaluate("navigator.clipboard.readText()"))
        address = next(word for word in line if word.startswith("http"))
        response = await server.client.get(address, headers={"Accept": "text/event-stream"})
        assert '"text":"From the log"' in response.text
        assert '"type":"finish"' in response.text


async def test_a_hidden_tab_says_that_its_answer_is_done(page: Page) -> None:
    """Its title has a sign until somebody looks."""
    rest = asyncio.Event()
    model = Scripted([TextDelta("One"), rest, TextDelta(" two."), Finish("stop")])
    async with headwater(model, pace=QUICK) as server:
        await page.goto(str(server.client.base_url))
        await ask(page, "Count?")
        await expect(page.get_by_test_id("message-assistant")).to_contain_text("One")
        title = await page.title()
        hide = "state => { Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });"
        hide += "Object.defineProperty(document, 'hidden', { value: state === 'hidden', configurable: true });"
        hide += "document.dispatchEvent(new Event('visibilitychange')) }"
        await page.evaluate(hide, "hidden")
        rest.set()
        await page.wait_for_function("title => document.title !== title", arg=title)
        await page.evaluate(hide, "visible")
        await page.wait_for_function("title => document.title === title", arg=title)

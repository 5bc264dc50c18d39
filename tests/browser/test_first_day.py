"""A newcomer's first day: no key, no setting, one command, and a page that answers."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from servers import serve

pytestmark = [pytest.mark.browser, pytest.mark.local_model]


async def test_with_nothing_set_the_page_answers_from_the_embedded_model(
    page: Page, weights_folder: Path, tmp_path: Path
) -> None:
    """The page shows that the model is a demo; its answers are cached like any other."""
    async with serve(tmp_path, HEADWATER_DATA_DIR=str(weights_folder), HEADWATER_STORE="memory:") as server:
        for visit in range(2):
            await page.goto(str(server.client.base_url))
            if visit:
                await page.get_by_test_id("new-chat").click()
            await page.get_by_test_id("composer").fill("What is the capital of France?")
            await page.get_by_test_id("send").click()
            answer = page.get_by_test_id("message-assistant")
            await expect(answer).to_have_attribute("data-state", "finished", timeout=60_000)
            assert len(await answer.inner_text()) > 10
            await expect(page.get_by_test_id("demo-banner")).to_contain_text("Demo model")
            await expect(page.get_by_test_id("cached-badge")).to_have_count(visit)


@pytest.mark.parametrize(
    ("model", "what", "todo"),
    [
        ("anthropic:claude-x", "the package langchain-anthropic is not installed", "pip install langchain-anthropic"),
        ("openai:gpt-4o-mini", "OPENAI_API_KEY is not set", ".env"),
    ],
)
async def test_a_model_that_lacks_its_package_or_key_is_announced_with_the_remedy(
    model: str, what: str, todo: str, page: Page, tmp_path: Path
) -> None:
    """Before the first question, calmly, with what to type as code; and the first question's error says the same."""
    async with serve(tmp_path, HEADWATER_MODEL=model, HEADWATER_STORE="memory:") as server:
        async with asyncio.timeout(20):  # until the server has tried to build its model
            while (await server.client.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.05)
        await page.goto(str(server.client.base_url))
        banner = page.get_by_test_id("problem-banner")
        await expect(banner).to_contain_text(what)
        await expect(banner.locator("code")).to_have_text([todo])
        await page.get_by_test_id("composer").fill("Hello")
        await page.get_by_test_id("send").click()
        await expect(page.get_by_test_id("error")).to_contain_text(what)


async def test_without_the_weights_and_a_network_the_echo_answers_and_says_so(tmp_path: Path) -> None:
    """The server prints a warning at its start, and the page shows one; a model that is named is an error instead."""
    async with serve(tmp_path, PIP_NO_INDEX="1", PIP_FIND_LINKS="", UV_OFFLINE="1") as server:
        about = (await server.client.get("/api/about")).json()
        assert "the echo model answers" in server.said

    assert (about["model"], about["demo"]) == ("echo", True)

    with pytest.raises(AssertionError, match="headwater cannot start"):
        async with serve(tmp_path, PIP_NO_INDEX="1", PIP_FIND_LINKS="", UV_OFFLINE="1", HEADWATER_MODEL="local"):
            pass

"""Visitors never meet: whatever one calls, it neither lists, reads, changes nor stops what belongs to another."""

import asyncio
from typing import Any, NamedTuple

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import headwater

from headwater.events import Finish, TextDelta
from headwater.models.scripted import SILENCE, Scripted

ALL = "/api/conversations"
VISITORS = 3
CALLS = ("list", "search", "read", "ask", "rename", "share", "unshare", "export", "stop", "forget log", "delete")


class Call(NamedTuple):
    """A visitor's call on a conversation, which may be another's."""

    who: int
    what: str
    whose: int


calls = st.lists(st.builds(Call, st.integers(0, VISITORS - 1), st.sampled_from(CALLS), st.integers(0, VISITORS - 1)))


@settings(max_examples=15, deadline=None)
@given(calls=calls, running=st.booleans())
def test_no_visitor_meets_another(calls: list[Call], running: bool) -> None:
    """Running answers go on and finished ones stay, whatever the others call; and a forged cookie is nobody's."""

    async def run() -> None:
        steps = [TextDelta("answer"), SILENCE if running else Finish("stop")]
        async with headwater(Scripted(steps)) as server:
            browsers = [httpx.AsyncClient(base_url=server.client.base_url, timeout=20) for _ in range(VISITORS)]
            logs = [await _begin(browser, whose) for whose, browser in enumerate(browsers)]
            for call in calls:
                if call.who != call.whose:
                    await _call(browsers[call.who], call, logs[call.whose])
            for whose, browser in enumerate(browsers):
                [line] = (await browser.get(ALL)).json()["conversations"]
                assert (line["title"], line["shared"]) == (f"secret {whose}", None)
                answer = (await browser.get(f"{ALL}/conversation-{whose}")).json()["messages"][-1]
                assert answer["state"] == ("open" if running else "finished")
                state = await browser.get(answer["location"], headers={"accept": "application/json"})
                assert not running or state.json()["state"] == "open"
            for browser in browsers:
                await browser.aclose()

    asyncio.run(run())


async def _begin(browser: httpx.AsyncClient, whose: int) -> str:
    """Ask in a conversation of one's own; where the answer is read."""
    asked = {"content": f"secret {whose}", "parent": None}
    response = await browser.post(f"{ALL}/conversation-{whose}/messages", json=asked)
    return response.json()["answer"]["location"]


async def _call(browser: httpx.AsyncClient, call: Call, log: str) -> None:
    """Make a call on what belongs to another; it finds nothing."""
    one = f"{ALL}/conversation-{call.whose}"
    requests: dict[str, Any] = {
        "read": ("GET", one, None),
        "ask": ("POST", f"{one}/messages", {"content": "mine", "parent": "some-question"}),
        "rename": ("PATCH", one, {"title": "mine"}),
        "share": ("POST", f"{one}/share", None),
        "unshare": ("DELETE", f"{one}/share", None),
        "export": ("GET", f"{one}/export", None),
        "delete": ("DELETE", one, None),
    }
    if call.what in ("list", "search"):
        response = await browser.get(ALL, params={"q": "secret"} if call.what == "search" else {})
        assert f"secret {call.whose}" not in response.text
    elif call.what == "stop":
        assert (await browser.post(f"{log}/stop")).json().get("state") != "stopped"
    elif call.what == "forget log":
        assert (await browser.delete(log)).status_code in (202, 204, 410)
    else:
        method, path, body = requests[call.what]
        assert (await browser.request(method, path, json=body)).status_code == 404

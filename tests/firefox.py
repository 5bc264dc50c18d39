"""Stock Firefox, driven by WebDriver BiDi: Playwright has its own patched Firefox only, which no registry has.

BiDi is JSON over one WebSocket that the browser itself serves, so there is no driver between:
https://w3c.github.io/webdriver-bidi/
"""

import asyncio
import base64
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

# Firefox calls home at every start, unless told otherwise.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage": "about:blank",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.prefetch-next": False,
    "remote.prefs.recommended": True,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}
KEYS = {
    "ArrowDown": "\ue015",
    "ArrowLeft": "\ue012",
    "ArrowRight": "\ue014",
    "ArrowUp": "\ue013",
    "Backspace": "\ue003",
    "Control": "\ue009",
    "End": "\ue010",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Home": "\ue011",
    "PageDown": "\ue00f",
    "PageUp": "\ue00e",
    "Shift": "\ue008",
    "Tab": "\ue004",
}
EVENTS = ["log.entryAdded", "network.beforeRequestSent"]
LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")


@pytest.fixture(scope="session")
def firefox_address() -> Generator[str, None, None]:
    """The BiDi address of one Firefox for the whole run; each test has storage and cookies of its own in it."""
    executable = shutil.which("firefox-esr") or shutil.which("firefox")
    if executable is None:
        pytest.skip("no Firefox here; install Debian's package firefox-esr")
    with tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as profile:
        lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in PREFERENCES.items()]
        Path(profile, "user.js").write_text("\n".join(lines))
        output = Path(profile, "output")
        command = [executable, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0"]
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command, stdout=sink, stderr=sink, env={**os.environ, "MOZ_CRASHREPORTER_DISABLE": "1"}
            )
        try:
            yield _address(process, output)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _address(process: subprocess.Popen[bytes], output: Path) -> str:
    limit = time.monotonic() + 30
    while time.monotonic() < limit and process.poll() is None:
        if found := LISTENING.search(output.read_text(errors="replace")):
            return found[1]
        time.sleep(0.05)
    pytest.fail(f"Firefox did not start within 30 s:\n{output.read_text(errors='replace')[-2000:]}")


class Firefox:
    """One tab. Selectors are CSS, or `@name` for a `data-testid`; every wait ends after `patience` s."""

    def __init__(self, connection: ClientConnection) -> None:
        self.patience = 10.0
        self.requests: list[str] = []
        """The address of every request that the tab made."""
        self.broken: list[str] = []
        """Uncaught errors, and violations of the page's policy."""
        self._connection = connection
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tab = ""
        self._reading = asyncio.create_task(self._read())

    async def open(self) -> str:
        """Begin a session and a tab in a user context of its own, whose name is returned."""
        await self.send("session.new", capabilities={})
        await self.send("session.subscribe", events=EVENTS)
        context = (await self.send("browser.createUserContext"))["userContext"]
        self._tab = (await self.send("browsingContext.create", type="tab", userContext=context))["context"]
        await self.resize(1100, 800)
        return context

    async def close(self, context: str) -> None:
        """End the session, and all that the tab has stored."""
        await self.send("browser.removeUserContext", userContext=context)
        await self.send("session.end")
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One BiDi command and its result. Raises AssertionError with what Firefox says is wrong."""
        number = next(self._ids)
        self._replies[number] = reply_to = asyncio.get_running_loop().create_future()
        await self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        reply = await asyncio.wait_for(reply_to, 30)
        assert reply["type"] == "success", f"{method}: {reply.get('error')}: {reply.get('message')}"
        return reply["result"]

    async def _read(self) -> None:
        async for message in self._connection:
            reply = json.loads(message)
            if (waiting := self._replies.pop(reply.get("id"), None)) is not None:
                waiting.set_result(reply)
            elif reply["type"] == "event":
                self._event(reply["method"], reply["params"])

    def _event(self, method: str, event: dict[str, Any]) -> None:
        if method == "network.beforeRequestSent":
            self.requests.append(event["request"]["url"])
        elif event.get("type") == "javascript" or "Content-Security-Policy" in (event.get("text") or ""):
            self.broken.append(event["text"])

    async def goto(self, url: object) -> None:
        """Load a page, and wait until it has loaded."""
        await self.send("browsingContext.navigate", context=self._tab, url=str(url), wait="complete")

    async def reload(self) -> None:
        """Load the page once more."""
        await self.send("browsingContext.reload", context=self._tab, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited and brought over as JSON."""
        wrapped = f"(async () => JSON.stringify(await ({expression})) ?? 'null')()"
        target = {"context": self._tab}
        answer = await self.send("script.evaluate", expression=wrapped, target=target, awaitPromise=True)
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"]["value"])

    async def wait_for(self, expression: str, what: str) -> Any:
        """Wait until an expression is true; fails by saying what never was."""
        limit = time.monotonic() + self.patience
        while not (value := await self.evaluate(expression)):
            assert time.monotonic() < limit, f"never was: {what}; the page reads: {await self.text('body')}"
            await asyncio.sleep(0.02)
        return value

    async def wait_for_text(self, selector: str, text: str) -> None:
        """Wait until the first such element contains the text."""
        found = f"{_first(selector)}?.innerText.includes({json.dumps(text)})"
        await self.wait_for(found, f"{text!r} in {selector}")

    async def wait_for_attribute(self, selector: str, name: str, value: str) -> None:
        """Wait until the first such element has the attribute with this value."""
        has = f"{_first(selector)}?.getAttribute({json.dumps(name)}) === {json.dumps(value)}"
        await self.wait_for(has, f"{name}={value} of {selector}")

    async def text(self, selector: str) -> str:
        """The visible text of the first such element."""
        return await self.evaluate(f"{_first(selector)}?.innerText ?? ''")

    async def count(self, selector: str) -> int:
        """How many such elements there are."""
        return await self.evaluate(f"document.querySelectorAll({json.dumps(_css(selector))}).length")

    async def click(self, selector: str) -> None:
        """Click the middle of an element as a mouse does, once it is there and enabled."""
        await self.wait_for(f"{_first(selector)} && !{_first(selector)}.disabled", f"{selector} can be clicked")
        middle = await self.evaluate(
            f"(async (e) => {{ e.scrollIntoView({{ block: 'nearest' }}); const r = e.getBoundingClientRect();"
            f" return [Math.round(r.x + r.width / 2), Math.round(r.y + r.height / 2)] }})({_first(selector)})"
        )
        move = {"type": "pointerMove", "x": middle[0], "y": middle[1]}
        press = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        await self._perform("pointer", [move, *press], parameters={"pointerType": "mouse"})

    async def type(self, text: str) -> None:
        """Press the keys of a text, in whatever has the focus."""
        await self._perform("key", [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")])

    async def press(self, chord: str) -> None:
        """Press one key such as `Enter`, or several at once such as `Control+Shift+o`."""
        keys = [KEYS.get(name, name) for name in chord.split("+")]
        down = [{"type": "keyDown", "value": key} for key in keys]
        await self._perform("key", [*down, *({"type": "keyUp", "value": key} for key in reversed(keys))])

    async def wheel(self, x: int, y: int, delta: int) -> None:
        """Turn the wheel over a point of the window; downwards if `delta` is positive."""
        scroll = {"type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": delta}
        await self._perform("wheel", [scroll])

    async def _perform(self, kind: str, steps: list[dict[str, Any]], **more: Any) -> None:
        source = {"type": kind, "id": kind, "actions": steps, **more}
        await self.send("input.performActions", context=self._tab, actions=[source])

    async def fill(self, selector: str, text: str) -> None:
        """Click a text field and put the text into it at once, as a paste does."""
        await self.click(selector)
        await self.evaluate(f"document.execCommand('insertText', false, {json.dumps(text)})")

    async def resize(self, width: int, height: int) -> None:
        """Give the window's content this size in pixels."""
        viewport = {"width": width, "height": height}
        await self.send("browsingContext.setViewport", context=self._tab, viewport=viewport)

    async def screenshot(self, path: Path) -> None:
        """Write what is in the window as a PNG."""
        image = await self.send("browsingContext.captureScreenshot", context=self._tab)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(image["data"]))


def _css(selector: str) -> str:
    return f'[data-testid="{selector[1:]}"]' if selector.startswith("@") else selector


def _first(selector: str) -> str:
    return f"document.querySelector({json.dumps(_css(selector))})"


@pytest.fixture
async def firefox(firefox_address: str) -> AsyncGenerator[Firefox, None]:
    """A fresh tab that fails the test when a script on it breaks or its policy is violated."""
    async with connect(f"{firefox_address}/session", max_size=None) as connection:
        tab = Firefox(connection)
        context = await tab.open()
        try:
            yield tab
        finally:
            await tab.close(context)
    assert tab.broken == []

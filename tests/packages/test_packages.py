"""The JavaScript packages as an app gets them: packed, installed, type-checked, run and bundled."""

import asyncio
import gzip
import re
import tarfile
from pathlib import Path

import pytest
from installing import UI, Installed
from playwright.async_api import Page, Route, expect
from servers import serve
from serving import headwater

from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.web.response import Pace

pytestmark = pytest.mark.timeout(240)

LIMIT = 4250
"""Bytes of the hook with all that it needs but React, gzipped."""

HOOK = "export { useChat } from '@headwater/react'\nexport { ChatStore, createTransport } from '@headwater/client'\n"

PROGRAM = """
import { browserStorage, ChatStore, createTransport, EMPTY_MESSAGE, fold } from '@headwater/client'
import type { Answer, ChatOptions, LogEvent, Message } from '@headwater/client'
import { useChat, useLog, type Chat } from '@headwater/react'

const options: ChatOptions = { transport: createTransport('http://127.0.0.1:8000'), storage: browserStorage('chat') }
const store = new ChatStore(options)
const sent: boolean = store.send('Hello')
const events: LogEvent[] = [{ type: 'text-delta', text: 'Hi' }, { type: 'finish', reason: 'stop' }]
export const message: Message = events.reduce(fold, EMPTY_MESSAGE)
export function useBoth(): [Chat, string, boolean] {
  return [useChat(store), useLog(options.transport, '/api/streams/x').message.text, sent]
}
export function status(answer: Answer): 'complete' | string {
  // @ts-expect-error there is no such status
  if (answer.status === 'done') return 'complete'
  return answer.failure?.message ?? answer.message.text
}
// @ts-expect-error a question is a text
store.send(1)
"""


def snippet(package: str, place: int = 0) -> str:
    """A piece of code in the README of a package that is not for a shell."""
    text = (UI / "packages" / package / "README.md").read_text()
    return re.findall(r"```(?:js|tsx)\n(.*?)```", text, re.DOTALL)[place]


def bundle(app: Installed, name: str, code: str, *external: str) -> str:
    """The code as a bundler ships it."""
    (app.folder / name).write_text(code)
    return app.node(Path(__file__).with_name("bundle.mjs"), UI, name, *external)


def test_the_tarballs_hold_what_they_promise_and_nothing_else(installed: Installed) -> None:
    """The same bytes wherever they are packed: no time of the day, no user, no order of a folder."""
    names: dict[str, set[str]] = {}
    for tarball in installed.tarballs:
        assert tarball.read_bytes()[4:8] == bytes(4), "the time of packing is in the gzip header"
        with tarfile.open(tarball) as archive:
            members = archive.getmembers()
        assert {(member.mtime, member.uid, member.uname) for member in members} == {(499162500, 0, "")}
        names[tarball.name.rpartition("-")[0]] = {member.name for member in members}
    assert set(names) == {"headwater-client", "headwater-react"}
    for name, files in names.items():
        rest = {file for file in files if not re.fullmatch(r"package/dist/[a-z-]+\.(js|d\.ts|js\.map)", file)}
        assert rest == {"package/LICENSE", "package/README.md", "package/package.json"}, name
        assert {f"package/dist/index.{kind}" for kind in ("js", "d.ts", "js.map")} <= files


@pytest.mark.parametrize(("module", "resolution"), [("esnext", "bundler"), ("node16", "node16")])
def test_the_types_are_found_and_are_right(installed: Installed, module: str, resolution: str) -> None:
    """By bundlers and by Node's own rules, with the declarations checked too; the READMEs' code compiles."""
    (installed.folder / "program.ts").write_text(PROGRAM)
    (installed.folder / "chat.tsx").write_text(snippet("react"))
    options = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2023,dom", "--jsx", "react-jsx", "--allowJs"]
    (installed.folder / "turns.tsx").write_text(snippet("react", 1))
    (installed.folder / "ask.js").write_text(snippet("client"))
    (installed.folder / "converse.js").write_text(snippet("client", 1))
    resolving = ["--module", module, "--moduleResolution", resolution]
    tsc = UI / "node_modules" / "typescript" / "bin" / "tsc"
    installed.node(
        tsc, *options, *resolving, "--checkJs", "program.ts", "chat.tsx", "turns.tsx", "ask.js", "converse.js"
    )


@pytest.mark.parametrize("place", [0, 1], ids=["one chat", "conversations"])
async def test_the_clients_snippets_read_an_answer_to_its_end_under_node(
    installed: Installed, tmp_path: Path, place: int
) -> None:
    """From a server as an operator starts it."""
    async with serve(tmp_path, HEADWATER_MODEL="echo", HEADWATER_STORE="memory:") as server:
        code = snippet("client", place)
        assert "http://127.0.0.1:8000" in code
        file = installed.folder / "asks.js"
        file.write_text(code.replace("http://127.0.0.1:8000", str(server.client.base_url)))
        printed = await asyncio.to_thread(installed.node, "--enable-source-maps", file.name)

    lines = printed.splitlines()
    assert place or lines[0].startswith("streaming")
    assert lines[-1].startswith("finished")
    assert "Where do rivers begin?" in lines[-1]


async def test_the_hooks_snippet_goes_on_where_it_was_after_a_reload(installed: Installed, page: Page) -> None:
    """In a real browser, in the middle of an answer: no word is lost or doubled, and the model is called once."""
    mount = "import { createRoot } from 'react-dom/client'\nimport { Chat } from './chat'\n"
    mount += "createRoot(document.body.appendChild(document.createElement('main'))).render(<Chat />)\n"
    (installed.folder / "chat.tsx").write_text(snippet("react"))
    script = await asyncio.to_thread(bundle, installed, "mount.tsx", mount)
    rest = asyncio.Event()
    model = Scripted([TextDelta("One"), TextDelta(" two"), rest, TextDelta(" three"), Finish("stop")])

    async def app(route: Route) -> None:
        await route.fulfill(
            body=f"<!doctype html><meta charset=utf-8><body><script type=module>{script}</script>",
            content_type="text/html",
        )

    async with headwater(model, pace=Pace(hold=0.05)) as server:
        await page.route("**/app", app)
        await page.goto(f"{server.client.base_url}/app")
        await page.get_by_role("button", name="Ask").click()
        await expect(page.locator("main")).to_contain_text("One two")

        await page.reload()

        await expect(page.locator("main")).to_contain_text("One two")
        await expect(page.get_by_role("button", name="Stop")).to_be_visible()
        rest.set()
        await expect(page.get_by_role("button", name="Ask")).to_be_visible()
        assert await page.locator("p").all_inner_texts() == ["Where do rivers begin?", "One two three"]
    assert len(model.prompts) == 1


def test_the_hook_with_its_parser_is_about_four_kilobytes(installed: Installed) -> None:
    """All that a chat needs: hook, store, requests, reading, resuming and the parser; React is the app's."""
    size = len(gzip.compress(bundle(installed, "hook.js", HOOK, "react").encode(), mtime=0))

    assert 3000 < size <= LIMIT


@pytest.mark.parametrize(
    ("code", "most", "foreign"),
    [
        ("export { fold } from '@headwater/client'", 700, "fetch"),
        ("export { createTransport } from '@headwater/client'", 900, "tool-call"),
        ("export { browserStorage } from '@headwater/client'", 550, "fetch"),
        ("export { useChat } from '@headwater/react'", 200, "fetch"),
        ("export { useLog } from '@headwater/react'", 2900, "Idempotency-Key"),
        ("export { createConversations } from '@headwater/client/conversations'", 13_600, "Idempotency-Key"),
        ("export { createFollower } from '@headwater/client/conversations'", 2000, "localStorage"),
        ("export { useConversation } from '@headwater/react/conversations'", 200, "fetch"),
    ],
)
def test_what_an_app_does_not_import_is_not_shipped_to_it(
    installed: Installed, code: str, most: int, foreign: str
) -> None:
    """Each export brings what it needs itself, and no more."""
    shaken = bundle(installed, "shaken.js", code, "react")

    assert len(gzip.compress(shaken.encode(), mtime=0)) <= most
    assert foreign not in shaken

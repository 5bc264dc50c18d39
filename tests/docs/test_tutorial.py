"""The tutorial, followed as a reader would: its files, its commands in order, and what they print."""

import asyncio
import re
import shutil
from pathlib import Path

import httpx
import pytest
from serving import chat, parse, text_of
from shell import Terminal, blocks, shows
from upstash_double import upstash_double
from upstream import Upstream

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
FILES = ROOT / "examples"
SERVERS = ("uvicorn ", "headwater serve")
MACHINE = ("apt-get ", "git clone ", "mkdir my-app", "cd my-app", "pip install uv", "cd ../headwater\n")
"""The first words of blocks that set a machine up, or change the folder there."""
GUIDES = ("docs/deploy.md", "examples/nextjs/README.md", "examples/vercel/README.md")
"""Where the commands of the last two chapters come from; `tests/deploy` and `tests/examples` run those."""


def test_every_file_of_the_tutorial_is_an_example() -> None:
    """So that linters read it, and a reader can copy the whole folder."""
    shown = {block.title: block.text for block in blocks(TUTORIAL) if block.title not in ("", ".env")}
    folders = [FILES / name for name in ("tutorial", "nextjs", "vercel")]
    files = {name: file.read_text() for name in shown for folder in folders if (file := folder / name).is_file()}

    assert {path.name for path in folders[0].glob("*.py")} <= set(shown)
    assert files == shown


def test_the_last_chapters_type_what_other_guides_type() -> None:
    """Building apps and images takes minutes, so it is done once, by the tests of those guides."""
    guides = {
        line for name in GUIDES for block in blocks((ROOT / name).read_text()) for line in block.text.splitlines()
    }
    chapters = TUTORIAL.partition("\n## 7. ")[2]
    typed = [block.text for block in blocks(chapters) if block.language == "sh"]

    assert len(typed) > 6
    ours = [line for text in typed if not text.startswith(MACHINE) for line in text.splitlines()]
    assert [line for line in ours if line not in guides] == []


@pytest.mark.local_model
@pytest.mark.timeout(300)
def test_each_command_prints_what_the_tutorial_shows(weights_folder: Path, tmp_path: Path) -> None:
    """In a folder that is empty at first, with the embedded model, and with a stand-in for Upstash."""
    if shutil.which("curl") is None:
        pytest.skip("no curl here; install Debian's package curl")
    settings = {"HEADWATER_DATA_DIR": str(tmp_path / "data")}
    (tmp_path / "data").mkdir()
    for item in weights_folder.iterdir():
        (tmp_path / "data" / item.name).symlink_to(item)
    (tmp_path / "my-app").mkdir()
    shown = blocks(TUTORIAL.partition("\n## 7. ")[0])
    compared = 0
    with upstash_double() as double, Terminal(tmp_path / "my-app", settings) as terminal:
        for block, following in zip(shown, [*shown[1:], None], strict=True):
            if block.title == ".env":
                text = re.sub(r"(?<=URL=).*", double.url, block.text)
                terminal.write(".env", re.sub(r"(?<=TOKEN=).*", double.token, text))
            elif block.title:
                terminal.write(block.title, block.text)
            elif block.text.startswith(SERVERS):
                terminal.start(block.text)
            elif block.language == "sh" and not block.text.startswith(MACHINE):
                printed = terminal.run(block.text)
                expected = following.text if following is not None and following.language == "text" else "…"
                assert shows(expected, printed), f"{block.text}\nshows\n{expected}\nand prints\n{printed}"
                compared += expected != "…"
    assert compared >= 12


async def test_the_chain_of_the_tutorial_answers_and_is_cached(tmp_path: Path) -> None:
    """Over a stand-in for OpenAI, which gets the system message of the chain's prompt."""
    shutil.copy(FILES / "tutorial" / "teacher.py", tmp_path)
    async with Upstream(tokens=["Par", "is."]) as upstream:
        settings = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url}
        with Terminal(tmp_path, settings) as terminal:
            await asyncio.to_thread(terminal.start, "uvicorn teacher:app")
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{terminal.port}", timeout=30) as client:
                both = [await client.post("/api/stream/completion/chat", json=chat("France?")) for _ in range(2)]
            await asyncio.to_thread(terminal.end)

    assert [text_of(parse(answer.content)) for answer in both] == ["Paris."] * 2
    assert [answer.headers["cache-status"].split(";")[1] for answer in both] == [" fwd=miss", " hit"]
    (request,) = upstream.requests
    assert [message["role"] for message in request.body["messages"]] == ["system", "user"]

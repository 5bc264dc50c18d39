"""The guide for coding assistants: its code runs as it stands there, and it names what is public."""

import asyncio
import runpy
import subprocess
import sys
from pathlib import Path

from serving import chat, headwater, parse, serving, text_of
from shell import ADDRESS, blocks

import headwater as package
from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted

GUIDE = (Path(package.__file__).parent / "GUIDE.md").read_text()
APP, ASK, TEST = (block.text for block in blocks(GUIDE) if block.language == "python")


async def test_the_app_of_the_guide_answers(tmp_path: Path) -> None:
    """Under its prefix, with the echo model."""
    (tmp_path / "app.py").write_text(APP)
    app = runpy.run_path(str(tmp_path / "app.py"))["app"]
    async with serving(app, lifespan=True) as client:
        answer = await client.post("/llm/api/stream/completion/chat", json=chat("Hello"))

    assert "Hello" in text_of(parse(answer.content))


async def test_the_client_of_the_guide_tells_a_whole_answer_from_a_part(tmp_path: Path) -> None:
    """Against a real server, once for each way in which its example can end."""
    printed: list[str] = []
    for reason in ("stop", "length"):
        async with headwater(Scripted([TextDelta("Paris."), Finish(reason)])) as server:
            (tmp_path / "ask.py").write_text(ASK.replace(f"http://{ADDRESS}", str(server.client.base_url)))
            printed.append(await run(tmp_path / "ask.py"))

    assert [lines.splitlines() for lines in printed] == [
        ["Paris.", "The answer is whole."],
        ["Paris.", "The answer is a part: Finish(reason='length', usage=None, replayable=True)"],
    ]


async def test_the_test_of_the_guide_passes(tmp_path: Path) -> None:
    """As its reader would run it."""
    (tmp_path / "test_app.py").write_text(TEST)

    assert await run(tmp_path / "test_app.py") == ""


def test_the_guide_names_every_public_path() -> None:
    """And is short enough to be read whole."""
    paths = ("headwater", "headwater.client", "headwater.langchain", "headwater.extending", "headwater.testing")

    assert [path for path in paths if f"| `{path}` |" not in GUIDE] == []
    assert len(GUIDE.splitlines()) <= 120


async def run(program: Path) -> str:
    """What a Python program prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()

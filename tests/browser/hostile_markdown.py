"""Hostile Markdown: the cases in `hostile/`, a model that answers with them, and what the page may never do with one.

A `.txt` file holds cases behind lines `%% name`. `bombs.json` holds long ones: `before`, `part` × `times`, `after`,
then `again` × `times` and `last`; with `grow`, runs of `part` of 1, 2, … so many characters.
"""

import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from headwater.events import Event, Finish, TextDelta
from headwater.prompt import Prompt, text_of

FOLDER = Path(__file__).parent / "hostile"
SIZE = 4000  # characters of a chunk: an answer arrives in pieces


def files() -> list[str]:
    """The names of the files with cases."""
    return sorted(file.name for file in FOLDER.iterdir())


def cases(file: str) -> dict[str, str]:
    """The cases of one file: their names and texts."""
    content = (FOLDER / file).read_text(encoding="utf-8")
    if file.endswith(".json"):
        return {bomb["name"]: _text(bomb) for bomb in json.loads(content)}
    pieces = [piece.partition("\n") for piece in f"\n{content}".split("\n%% ")[1:]]
    return {name.strip(): text for name, _, text in pieces}


def _text(bomb: dict[str, Any]) -> str:
    if grow := bomb.get("grow"):
        return " ".join(bomb["part"] * length for length in range(1, grow))
    body = bomb.get("before", "") + bomb["part"] * bomb["times"] + bomb.get("after", "")
    return body + bomb.get("again", "") * bomb["times"] + bomb.get("last", "")


class Hostile:
    """A model that answers the name of a case with its text."""

    name = "hostile"

    def __init__(self, cases: dict[str, str]) -> None:
        self._cases = cases

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The text of the case that was asked for, in several pieces."""
        text = self._cases[text_of(prompt.messages[-1])]
        for at in range(0, len(text), SIZE):
            yield [TextDelta(text[at : at + SIZE])]
        yield [Finish("stop")]


SCRIPT = (Path(__file__).parent / "hostile-watch.js").read_text(encoding="utf-8").partition("\n")[2].strip()
ARM = f"{SCRIPT}.arm()"
"""The expression that prepares the page."""


def watch(name: str, limit: float) -> str:
    """The expression that asks for a case and looks at its answer; `limit` is in seconds."""
    return f"{SCRIPT}.watch({json.dumps(name)}, {limit * 1000})"

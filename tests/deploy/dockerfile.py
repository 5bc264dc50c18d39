"""The Dockerfile as data: its instructions, and what the image's commands and environment are."""

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Instruction(NamedTuple):
    """One instruction with its continuation lines joined."""

    name: str
    rest: str

    @property
    def command(self) -> list[str]:
        """The exec form of a command, which runs without a shell."""
        words = json.loads(self.rest[self.rest.index("[") :])
        assert isinstance(words, list), f"{self.name} is not in the exec form"
        return [str(word) for word in words]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, its FROM first; what precedes the first FROM is left out."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    found: list[list[Instruction]] = []
    for name, _, rest in (line.partition(" ") for line in lines if line.strip()):
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append(Instruction(name, rest))
    return found


def sources() -> list[str]:
    """What the build copies from the checkout."""
    copies = [instruction.rest.split() for instruction in stages()[0] if instruction.name == "COPY"]
    return [source for *given, _ in copies for source in given]


def only(name: str) -> Instruction:
    """The one instruction of this name in the stage that becomes the image."""
    (found,) = (instruction for instruction in stages()[-1] if instruction.name == name)
    return found


def environment() -> dict[str, str]:
    """The image's environment variables."""
    pairs = (word.partition("=") for word in shlex.split(only("ENV").rest))
    return {name: value for name, _, value in pairs}

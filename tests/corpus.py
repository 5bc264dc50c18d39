"""Transcripts, which pytest and vitest share: logs as events, and the native dialect's forms of each log.

`<name>.jsonl` holds the entries, one a line. `<name>.native.sse` is the stream of the same log, `<name>.state.json` its
JSON state. Python writes both (`pytest tests/dialects --write-transcripts`), and both languages are tested with them.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from headwater.entries import SCHEMA, Entry, restore
from headwater.offsets import parse

FOLDER = Path(__file__).parent / "transcripts"
MESSAGE_ID = "0123456789ab-fedcba9876543210"


class Transcript(NamedTuple):
    """One log of the corpus."""

    name: str
    entries: list[Entry]

    @property
    def sse(self) -> Path:
        """The file with the stream of this log."""
        return FOLDER / f"{self.name}.native.sse"

    @property
    def state(self) -> Path:
        """The file with the JSON state of this log."""
        return FOLDER / f"{self.name}.state.json"


def _entry(line: dict[str, Any]) -> Entry:
    stored = json.dumps([SCHEMA, line["at"], line["event"]], ensure_ascii=False, separators=(",", ":"))
    return restore(parse(line["id"]), stored.encode())


def _load(path: Path) -> Transcript:
    return Transcript(path.stem, [_entry(json.loads(line)) for line in path.read_text("utf-8").splitlines() if line])


TRANSCRIPTS = [_load(path) for path in sorted(FOLDER.glob("*.jsonl"))]
assert TRANSCRIPTS, "a corpus without transcripts proves nothing"

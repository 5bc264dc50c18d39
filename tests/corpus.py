"""The transcripts that pytest and vitest share: logs as events, and what each wire makes of them.

`<name>.jsonl` holds the entries, one a line; `<name>.native.sse` the bytes a browser gets; `<name>.state.json` the
state of the same log. Python writes them (`pytest tests/wires --write-transcripts`); both sides are held to them.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from headwater.events import Entry, Event, record
from headwater.offsets import parse

FOLDER = Path(__file__).parent / "transcripts"
MESSAGE_ID = "0123456789ab-fedcba9876543210"


class Transcript(NamedTuple):
    """One log of the corpus."""

    name: str
    entries: list[Entry]

    @property
    def sse(self) -> Path:
        """Where the native bytes of this log are kept."""
        return FOLDER / f"{self.name}.native.sse"

    @property
    def state(self) -> Path:
        """Where the state of this log is kept."""
        return FOLDER / f"{self.name}.state.json"


def _entry(line: dict[str, Any]) -> Entry:
    event: Event = msgspec.convert(line["event"], type=Event)  # pyright: ignore[reportArgumentType, reportUnknownVariableType]
    return record(parse(line["id"]), line["at"], event)


def _load(path: Path) -> Transcript:
    return Transcript(path.stem, [_entry(json.loads(line)) for line in path.read_text("utf-8").splitlines() if line])


TRANSCRIPTS = [_load(path) for path in sorted(FOLDER.glob("*.jsonl"))]
assert TRANSCRIPTS, "a corpus without transcripts proves nothing"

"""Headwater as a newer version might be: `python newer_version.py serve` stands for its `headwater serve`.

It differs as a newer version may: entries have a newer schema, text deltas have one more field, and before each of them
comes an event of a new type, `source`.
"""

from collections.abc import Sequence

import msgspec

from headwater import entries
from headwater import events as present
from headwater.cli.main import app
from headwater.log.writer import Writer


class Source(present.Metadata, frozen=True, tag="source"):
    """Where a text is from. This version treats it as metadata, so no dispatch has to learn it."""


class MarkedText(present.TextDelta, frozen=True, tag="text-delta"):
    """A text delta with a field that older versions do not know."""

    language: str = "en"


class Stored(msgspec.Struct, array_like=True, frozen=True):
    """The stored form of an entry; the new schema has no other."""

    schema: int
    at: float
    event: (
        present.Start
        | present.TextDelta
        | present.ReasoningDelta
        | present.ToolCallStart
        | present.ToolCallDelta
        | present.ToolCallEnd
        | present.ToolResult
        | present.Metadata
        | Source
        | present.Finish
        | present.Stop
        | present.Error
    )


SCHEMA = entries.SCHEMA + 1
NEWER = {"SCHEMA": SCHEMA, "_PREFIX": b"[%d," % SCHEMA, "_decoder": msgspec.json.Decoder(Stored)}

append = Writer.append


def append_with_sources(self: Writer, events: Sequence[present.Event]) -> bool:
    """Append a batch as this version writes it."""
    written: list[present.Event] = []
    for event in events:
        if isinstance(event, present.TextDelta):
            written += [Source({"url": f"https://example.org/{event.text}"}), MarkedText(event.text)]
        else:
            written.append(event)
    return append(self, written)


if __name__ == "__main__":
    for name, value in NEWER.items():
        assert hasattr(entries, name), name
        setattr(entries, name, value)
    Writer.append = append_with_sources
    app()

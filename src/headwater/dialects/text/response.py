"""Entries as bare text, for `curl` and for clients that append what they receive."""

from headwater.dialects.dialect import Unspeakable
from headwater.events import Entry, Error, Stop, TextDelta


class TextWire:
    """Tells a log as its text alone. Only an answer that finished ends cleanly; the dialect has no other word."""

    media_type = "text/plain; charset=utf-8"
    heartbeat = b""

    def open(self) -> bytes:
        return b""

    def feed(self, entry: Entry) -> bytes:
        match entry.event:
            case TextDelta(text):
                return text.encode()
            case Stop() | Error():
                raise Unspeakable
            case _:
                return b""

    def broken(self, error: Error) -> bytes:
        raise Unspeakable

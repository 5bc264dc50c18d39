"""Entries as native SSE frames."""

from typing import Any

from headwater.events import Entry, Error, Event, Start
from headwater.wires import sse


class NativeWire:
    """Tells a log as Server-Sent Events that carry Headwater's own events."""

    media_type = sse.MEDIA_TYPE
    heartbeat = sse.HEARTBEAT

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id

    def open(self) -> bytes:
        return sse.RETRY

    def feed(self, entry: Entry) -> bytes:
        return sse.frame(spoken(entry.event, self._message_id), entry.offset)

    def broken(self, error: Error) -> bytes:
        return sse.frame(spoken(error, self._message_id))


def spoken(event: Event, message_id: str) -> Event | dict[str, Any]:
    """The event as this dialect says it: a replay under its own message id, an error without our HTTP status."""
    match event:
        case Start(own, model) if own != message_id:
            return Start(message_id, model)
        case Error(code, message, retryable, retry_after):
            said = {"type": "error", "code": code, "message": message, "retryable": retryable}
            return said if retry_after is None else {**said, "retry_after": retry_after}
        case _:
            return event

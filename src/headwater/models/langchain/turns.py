"""What the models and tools of a LangGraph graph say, one speaker at a time."""

from collections.abc import Iterator
from typing import Any

from headwater.models.reading import Watch

Item = tuple[Any, Any]
"""A message, or a piece of one, and where in the graph it comes from."""


class Turns:
    """Puts the output of nodes that run at the same time in order, since events have no speaker.

    While a model streams, what others say waits, tool results too: the calls that they belong to may be waiting. What
    waits is as large as the rest of the answer at most. Once a model has failed nothing waits any more: LangGraph does
    not say which one, and the node may go on with another.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._speaker: object = None  # LangGraph has one object for all that a run of a model says
        self._waiting: list[Item] = []

    def take(self, mode: str, payload: Any) -> Iterator[Item]:
        """What can be told now that the graph has streamed this, in the mode `messages` or `tools`."""
        if mode == "tools":
            output = payload.get("output") if payload["event"] == "tool-finished" else None
            if getattr(output, "type", None) != "tool":
                return  # not of a model's call, or it changes the state and comes again
            payload = (output, {})
        if self._watch.failed:
            yield from self.rest()
        elif self._speaker is not None and self._speaker is not payload[1]:
            self._waiting.append(payload)
            return
        yield self._tell(payload)
        while (place := self._next()) is not None:
            yield self._tell(self._waiting.pop(place))

    def rest(self) -> Iterator[Item]:
        """Everything that waits."""
        waiting, self._waiting, self._speaker = self._waiting, [], None
        yield from waiting

    def _next(self) -> int | None:
        """The place of what comes next among what waits: of the speaker, or of anybody if there is none."""
        speaker = self._speaker
        speaks = (place for place, (_, where) in enumerate(self._waiting) if speaker is None or speaker is where)
        return next(speaks, None)

    def _tell(self, item: Item) -> Item:
        message, where = item
        streams = message.type == "AIMessageChunk" and message.chunk_position != "last"
        self._speaker = where if streams else None
        return item

"""An answer being read: what its events so far add up to, and the loop over those to come."""

from types import TracebackType
from typing import Any, Self

from headwater.answer import ToolCall
from headwater.client.failures import failure_of
from headwater.client.reader import Reader
from headwater.events import Continued, Ending, Error, Event, Saved, State, Usage
from headwater.offsets import Offset


class Progress:
    """How far an answer has been read, and what its events so far add up to."""

    def __init__(self, reader: Reader) -> None:
        self.id = reader.id
        self.location = reader.location
        self.cache_status = reader.cache_status
        """The `Cache-Status` header of the response to the question (RFC 9211): a hit, collapsed, or a miss."""
        self.age = reader.age
        """Seconds since the answer was finished; None unless it comes from the cache."""
        self._reader = reader

    @property
    def offset(self) -> Offset:
        """The offset of the last event that was iterated."""
        return self._reader.offset

    @property
    def text(self) -> str:
        """The text so far."""
        return self._reader.fold.text

    @property
    def reasoning(self) -> str:
        """The reasoning so far, of models that show it."""
        return self._reader.fold.reasoning

    @property
    def tools(self) -> tuple[ToolCall, ...]:
        """The tool calls so far, in the order in which they began."""
        return self._reader.fold.tools

    @property
    def metadata(self) -> dict[str, Any]:
        """The fields of all `metadata` events so far."""
        return self._reader.fold.metadata

    @property
    def continued(self) -> tuple[Continued, ...]:
        """The seams so far: where the answer broke off and a further request to a model went on with it."""
        return self._reader.fold.continued

    @property
    def model(self) -> str | None:
        """The name of the model that answers; None before the first event."""
        return self._reader.fold.model

    @property
    def ending(self) -> Ending | None:
        """The ending; None while the answer has not ended."""
        return self._reader.fold.ending

    @property
    def usage(self) -> Usage | None:
        """The tokens that the provider counted; None before the ending, or if it did not count them."""
        return self._reader.fold.usage

    @property
    def saved(self) -> Saved | None:
        """What the cache has saved; of a joined answer it is known at the end, and without a time."""
        cached, status = self._reader.cached, self.cache_status
        if cached is not None and cached.saved is not None:
            return cached.saved
        reused = "; hit" in status or "; collapsed" in status
        return Saved.of(self.usage, 0.0) if reused and self.ending is not None else None

    def _whole(self) -> Self:
        if isinstance(self.ending, Error):
            raise failure_of(self.ending)
        return self


class Answer(Progress):
    """The events of one answer, from `Start` to its ending; iterate over it.

    A connection that breaks or closes without an ending is resumed after the last event received. Iterating raises
    `Expired` or `NoSuchLog` when the log is gone, and `Unreachable` when all attempts have failed; `Client.attach` can
    then go on later from `location` and `offset`. Breaking out of the loop loses nothing: a second loop continues. Only
    one loop may run at a time.

    `text`, `reasoning`, `tools`, `metadata` and `usage` are what the events iterated so far add up to. `read` goes to
    the ending at once. An event `Continued` with a `rewind` takes back what came after that offset, if anything did:
    `text` and the others are right already, a program that shows the pieces itself has to show the text anew.
    """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if not self._reader.ready and not await self._reader.fill():
            raise StopAsyncIteration
        return self._reader.next()

    async def read(self) -> Self:
        """Read to the ending, and return this answer. Raises what iterating raises, and the failure of an answer that
        broke off, whose part is in `text`. An answer that was stopped or cut has an `ending` that says so.
        """
        async for _ in self:
            pass
        return self._whole()

    async def stop(self) -> State:
        """Stop the answer on the server unless other subjects read it; returns the state reached, after 2 s at most.

        `open` means that others still read it, or that stopping takes longer. Events go on arriving until the ending.
        """
        return await self._reader.stop()

    async def aclose(self) -> None:
        """Close the connection. The server goes on writing the answer, and a later read connects again."""
        await self._reader.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.aclose()

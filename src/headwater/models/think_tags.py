"""Thinking between `<think>` tags in a model's text, as some servers send it, told as reasoning."""

import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

from headwater.errors import CannotContinue, ModelError
from headwater.events import Event, Finish, ReasoningDelta, TextDelta, ToolCallStart
from headwater.models.model import Closes, Continues, Counts, Model, Prepares, Shown
from headwater.prompt import Prompt

_OPENING = ("<think>", "<thinking>")
_CLOSING = re.compile(r"</think(?:ing)?>\s*")
_PARTS = ("</think>", "</thinking>")


class Tags:
    """Sorts the text of one answer. Only tags at its very beginning count: later ones are the answer's own."""

    def __init__(self) -> None:
        self._state = "before"
        self._held = ""  # the beginning of what may become a tag
        self._blank = False  # whether blanks after the closing tag are still to be dropped

    def sort(self, text: str) -> Iterator[Event]:
        """The events of the next piece."""
        text, self._held = self._held + text, ""
        if self._state == "before":
            begun = text.lstrip()
            tag = next((tag for tag in _OPENING if begun.startswith(tag)), None)
            if tag is None and any(tag.startswith(begun) for tag in _OPENING):
                self._held = text
                return
            self._state = "after" if tag is None else "inside"
            text = text if tag is None else begun[len(tag) :]
        if self._state == "inside":
            found = _CLOSING.search(text)
            if found is None:
                cut = _tail(text)
                text, self._held = text[: len(text) - cut], text[len(text) - cut :]
            if thought := text[: found.start()] if found else text:
                yield ReasoningDelta(thought)
            if found is None:
                return
            self._state, self._blank, text = "after", True, text[found.end() :]
        if self._blank:
            text = text.lstrip()
            self._blank = not text
        if text:
            yield TextDelta(text)

    def end(self) -> Iterator[Event]:
        """What was held back for a tag that did not come."""
        held, self._held = self._held, ""
        if held:
            yield ReasoningDelta(held) if self._state == "inside" else TextDelta(held)


class ThinkTags:
    """A model whose text may begin with thinking between tags."""

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self._model = model

    async def prepare(self) -> None:
        """Prepare the model within. Raises `ModelError`."""
        if isinstance(self._model, Prepares):
            await self._model.prepare()

    async def aclose(self) -> None:
        """Close the model within."""
        if isinstance(self._model, Closes):
            await self._model.aclose()

    async def count_tokens(self, prompt: Prompt) -> int | None:
        """The tokens of a prompt as the model within counts them; None if it does not. Raises `ModelError`."""
        return await self._model.count_tokens(prompt) if isinstance(self._model, Counts) else None

    def continues(self, prompt: Prompt) -> bool:
        """Whether the model within goes on with answers; see `headwater.models.model.Continues`."""
        return isinstance(self._model, Continues) and self._model.continues(prompt)

    def go_on(self, prompt: Prompt, shown: Shown) -> AsyncGenerator[Sequence[Event], None]:
        """The events that follow what was shown, which the model within gets with its thinking between tags."""
        if not isinstance(self._model, Continues):
            raise CannotContinue("the model cannot go on with an answer")
        tags = f"<think>{shown.reasoning}</think>\n\n" if shown.reasoning else ""
        return self._model.go_on(prompt, Shown(tags + shown.text, "", shown.pieces))

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The events of one answer; see `headwater.models.model.Model.stream`."""
        tags = Tags()
        said = False
        async with aclosing(self._model.stream(prompt)) as batches:
            try:
                async for batch in batches:
                    sorted_batch: list[Event] = []
                    for event in batch:
                        if isinstance(event, TextDelta):
                            sorted_batch += tags.sort(event.text)
                            continue
                        sorted_batch += tags.end()
                        said = said or _says(sorted_batch)
                        if isinstance(event, Finish) and event.reason == "stop" and not said:
                            event = Finish("other", event.usage)  # nothing but thinking, which is not to be cached
                        sorted_batch.append(event)
                    said = said or _says(sorted_batch)
                    yield sorted_batch
            except ModelError:
                if rest := list(tags.end()):
                    yield rest
                raise
        if rest := list(tags.end()):
            yield rest


def _says(events: Sequence[Event]) -> bool:
    return any(
        isinstance(event, ToolCallStart) or (isinstance(event, TextDelta) and not event.text.isspace())
        for event in events
    )


def _tail(text: str) -> int:
    """The length of the end of a text that may be the beginning of a closing tag."""
    begin = text.rfind("<", -len(_PARTS[-1]))
    return len(text) - begin if begin >= 0 and any(tag.startswith(text[begin:]) for tag in _PARTS) else 0

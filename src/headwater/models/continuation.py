"""Going on with an answer that broke off, by prefill: what follows is yielded once the repeated piece has come."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from headwater.errors import CannotContinue, ModelError
from headwater.events import Event, Finish, Metadata, ReasoningDelta, TextDelta
from headwater.models.healing import Seam, places
from headwater.models.model import Shown
from headwater.models.prefill import Prefill, allows, prefilled
from headwater.prompt import Message, Parameters, Prompt

Events = AsyncGenerator[Sequence[Event], None]

_TRIES = 3
_REMEMBERED = 3600.0
_QUESTION, _BEGUN, _FOLLOWS = "Count from 1 to 20.", "1, 2, 3, 4, 5, 6, 7", ", 8"
"""What an unknown provider must continue first. In a turn of its own a model would begin without the comma."""


class Continuation:
    """Goes on with the answers of one model; remembers for an hour whether its provider does.

    `stream` asks the model.
    """

    def __init__(self, stream: Callable[[Prompt], Events]) -> None:
        self._stream = stream
        self._does: bool | None = None
        self._since = 0.0

    def can(self, prefill: Prefill | None, prompt: Prompt, defaults: Mapping[str, Any] | None = None) -> bool:
        """Whether an answer to this prompt may be gone on with, as far as is known by now."""
        return prefill is not None and allows(prompt, defaults) and self._remembered() is not False

    async def go_on(self, prefill: Prefill | None, prompt: Prompt, shown: Shown, limit: int | None = None) -> Events:
        """The events that follow what was shown; see `Continues.go_on`. `limit` is of the whole answer, in tokens."""
        if prefill is None or not shown.text or (shown.reasoning and not prefill.thinks):
            raise CannotContinue("no way is known by which this provider goes on with this answer")
        if limit is not None and limit <= shown.pieces:
            yield [Finish("length")]
            return
        if prefill.asked and not await self._shows(prefill, prompt.model):
            raise CannotContinue("the provider does not continue a message that was begun")
        missed = CannotContinue("the text repeats itself, so nothing would tell an answer that begins anew")
        tries = places(shown.text, known=prefill.known)[:_TRIES]
        if prefill.known and not shown.text[-1].isspace():
            tries.append(len(shown.text))  # exact where a token ends, and the only way if the model samples other words
        for place in tries:
            asked = prefilled(prompt, prefill.way, shown.text[:place], shown.reasoning)
            left = None if limit is None else limit - shown.pieces * place // len(shown.text)
            parameters = msgspec.structs.replace(prompt.parameters, max_tokens=left)
            asked = msgspec.structs.replace(asked, parameters=parameters)
            seam = Seam(shown.text[place:], *([shown.text] if prefill.echoes else ()))
            try:
                async with aclosing(healed(self._stream(asked), seam.take)) as rest:
                    async for batch in rest:
                        yield batch
                return
            except CannotContinue as miss:
                missed = miss
                if isinstance(refusal := miss.__cause__, ModelError):
                    if refusal.code == "provider_refused":
                        self._remember(False)
                    break
        raise missed

    async def _shows(self, prefill: Prefill, model: str) -> bool:
        """Whether the provider continues a sentence; asked once an hour."""
        if (known := self._remembered()) is not None:
            return known
        question = Prompt(
            model=model,
            messages=[Message("user", _QUESTION)],
            parameters=Parameters(temperature=0, max_tokens=8),
        )
        try:
            asked = self._stream(prefilled(question, prefill.way, _BEGUN))
            async with aclosing(healed(asked, Seam(_FOLLOWS).take)) as rest:
                async for _ in rest:
                    pass
            return self._remember(True)
        except CannotContinue:
            return self._remember(False)

    def _remembered(self) -> bool | None:
        return self._does if time.monotonic() - self._since < _REMEMBERED else None

    def _remember(self, does: bool) -> bool:
        self._does, self._since = does, time.monotonic()
        return does


async def healed(answer: Events, take: Callable[[str], str | None]) -> Events:
    """An answer without what it repeats, which `take` takes away (`Seam.take`); before that only signs of life.

    Raises `CannotContinue`.
    """
    whole, facts = take("") is not None, list[Event]()
    try:
        async with aclosing(answer):
            async for batch in answer:
                events: list[Event] = []
                for event in batch:
                    if isinstance(event, ReasoningDelta):
                        continue  # text has been shown, and thinking precedes text
                    if whole:
                        events.append(event)
                    elif isinstance(event, TextDelta):
                        if (rest := take(event.text)) is not None:
                            whole, events = True, [*facts, *([TextDelta(rest)] if rest else ())]
                    elif isinstance(event, Metadata):
                        facts.append(event)
                    else:
                        raise CannotContinue("the model ended, or called a tool, before it repeated the last words")
                yield events
    except ModelError as failure:
        if whole or failure.retryable or isinstance(failure, CannotContinue):
            raise
        raise CannotContinue(str(failure)) from failure
    if not whole:
        raise ModelError("the provider's stream ended before it went on", code="truncated", retryable=True)


async def without_thoughts(batches: Events) -> Events:
    """What goes on behind the text: new thoughts would come behind it too, where they belong before it."""
    async with aclosing(batches):
        async for batch in batches:
            yield [event for event in batch if not isinstance(event, ReasoningDelta)]

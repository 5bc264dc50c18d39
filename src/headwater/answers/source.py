"""A source: a model that answers, or goes on with an answer that broke off, and how it is asked to."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import NamedTuple

from headwater.answer import fold
from headwater.answers import continuing
from headwater.entries import Entry
from headwater.errors import CannotContinue
from headwater.events import Event
from headwater.models.anchor import go_on_by_prompt
from headwater.models.continuation import without_thoughts
from headwater.models.model import RUN, Continues, Model, Reattaches
from headwater.prompt import Prompt

Batches = AsyncGenerator[Sequence[Event], None]


class Source(NamedTuple):
    """A model that answers, and how it is asked to."""

    prompt: Prompt
    """The prompt as this model gets it."""
    build: Callable[[], Awaitable[Model]]
    way: continuing.Way | None = None
    """How it goes on with an answer that broke off; None at the beginning."""

    def ask(self, model: Model, entries: Sequence[Entry]) -> Batches:
        """What the model says behind these entries. Raises `CannotContinue`, now or with the first batch."""
        if self.way is None or self.way == "restart":
            return model.stream(self.prompt)
        answer = fold(entries)
        shown = continuing.shown(entries, answer)
        if self.way == "reattach" and isinstance(model, Reattaches):
            return model.reattach(str(answer.metadata.get(RUN)), self.prompt, shown)
        if self.way == "prompt":
            return without_thoughts(go_on_by_prompt(model, self.prompt, shown))
        if isinstance(model, Continues):
            return without_thoughts(model.go_on(self.prompt, shown))
        raise CannotContinue(f"{model.name} cannot go on with its own text")

"""What Headwater needs of a model: one method; and what a model may offer besides."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from headwater.answer import ToolCall
from headwater.events import Event
from headwater.prompt import Prompt


class Model(Protocol):
    """Answers a prompt with events."""

    @property
    def name(self) -> str:
        """The name that requests, keys and metrics use, e.g. `openai:gpt-4o-mini`."""
        ...

    def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The events of one answer, in batches of what arrived together; the last event is a `Finish`.

        The generation writes `Start` and the other endings, never the model. A model

        - yields an event as soon as it has one, and never waits to fill a batch;
        - yields an empty batch when the provider shows a sign of life without words, such as a chunk without text;
        - raises `ModelError` for every failure, its message scrubbed of secrets;
        - never retries by itself: the generation does, and only before the first token;
        - frees the provider's connection within a second of `aclose()` or of a cancellation, also while the provider
          is silent;
        - returns without a `Finish` only when the provider's stream ended without a reason, which the generation
          reports as `truncated`.
        """
        ...


@runtime_checkable
class Prepares(Protocol):
    """A model that can be made ready ahead of its first request."""

    async def prepare(self) -> None:
        """Import and open what the first answer needs; repeated calls do no harm. Raises `ModelError`."""
        ...


async def prepared(model: Model) -> Model:
    """The model, once it is ready for its first request. Raises `ModelError`."""
    if isinstance(model, Prepares):
        await model.prepare()
    return model


@runtime_checkable
class Closes(Protocol):
    """A model with something to close, such as connections."""

    async def aclose(self) -> None:
        """Free everything that the model opened by itself; a later use may open it anew."""
        ...


RUN = "provider_run"
"""Field of the metadata by which a model that `Reattaches` tells the run's id, before its first words."""


class Shown(msgspec.Struct, frozen=True):
    """What an answer has shown when it breaks off, so that a model can go on behind it."""

    text: str
    reasoning: str = ""
    pieces: int = 0
    """Pieces of text and reasoning: about the tokens, where the provider sends each by itself."""
    tools: tuple[ToolCall, ...] = ()


@runtime_checkable
class Continues(Protocol):
    """A model that can go on with an answer which broke off, by a means of its provider ("prefill")."""

    def continues(self, prompt: Prompt) -> bool:
        """Whether its provider is known to go on exactly where an answer to this prompt broke off. Asks nobody.

        A model that `Prepares` is to be prepared first.
        """
        ...

    def go_on(self, prompt: Prompt, shown: Shown) -> AsyncGenerator[Sequence[Event], None]:
        """The events that follow what was shown, as `stream` yields them; no word of it is repeated or left out.

        `max_tokens` of the prompt counts for the whole answer, so the rest gets what is left of it.

        Raises `CannotContinue` before the first event where the provider refuses, or begins the answer anew.
        """
        ...


@runtime_checkable
class Reattaches(Protocol):
    """A model whose provider keeps a run on after its connection broke, and lets one come back to it."""

    def reattach(self, run: str, prompt: Prompt, shown: Shown) -> AsyncGenerator[Sequence[Event], None]:
        """The events of this run that follow what was shown; `run` is what the metadata field `RUN` said of it.

        Raises `CannotContinue` before the first event where the provider has the run no more.
        """
        ...

    async def cancel(self, run: str) -> None:
        """End a run to which nobody comes back, since it outlives its connection. Never raises; at most a second."""
        ...


@runtime_checkable
class Counts(Protocol):
    """A model that knows how many tokens a prompt has."""

    async def count_tokens(self, prompt: Prompt) -> int | None:
        """The tokens of a prompt as its provider counts them; None if that is not known. Raises `ModelError`."""
        ...


@runtime_checkable
class Direct(Protocol):
    """A LangChain model that knows a cheaper way to the same answers, without LangChain."""

    def direct(self, fallback: Model) -> Model | None:
        """The same model without LangChain around it; None where that would lose something.

        `fallback` answers the prompts that only LangChain can put to the provider.
        """
        ...

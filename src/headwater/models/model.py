"""What Headwater asks of a model: one method."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from headwater.events import Event
from headwater.prompt import Prompt


class Model(Protocol):
    """Answers a prompt with events."""

    @property
    def name(self) -> str:
        """The name by which requests, keys and metrics know it, e.g. `openai:gpt-4o-mini`."""
        ...

    def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The events of one answer, in batches of what arrived together; the last event is a `Finish`.

        `Start` and the other endings are the generation's to write, not the model's. A model

        - yields as soon as it has something, and holds nothing back to fill a batch;
        - raises `ModelError` for whatever goes wrong, its message scrubbed of secrets;
        - never retries by itself: the generation does, and only before the first token;
        - frees the provider's connection within a second of `aclose()` or of being cancelled, also while the provider
          is silent;
        - returns without a `Finish` only when the provider's stream ended without a reason, which the generation
          reports as `truncated`.
        """
        ...

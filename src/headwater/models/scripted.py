"""Models that need no provider: one that plays a script, one that echoes, one that ticks."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from enum import Enum

from headwater.errors import ModelError
from headwater.events import Event, Finish, TextDelta, Usage
from headwater.models.continuation import healed
from headwater.models.healing import Seam
from headwater.models.model import Shown
from headwater.prompt import Prompt, text_of


class Silence(Enum):
    """The step at which a script falls silent until it is closed."""

    FOREVER = "forever"


SILENCE = Silence.FOREVER

Step = Event | Sequence[Event] | float | asyncio.Event | ModelError | Silence
"""An event or a batch to yield, seconds to pause, a gate to wait for, an error to raise, or `SILENCE`."""


class Scripted:
    """Plays the same steps for every prompt; for tests and demonstrations.

    Nothing is added to the script: one without a `Finish` is a provider that hangs up in mid-answer. `then` are the
    scripts of the whole answer by which it goes on after the first, second, … break; the last is for all that follow.
    """

    def __init__(self, steps: Sequence[Step], name: str = "scripted", *, then: Sequence[Sequence[Step]] = ()) -> None:
        self.name = name
        self.shown: list[Shown] = []
        """What had been shown whenever it went on."""
        self.prompts: list[Prompt] = []
        """The prompts so far, oldest first."""
        self.running = 0
        """Answers begun and neither ended nor closed."""
        self._steps = tuple(steps)
        self._then = then

    def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """Play the script. Raises the `ModelError` that it contains."""
        return self._play(prompt, self._steps)

    def continues(self, prompt: Prompt) -> bool:
        """Whether there is a script to go on by."""
        return bool(self._then)

    def go_on(self, prompt: Prompt, shown: Shown) -> AsyncGenerator[Sequence[Event], None]:
        """Play the next script of the whole answer from where it was shown. Raises `CannotContinue` if it differs."""
        self.shown.append(shown)
        steps = self._then[min(len(self.shown), len(self._then)) - 1]
        return healed(self._play(prompt, steps), Seam(shown.text).take)

    async def _play(self, prompt: Prompt, steps: Sequence[Step]) -> AsyncGenerator[Sequence[Event], None]:
        self.prompts.append(prompt)
        self.running += 1
        try:
            for step in steps:
                match step:
                    case float() | int():
                        await asyncio.sleep(step)
                    case asyncio.Event():
                        await step.wait()
                    case ModelError():
                        raise step
                    case Silence():
                        await asyncio.Event().wait()
                    case Sequence():
                        yield step
                    case _:
                        yield [step]
        finally:
            self.running -= 1


class Echo:
    """The model of last resort, when nothing else can run: introduces itself and repeats the last user message.

    `pace` is the pause before each word, in seconds. Usage counts words in place of tokens.
    """

    def __init__(self, pace: float = 0.02, name: str = "echo") -> None:
        self.name = name
        self._pace = pace

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """Answer word by word; never fails."""
        last = next((text_of(message) for message in reversed(prompt.messages) if message.role == "user"), "")
        words = _words(f"This is the echo model; it can only repeat what it is told. You said: {last or 'nothing.'}")
        for word in words:
            await asyncio.sleep(self._pace)
            yield [TextDelta(word)]
        read = sum(len(_words(text_of(message))) for message in prompt.messages)
        yield [Finish("stop", Usage(input_tokens=read, output_tokens=len(words)))]


class Clock:
    """Ticks five times in a second, whatever the prompt; ticks that arrive together betray a proxy that buffers.

    `interval` is the pause before each tick, in seconds.
    """

    def __init__(self, interval: float = 0.2, name: str = "clock") -> None:
        self.name = name
        self._interval = interval

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """Tick; never fails."""
        for tick in range(1, 6):
            await asyncio.sleep(self._interval)
            yield [TextDelta(f"tick {tick}\n")]
        yield [Finish("stop")]


def _words(text: str) -> list[str]:
    """The words of a text, each with the white space around it, so that they join to the same text."""
    return re.findall(r"\s*\S+\s*", text)

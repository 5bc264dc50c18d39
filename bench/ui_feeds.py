"""The texts that the page is measured with: one for each kind of content, 20 kB long, at 500 tokens a second."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence

from headwater.events import Event, Finish, TextDelta
from headwater.prompt import Prompt

LENGTH = 20_000
TOKEN = 4
RATE = 500
"""Tokens per second."""

MIXED = """## Part {n}: what a reader does

A reader holds an **offset** and nothing else, so a slow one costs no memory. It asks for what follows, gets a page of
entries, and asks again; see [the protocol](https://example.org/{n}) for how `Last-Event-ID` carries the offset.

Whoever comes late reads from the beginning, as fast as the network allows. There is *no second path* for a replay, a
reload or another device, and so there is no second place for a mistake.

- The store keeps the log until its time is over.
- The writer holds a lease, and renews it with every flush.
- A reader that finds the lease lapsed closes the log with an ending that says so.

```python
async def read(log: str, after: Offset = ORIGIN) -> AsyncIterator[Entry]:
    \"\"\"Every entry after an offset, until the ending.\"\"\"
    while True:
        page = await store.read(log, after)
        for entry in page:
            yield entry
        if page.ended:
            return
        after = page.end
```

| state | who writes | who reads |
|---|---|---|
| open | one writer | anybody |
| finished | nobody | anybody, from a copy |
| lost | nobody | whoever was there before |

"""
KINDS: dict[str, tuple[str, Callable[[int], str]]] = {
    "mixed": ("", lambda n: MIXED.replace("{n}", str(n))),
    "code": ("```ts\n", lambda n: f"export const value{n}: number = {n} // a line of code\n"),
    "list": ("", lambda n: f"- Item {n} with **some** words in it and `code`\n"),
    "table": ("| a | b | c |\n|---|---|---|\n", lambda n: f"| row {n} | some **words** here | more |\n"),
    "paragraph": ("", lambda n: f"Sentence {n} says *little*, but says it with several words. "),
    "log in a fence": ("```\n", lambda n: f"[INFO]: started worker {n} of many on this host\n"),
}


def answer(kind: str) -> str:
    """An answer of one kind of content, `LENGTH` characters long."""
    text, part = KINDS[kind]
    number = 0
    while len(text) < LENGTH:
        number += 1
        text += part(number)
    return text[:LENGTH]


class Paced:
    """A model that writes one answer at `RATE`, each token at its own time, so that no delay adds to the next."""

    name = "paced"

    def __init__(self, kind: str) -> None:
        self._text = answer(kind)
        self.kept = 0.0
        """Tokens per second of the latest answer; below `RATE` where the machine was too busy to keep the pace."""

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The answer, whatever was asked."""
        began = time.monotonic()
        count = 0
        for at in range(0, len(self._text), TOKEN):
            count += 1
            # Sleeping the same time after each token would be late by a fifth in the end.
            early = began + count / RATE - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
            yield [TextDelta(self._text[at : at + TOKEN])]
        self.kept = count / (time.monotonic() - began)
        yield [Finish("stop")]

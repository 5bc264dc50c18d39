"""A provider breaks off in mid-answer, and each dialect's reader gets the whole text all the same.

`python -m chaos.breaks [TRIES]`, from `tests/`, tries each kind of break so often in each dialect, and prints a table.
"""

import asyncio
import json
import logging
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx
from serving import serving
from upstream import Upstream

from headwater.settings import Settings
from headwater.wiring.server import server

JSON = dict[str, Any]

TEXT = """\
A river begins small. Rain falls on the hills, and **every drop** finds its way down: over stones, under roots,
through fields and towns.

1. Quellen
2. Bäche, die größer werden
3. Ströme

| name | km |
|---|---|
| Nile | 6650 |
| 長江 | 6300 |

長江是亞洲最長的河流，發源於青藏高原。 Its water is cold 🏞️ and clear 👩\u200d👩\u200d👧 there.

```python
for drop in rain:
    river.append(drop)
```

At the end it meets the sea, which it has fed since long before anyone was there to name it."""
"""Prose, markup, several scripts and characters of several code points."""

STALL = 0.5
"""Seconds of silence after which an answer counts as broken off."""

KINDS: dict[str, Callable[[int], JSON]] = {
    "reset": lambda place: {"cut_after": place, "cut": "rst"},
    "eof": lambda place: {"cut_after": place, "cut": "eof"},
    "end": lambda place: {"cut_after": place, "cut": "end"},
    "stall": lambda place: {"silent_after": place},
    "529": lambda place: {"error_after": place, "error": {"type": "overloaded_error", "code": 529, "message": "busy"}},
}
"""The fields of the provider that breaks off after so many pieces."""
CAUSE = {"end": "truncated", "stall": "stalled"}


def _deltas(pick: Callable[[JSON], str | None]) -> Callable[[str], str]:
    """How the text is read from a dialect's frames, by what one of them adds."""

    def read(body: str) -> str:
        data = [line[6:] for line in body.split("\n") if line.startswith("data: ") and line != "data: [DONE]"]
        return "".join(pick(json.loads(each)) or "" for each in data)

    return read


def _of_type(type: str, *names: str) -> Callable[[str], str]:
    """The same for frames that have a type."""

    def pick(frame: JSON) -> str | None:
        value: Any = frame if frame.get("type") == type else None
        for name in names:
            value = value and value.get(name)
        return value

    return _deltas(pick)


@dataclass(frozen=True)
class Way:
    """How a dialect is asked, and how its answer is read."""

    path: str
    body: Callable[[str], JSON]
    text: Callable[[str], str]
    accept: str = "text/event-stream"


def _said(question: str) -> JSON:
    return {"messages": [{"role": "user", "content": question}]}


_STREAM = {"model": "openai:gpt-4o-mini", "stream": True}
DIALECTS = {
    "native": Way("/api/stream/completion/chat", _said, _of_type("text-delta", "text")),
    "text": Way("/api/stream/completion/chat", _said, str, "text/plain"),
    "openai": Way(
        "/v1/chat/completions",
        lambda question: {**_STREAM, **_said(question)},
        _deltas(lambda frame: frame["choices"][0]["delta"].get("content")),
    ),
    "openai-completion": Way(
        "/v1/completions",
        lambda question: {**_STREAM, "prompt": question},
        _deltas(lambda frame: frame["choices"][0]["text"]),
    ),
    "responses": Way(
        "/v1/responses",
        lambda question: {**_STREAM, "input": question},
        _of_type("response.output_text.delta", "delta"),
    ),
    "anthropic": Way(
        "/v1/messages",
        lambda question: {**_STREAM, **_said(question), "max_tokens": 4096},
        _of_type("content_block_delta", "delta", "text"),
    ),
    "vercel": Way(
        "/api/chat",
        lambda question: {
            "id": question,
            "messages": [{"id": question, "role": "user", "parts": [{"type": "text", "text": question}]}],
        },
        _of_type("text-delta", "delta"),
    ),
    "ag-ui": Way(
        "/agui",
        lambda question: {
            "threadId": question,
            "runId": question,
            "tools": [],
            "context": [],
            "state": {},
            "forwardedProps": {},
            "messages": [{"id": question, "role": "user", "content": question}],
        },
        _of_type("TEXT_MESSAGE_CONTENT", "delta"),
    ),
}


@dataclass
class Tally:
    """What became of some tries."""

    tries: int = 0
    wrong: list[str] = field(default_factory=list[str])
    waited: list[float] = field(default_factory=list[float])
    """Seconds from the last word before each break to the first one after it."""


def pieces(text: str, *, words: bool) -> Sequence[str]:
    """A text in pieces: words with the white space before them, or parts of random length."""
    cuts = [i for i in range(1, len(text)) if text[i].isspace() and not text[i - 1].isspace()] if words else [0]
    if not words:
        while cuts[-1] < len(text):
            cuts.append(cuts[-1] + random.randint(1, 6))
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [text[begin:end] for begin, end in pairwise(places)]


async def broken(dialect: str, kinds: Sequence[str], tries: int, *, words: bool | None = None) -> dict[str, Tally]:
    """Break each kind's answers off at random pieces, so many times, on a server of their own; judge each answer.

    The pieces are words, or end anywhere; without `words` either.
    """
    way, found = DIALECTS[dialect], {kind: Tally() for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="hw-") as folder:
        async with Upstream(continues="flags") as upstream:
            settings = {"model": "openai:gpt-4o-mini", "openai_api_key": "sk-test", "openai_base_url": upstream.url}
            settings |= {"store": "memory:", "data_dir": folder, "model_timeout": str(STALL)}
            made = server(Settings.model_validate(settings))
            async with serving(made.app, lifespan=True) as client:
                for number in range(tries):
                    for kind in kinds:
                        await _once(client, upstream, way, kind, f"{kind}{number}", found[kind], words)
    return found


async def _once(
    client: httpx.AsyncClient,
    upstream: Upstream,
    way: Way,
    kind: str,
    question: str,
    tally: Tally,
    words: bool | None,
) -> None:
    upstream.tokens = tokens = pieces(TEXT, words=random.random() < 0.5 if words is None else words)
    place = random.randrange(1, len(tokens))
    upstream.cut_after = upstream.silent_after = upstream.error_after = None
    vars(upstream).update(KINDS[kind](place), faulty=upstream.calls + 1)
    tally.tries += 1
    try:
        async with asyncio.timeout(15):
            answer = await client.post(way.path, json=way.body(question), headers={"accept": way.accept})
            log = f"/api/streams/{answer.headers['location'].rpartition('/')[2]}"
            state = (await client.get(log, headers={"accept": "application/json"})).json()
    except (TimeoutError, httpx.HTTPError) as error:
        asked = error.request.url if isinstance(error, httpx.HTTPError) else "it hung"
        tally.wrong.append(f"after {''.join(tokens[:place])[-30:]!r}: {error!r} at {asked}")
        return
    text, seams = way.text(answer.text), state.get("continued", [])
    causes = [each["cause"] for each in seams]
    tally.waited += [each["waited"] for each in seams]
    # A machine that is busy for half a second sees a silence where there was another break.
    if text != TEXT or causes not in ([CAUSE.get(kind, "provider")], ["stalled"]):
        at = next((i for i, (a, b) in enumerate(zip(text, TEXT, strict=False)) if a != b), min(len(text), len(TEXT)))
        wrong = f"{answer.status_code}, {len(text)} of {len(TEXT)} characters, differs at {at}, seams {causes}"
        tally.wrong.append(f"after {''.join(tokens[:place])[-30:]!r}: {wrong}: {answer.text[-200:]!r}")


async def main(tries: int) -> int:
    """Every kind in every dialect, the dialects beside each other; prints a table."""
    logging.disable(logging.CRITICAL)  # that providers break off is no news here
    found = await asyncio.gather(*(broken(dialect, list(KINDS), tries) for dialect in DIALECTS))
    row, wrong = "{:18} {:8} {:>6} {:>6} {:>12} {:>12}", 0
    print(row.format("dialect", "break", "tries", "wrong", "median, ms", "p95, ms"))
    for dialect, by_kind in zip(DIALECTS, found, strict=True):
        for kind, tally in by_kind.items():
            wrong += len(tally.wrong)
            waited = sorted(tally.waited) or [0.0]
            middle, high = (round(1000 * waited[int(len(waited) * part)], 1) for part in (0.5, 0.95))
            print(
                row.format(dialect, kind, tally.tries, len(tally.wrong), middle, high), *tally.wrong[:3], sep="\n    "
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)))

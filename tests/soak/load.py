"""The load of a soak: clients of every dialect that ask, ask again, join, leave, come back, stop and delete."""

import asyncio
import itertools
import json
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx
from chaos.breaks import DIALECTS, Way
from serving import chat, parse, seen, text_of

from soak.provider import FAULTS, REFUSED, Rivers, question, text

PATIENCE = 60.0
"""Seconds after which an answer counts as hung; a client that is told to come back later waits anew."""
TURNED_AWAY = 100
"""Times that a server at its capacity may refuse one request in a row."""
_DEADLINE: ContextVar[asyncio.Timeout] = ContextVar("deadline")
FULL = (429, 503, 529)
"""Statuses of a server that is at its capacity; the last is Anthropic's."""
CHAT = "/api/stream/completion/chat"


@dataclass
class Findings:
    """What the clients saw."""

    done: Counter[str] = field(default_factory=Counter[str])
    """Answers by what was done."""
    lost: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    hung: list[str] = field(default_factory=list[str])
    refused: int = 0
    """Requests that were refused with 503 or 429 and asked again when they were told to."""
    longest: int = 0
    """How often one of them was refused before it was answered, at most."""
    first: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """When each whole answer was asked for, and seconds to its first byte."""

    @property
    def wrong(self) -> list[str]:
        """All that must not be."""
        return [*self.lost, *self.doubled, *self.hung]

    def judge(self, what: str, got: str, wanted: str) -> None:
        """Compare a text with the one that its question has."""
        self.done[what] += 1
        if got != wanted:
            at = next((i for i, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), 0)
            told = f"{what}: {len(got)} of {len(wanted)} characters, differs at {at}: {got[at - 20 : at + 60]!r}"
            (self.doubled if len(got) > len(wanted) else self.lost).append(told)


class Load:
    """So many clients, each of which does one thing after another until `over` is set."""

    def __init__(self, client: httpx.AsyncClient, provider: Rivers, seed: int = 0) -> None:
        self.findings = Findings()
        self.over = asyncio.Event()
        self._client = client
        self._provider = provider
        self._random = random.Random(seed)
        self._numbers = itertools.count(1)
        self._clean: deque[tuple[str, int]] = deque(maxlen=20)  # answered without a fault a moment ago
        self._works: list[tuple[int, Callable[[], Awaitable[str]]]] = [
            (30, self._new),
            (30, self._again),
            (10, self._together),
            (12, self._faulty),
            (8, self._leaves),
            (4, self._stops),
            (3, self._deletes),
            (3, self._converses),
        ]

    async def run(self, clients: int) -> None:
        """Work until it is over."""
        await asyncio.gather(*(self._one() for _ in range(clients)))

    async def _one(self) -> None:
        weights, works = zip(*self._works, strict=True)
        while not self.over.is_set():
            work = self._random.choices(works, weights)[0]
            what = work.__name__.strip("_")
            try:
                async with asyncio.timeout(PATIENCE) as deadline:
                    _DEADLINE.set(deadline)
                    await work()
            except TimeoutError:
                self.findings.hung.append(f"{what}: no end within {PATIENCE:g} s")
            except (httpx.HTTPError, AssertionError, KeyError, ValueError) as error:
                self.findings.lost.append(f"{what}: {error!r}"[:300])

    # ---- what clients do

    async def _new(self) -> str:
        number, dialect = next(self._numbers), self._dialect()
        await self._asked("new", dialect, number, question(number))
        self._clean.append((dialect, number))
        return dialect

    async def _again(self) -> str:
        """Asked before by anybody: a hit while it is cached, in any dialect."""
        if not self._clean:
            return await self._new()
        dialect, number = self._random.choice(self._clean)
        before = self._provider.asked[number]
        await self._asked("again", dialect, number, question(number))
        if self._provider.asked[number] > before + 1:
            self.findings.doubled.append(f"again: question {number} was asked {self._provider.asked[number]} times")
        return dialect

    async def _together(self) -> str:
        """Three at once, for whom the model is asked once."""
        number, dialect = next(self._numbers), self._dialect()
        await asyncio.gather(*(self._asked("together", dialect, number, question(number)) for _ in range(3)))
        if (calls := self._provider.asked[number]) > 1:
            self.findings.doubled.append(f"together: question {number} was asked {calls} times")
        return dialect

    async def _faulty(self) -> str:
        number, fault = next(self._numbers), self._random.choice([*FAULTS, REFUSED])
        dialect = self._dialect()
        await self._asked(f"faulty {fault}", dialect, number, question(number, fault))
        return dialect

    async def _leaves(self) -> str:
        """The connection breaks after some bytes, and the client goes on at its last id."""
        number, body = next(self._numbers), b""
        asked = await self._open(CHAT, chat(question(number)))
        async for piece in asked.aiter_raw():
            body += piece
            if len(body) > 900:
                break
        await asked.aclose()
        whole, last = seen(body)
        rest = await self._client.get(asked.headers["location"], headers={"last-event-id": last} if last else {})
        self.findings.judge("leaves", text_of(parse(whole)) + text_of(parse(rest.content)), text(number))
        return "native"

    async def _stops(self) -> str:
        number, body = next(self._numbers), b""
        asked = await self._open(CHAT, chat(question(number)))
        async for piece in asked.aiter_raw():
            body += piece
            if b"/stop" not in body and len(body) > 600:
                await self._client.post(f"{asked.headers['location']}/stop")
        await asked.aclose()
        frames, whole = parse(body), text(number)
        self.findings.judge("stops", text_of(frames), whole[: len(text_of(frames))])
        if frames[-1]["type"] not in ("stop", "finish"):
            self.findings.lost.append(f"stops: ended with {frames[-1]}")
        return "native"

    async def _deletes(self) -> str:
        number = next(self._numbers)
        answer = await self._ask(CHAT, chat(question(number)))
        assert (await self._client.delete(answer.headers["location"])).status_code == 204
        gone = await self._client.get(answer.headers["location"])
        self.findings.judge("deletes", str(gone.status_code), "410")
        return "native"

    async def _converses(self) -> str:
        """A conversation of one question, which is then deleted."""
        number, id = next(self._numbers), f"soak-{self._random.randrange(10**12):012}"
        path, body = f"/api/conversations/{id}", {"id": f"{id}-q", "answer": f"{id}-a", "parent": None}
        answer = await self._ask(f"{path}/messages", {**body, "content": question(number)})
        self.findings.judge("converses", text_of(parse(answer.content)), text(number))
        assert (await self._client.delete(path)).status_code == 204
        return "native"

    # ---- requests

    def _dialect(self) -> str:
        return self._random.choice(list(DIALECTS))

    async def _asked(self, what: str, dialect: str, number: int, said: str) -> None:
        way: Way = DIALECTS[dialect]
        at = time.monotonic()
        answer = await self._ask(way.path, way.body(said), way.accept)
        if not what.startswith("faulty"):
            self.findings.first.append((at, answer.extensions["first"]))
        self.findings.judge(f"{what}, {dialect}", way.text(answer.text), text(number))

    async def _ask(self, path: str, body: dict[str, Any], accept: str = "text/event-stream") -> httpx.Response:
        answer = await self._open(path, body, accept)
        await answer.aread()
        await answer.aclose()
        return answer

    async def _open(self, path: str, body: dict[str, Any], accept: str = "text/event-stream") -> httpx.Response:
        """The response to a request, once it is not refused for want of room."""
        for refusals in range(TURNED_AWAY):
            request = self._client.build_request("POST", path, content=json.dumps(body), headers={"accept": accept})
            begun = time.monotonic()
            answer = await self._client.send(request, stream=True)
            answer.extensions["first"] = time.monotonic() - begun
            if answer.status_code not in FULL:
                self.findings.longest = max(self.findings.longest, refusals)
                assert answer.status_code == 200, f"{path}: {answer.status_code} {await answer.aread()}"
                return answer
            assert "retry-after" in answer.headers, f"{path}: {answer.status_code} without Retry-After"
            await answer.aclose()
            self.findings.refused += 1
            await asyncio.sleep(float(answer.headers["retry-after"]))
            _DEADLINE.get().reschedule(asyncio.get_running_loop().time() + PATIENCE)
        raise AssertionError(f"{path}: refused {TURNED_AWAY} times in a row")

"""Stale answers by choice: delivered while they are renewed, or where their renewal fails, in every dialect."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis_servers import Server, engines
from redis_servers import serving as redis_serving
from serving import Headwater, chat, headwater, parse, post_chat, text_of, until

from headwater.answers import renewals
from headwater.answers.claim import Caching, Claims, Wanted
from headwater.answers.quota import Allowance
from headwater.cache.policy import Stale
from headwater.errors import ModelError
from headwater.events import Event, Finish, TextDelta
from headwater.log.memory import MemoryStore
from headwater.log.redis.store import RedisStore
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Claim, Store
from headwater.models.scripted import Scripted
from headwater.prompt import Prompt

TTL = 100.0
NONE = Stale()


class Clock:
    """A wall clock that tests move."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture(scope="module")
def redis() -> Generator[Server, None, None]:
    with redis_serving(engines()[0]) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


class Runs(Scripted):
    """Plays one script after another, and the last one from then on."""

    def __init__(self, *runs: Sequence[Any]) -> None:
        super().__init__(())
        self._runs = runs

    def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        return self._play(prompt, self._runs[min(len(self.prompts), len(self._runs) - 1)])


def opened(kind: str, clock: Clock, folder: Path, request: pytest.FixtureRequest) -> Store:
    if kind == "redis":
        return RedisStore(request.getfixturevalue("redis").url, clock=clock)
    return SqliteStore(folder / "logs.sqlite", clock=clock) if kind == "sqlite" else MemoryStore(clock=clock)


def said(text: str) -> list[Any]:
    return [TextDelta(text), Finish("stop")]


@asynccontextmanager
async def stored(
    *runs: Any, stale: Stale = NONE, refresh: float = 0, store: Store | None = None, clock: Clock | None = None
) -> AsyncGenerator[tuple[Headwater, Clock, Runs], None]:
    """A server whose store has the answer "old" to a question; `runs` are the model's next ones."""
    clock, model = clock or Clock(), Runs(said("old"), *runs)
    # Redis is shared by the tests, which a secret of their own keeps apart.
    secret = secrets.token_bytes(8) if isinstance(store, RedisStore) else b"secret"
    caching = Caching(TTL, secret, stale, refresh)
    async with headwater(model, store or MemoryStore(clock=clock), caching=caching) as server:
        assert told(await post_chat(server.client)) == "old"
        yield server, clock, model


def told(response: httpx.Response) -> str:
    return text_of(parse(response.content))


async def test_a_stale_answer_is_delivered_while_one_renewal_runs(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Twenty requests at once get the old answer at once and make one call; whoever comes later gets the new one."""
    clock, gate = Clock(), asyncio.Event()
    store = opened(kind, clock, tmp_path, request)
    async with stored([gate, *said("new")], stale=Stale(renewed=60), store=store, clock=clock) as (server, _, model):
        clock.ahead += TTL + 30
        answers = await asyncio.gather(*(post_chat(server.client) for _ in range(20)))
        assert {told(answer) for answer in answers} == {"old"}
        assert {answer.headers["cache-status"] for answer in answers} <= {
            f"headwater; hit; ttl=-{over}; detail=stale" for over in (30, 31, 32, 33)
        }
        assert 130 <= int(answers[0].headers["age"]) <= 133
        await until(lambda: len(model.prompts) == 2, "a renewal runs")
        gate.set()
        await until(lambda: server.answers.running == 0, "the renewal has ended")
        later = await post_chat(server.client)
        assert told(later) == "new"
        assert later.headers["cache-status"].startswith("headwater; hit; ttl=9")
    assert len(model.prompts) == 2


async def test_one_renewal_for_two_servers(tmp_path: Path) -> None:
    """Servers on one store share the renewal, because it is claimed there."""
    clock, gate = Clock(), asyncio.Event()
    path = tmp_path / "logs.sqlite"
    stale = Stale(renewed=60)
    async with stored([gate, *said("new")], stale=stale, store=SqliteStore(path, clock=clock), clock=clock) as (
        server,
        _,
        model,
    ):
        other_model = Runs([gate, *said("other")])
        caching = Caching(TTL, b"secret", stale)
        async with headwater(other_model, SqliteStore(path, clock=clock), caching=caching) as other:
            clock.ahead += TTL + 30
            answers = await asyncio.gather(*(post_chat(each.client) for each in (server, other) * 10))
            assert {told(answer) for answer in answers} == {"old"}
            await until(lambda: server.answers.running + other.answers.running == 1, "a renewal runs")
            gate.set()
            await until(lambda: server.answers.running + other.answers.running == 0, "the renewal has ended")
            assert told(await post_chat(other.client)) == told(await post_chat(server.client)) != "old"
    assert len(model.prompts) + len(other_model.prompts) == 2


async def test_an_answer_that_is_too_stale_is_not_delivered() -> None:
    """Past the limit a request waits for a new answer, as it would without one."""
    async with stored(said("new"), stale=Stale(renewed=20)) as (server, clock, _):
        clock.ahead += TTL + 30
        response = await post_chat(server.client)
        assert (told(response), response.headers["cache-status"]) == ("new", "headwater; fwd=miss")


FAILURES = [
    ModelError("down", status=503, retryable=True),
    ModelError("slow down", code="rate_limit", status=429),
    ModelError("too slow", code="timeout", status=504),
]


@pytest.mark.parametrize("failure", FAILURES, ids=["down", "rate limit", "timeout"])
async def test_a_stale_answer_takes_the_place_of_a_failure(failure: ModelError) -> None:
    """The provider fails before its first word, and the reader gets the old answer, which stays where it was."""
    async with stored([failure], [failure], said("new"), stale=Stale(instead=60)) as (server, clock, _):
        clock.ahead += TTL + 30
        for _ in range(2):
            response = await post_chat(server.client)
            assert (response.status_code, told(response)) == (200, "old")
            status = f"headwater; fwd=stale; fwd-status={failure.status}; detail=stale-if-error"
            assert response.headers["cache-status"] == status
            assert int(response.headers["age"]) >= 130
        response = await post_chat(server.client)
        assert (told(response), response.headers["cache-status"]) == ("new", "headwater; fwd=stale")
        assert told(await post_chat(server.client)) == "new"


async def test_requests_that_wait_for_one_renewal_share_its_failure(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty requests at once make one call, and all of them get the old answer when it fails."""
    clock, gate, claims, claim = Clock(), asyncio.Event(), list[Claim](), Claims.claim

    async def counted(self: Claims, store: Store, wanted: Wanted) -> tuple[Claim, str]:
        claimed = await claim(self, store, wanted)
        if wanted.renews is not None:
            claims.append(claimed[0])
        return claimed

    monkeypatch.setattr(Claims, "claim", counted)
    store = opened(kind, clock, tmp_path, request)
    async with stored([gate, FAILURES[0]], stale=Stale(instead=60), store=store, clock=clock) as (server, _, model):
        clock.ahead += TTL + 30
        asked = [asyncio.create_task(post_chat(server.client)) for _ in range(20)]
        await until(lambda: len(claims) == 20, "all wait for the renewal")
        gate.set()
        assert {told(answer) for answer in await asyncio.gather(*asked)} == {"old"}
    assert len(model.prompts) == 2


async def test_a_refusal_is_not_hidden() -> None:
    """A request that the provider refuses fails as ever: nothing is wrong with the provider."""
    async with stored([ModelError("no", status=400)], stale=Stale(instead=60)) as (server, clock, _):
        clock.ahead += TTL + 30
        assert (await post_chat(server.client)).status_code == 400


async def test_what_has_begun_is_not_replaced() -> None:
    """A new answer that breaks off after its first words shows its error: a reader never gets two answers."""
    broken = [TextDelta("ne"), ModelError("down", status=503)]
    async with stored(broken, stale=Stale(instead=60)) as (server, clock, _):
        clock.ahead += TTL + 30
        frames = parse((await post_chat(server.client)).content)
        assert text_of(frames) == "ne"
        assert frames[-1]["type"] == "error"


async def test_a_silent_model_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that takes a stale answer does not wait for minutes; the answer that comes late is stored."""
    monkeypatch.setattr(renewals, "PATIENCE", 0.05)
    gate = asyncio.Event()
    async with stored([gate, *said("new")], stale=Stale(instead=60)) as (server, clock, _):
        clock.ahead += TTL + 30
        response = await post_chat(server.client)
        assert told(response) == "old"
        assert "fwd-status=504" in response.headers["cache-status"]
        gate.set()
        await until(lambda: server.answers.running == 0, "the renewal has ended")
        assert told(await post_chat(server.client)) == "new"


@pytest.mark.parametrize(
    ("control", "text", "status"),
    [
        ("stale-while-revalidate=60", "old", "headwater; hit; ttl=-31; detail=stale"),
        ("stale-while-revalidate=10", "failed", ""),
        ("stale-if-error=60", "old", "headwater; fwd=stale; fwd-status=503; detail=stale-if-error"),
        ("max-stale=60", "old", "headwater; hit; ttl=-31; detail=stale"),
        ("max-stale", "old", "headwater; hit; ttl=-31; detail=stale"),
        ("only-if-cached, max-stale=60", "old", "headwater; hit; ttl=-31; detail=stale"),
        ("max-age=90, max-stale=60", "old", "headwater; hit; ttl=-31; detail=stale"),
        ("max-age=90, max-stale=30", "failed", ""),
        ("max-age=90", "failed", ""),
        ("no-cache, max-stale", "failed", ""),
    ],
)
async def test_directives_of_a_request(control: str, text: str, status: str) -> None:
    """A request says itself how stale its answer may be, whatever the settings are."""
    async with stored([FAILURES[0]], stale=NONE) as (server, clock, _):
        clock.ahead += TTL + 30
        response = await post_chat(server.client, **{"Cache-Control": control})
        found = told(response) if response.status_code == 200 else "failed"
        assert (found, response.headers["cache-status"] if found == "old" else "") == (text, status)


@pytest.mark.parametrize("control", ["stale-if-error=soon", "max-stale=-1", "stale-while-revalidate"])
async def test_a_directive_that_is_no_number(control: str) -> None:
    """It is refused with words that name it, as `max-age` is."""
    async with headwater(Runs()) as server:
        response = await post_chat(server.client, **{"Cache-Control": control})
        assert response.status_code == 400
        assert control.partition("=")[0] in response.text


async def test_max_stale_renews_nothing() -> None:
    """The client takes what there is: no model is asked."""
    async with stored() as (server, clock, model):
        clock.ahead += TTL + 30
        await post_chat(server.client, **{"Cache-Control": "max-stale=60"})
        await post_chat(server.client, **{"Cache-Control": "only-if-cached, stale-while-revalidate=60"})
        assert server.answers.running == 0
    assert len(model.prompts) == 1


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", chat(model="scripted", stream=True)),
    ("/v1/chat/completions", chat(model="scripted")),
    ("/v1/responses", {"model": "scripted", "input": "Hi", "stream": True}),
    ("/v1/messages", chat(model="scripted", max_tokens=9, stream=True)),
    ("/api/chat", {"id": "c", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}]}),
]


@pytest.mark.parametrize(("path", "body"), REQUESTS, ids=[f"{path} {'stream' in body}" for path, body in REQUESTS])
async def test_every_dialect(path: str, body: dict[str, Any]) -> None:
    """A stale answer is a log like any other, so each dialect tells it, at once or in place of a failure."""
    async with headwater(
        Runs(said("old"), [FAILURES[0]], [FAILURES[0]]),
        MemoryStore(clock=(clock := Clock())),
        caching=Caching(TTL, b"s"),
    ) as server:
        assert (await server.client.post(path, json=body)).status_code == 200
        clock.ahead += TTL + 30
        for control in ("stale-if-error=60", "stale-while-revalidate=60"):
            response = await server.client.post(path, json=body, headers={"Cache-Control": control})
            assert response.status_code == 200
            assert "old" in response.text
            assert "detail=stale" in response.headers["cache-status"]


async def test_a_popular_answer_is_renewed_before_its_end() -> None:
    """The third request of the last seconds starts one renewal, so that no crowd meets a miss; the others cost none."""
    gate = asyncio.Event()
    async with stored([gate, *said("new")], refresh=20) as (server, clock, model):
        for _ in range(5):
            await post_chat(server.client)
        clock.ahead += TTL - 10
        for _ in range(2):
            await post_chat(server.client)
        assert server.answers.running == 0, "it is not asked for often in its last seconds"
        for _ in range(3):
            response = await post_chat(server.client)
            assert told(response) == "old"
            assert response.headers["cache-status"] in ("headwater; hit; ttl=9", "headwater; hit; ttl=8")
        gate.set()
        await until(lambda: server.answers.running == 0, "the renewal has ended")
        response = await post_chat(server.client)
        assert (told(response), response.headers["age"]) == ("new", "0")
    assert len(model.prompts) == 2


async def test_a_renewal_keeps_to_the_limits() -> None:
    """A server at its capacity begins no renewal; whoever takes a stale answer in place of an error gets it."""
    gate, clock = asyncio.Event(), Clock()
    busy = Runs([gate, *said("old")])
    store, caching = MemoryStore(clock=clock), Caching(TTL, b"secret")
    async with headwater(busy, store, caching=caching, allowance=Allowance(generations=1)) as server:
        first = asyncio.create_task(post_chat(server.client))
        gate.set()
        await first
        clock.ahead += TTL + 30
        gate.clear()
        other = asyncio.create_task(post_chat(server.client, "Ho"))
        await until(lambda: server.answers.running == 1, "the server is at its capacity")
        for control, status in (("stale-if-error=60", "fwd-status=503"), ("stale-while-revalidate=60", "hit")):
            response = await post_chat(server.client, **{"Cache-Control": control})
            assert (told(response), status in response.headers["cache-status"]) == ("old", True)
        assert (await post_chat(server.client)).status_code == 503
        gate.set()
        await other
    assert len(busy.prompts) == 2

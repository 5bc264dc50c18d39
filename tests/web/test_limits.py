"""Limits of tenants as their clients meet them: refusals, header fields, and what goes on at a limit."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest
from openai import AsyncOpenAI, RateLimitError
from serving import Headwater, chat, headwater, parse, post_chat, text_of, until
from starlette.requests import Request

from headwater.answers.claim import Caching
from headwater.answers.quota import Allowance, Quota
from headwater.cache.policy import Stale
from headwater.errors import ModelError, StoreError
from headwater.events import Finish, TextDelta, Usage
from headwater.log.counters import Count, Slots, Taken
from headwater.log.memory import MemoryStore
from headwater.log.store import NO_TERMS, Claim, Store, Terms
from headwater.models.scripted import SILENCE, Scripted
from headwater.principal import Principal
from headwater.testing import Clock
from headwater.web.capacity import Capacity

CHAT = "/api/stream/completion/chat"
HELLO = [TextDelta("Hel"), TextDelta("lo"), Finish("stop", Usage(30, 20))]


def still() -> MemoryStore:
    """A store whose clock stands still, so that no minute ends in a test."""
    return MemoryStore(clock=Clock())


def limited(
    model: Scripted | None = None, store: Store | None = None, **most: float
) -> AbstractAsyncContextManager[Headwater]:
    """A server whose tenants have a quota."""
    allowance = Allowance(Quota(**most))  # pyright: ignore[reportArgumentType]
    return headwater(model or Scripted(HELLO), store or still(), allowance=allowance)


def who(request: Request) -> Principal:
    """The caller, by the tenant that a header names."""
    return Principal(request.headers["x-tenant"], "somebody")


def states(fields: str) -> dict[str, int]:
    """What remains of each limit, by its name."""
    return {name: int(left) for name, left in re.findall(r'"([\w-]+)";r=(\d+)', fields)}


async def test_requests_a_minute() -> None:
    """Hits count too; the refusal says when to come back, and no model was asked."""
    async with limited(requests_per_minute=2) as server:
        first, hit, refused = [await post_chat(server.client) for _ in range(3)]

    assert first.headers["ratelimit-policy"] == '"requests";q=2;w=60'
    assert [states(each.headers["ratelimit"]) for each in (first, hit, refused)] == [{"requests": n} for n in (1, 0, 0)]
    assert "hit" in hit.headers["cache-status"]
    assert (refused.status_code, refused.json()["code"], refused.json()["retryable"]) == (429, "rate_limited", True)
    assert 0 < int(refused.headers["retry-after"]) <= 60


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (CHAT, ("code", "rate_limited")),
        ("/v1/chat/completions", ("error", {"type": "rate_limit_error", "code": "rate_limit_exceeded"})),
        ("/v1/messages", ("error", {"type": "rate_limit_error"})),
        ("/v1/responses", ("error", {"type": "rate_limit_error", "code": "rate_limit_exceeded"})),
    ],
)
async def test_each_dialect_words_the_refusal_as_its_sdks_read_it(path: str, wanted: tuple[str, object]) -> None:
    """With the fields that say how long to wait; the SDKs of OpenAI and Anthropic are told to retry."""
    body = {"model": "scripted", "input": "Hi"} if path == "/v1/responses" else chat(model="scripted", max_tokens=9)
    async with limited(requests_per_minute=1) as server:
        asked, refused = [await server.client.post(path, json=body) for _ in range(2)]

    field, value = wanted
    told = refused.json()[field]
    assert (asked.status_code, refused.status_code) == (200, 429), asked.text
    assert value == (told if isinstance(value, str) else {key: told[key] for key in value})  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
    assert refused.headers.get("x-should-retry", "true") == "true"
    assert states(refused.headers["ratelimit"]) == {"requests": 0}
    assert int(refused.headers["retry-after"]) <= 60


async def test_openais_own_library_raises_its_error() -> None:
    """After its retries; for a budget that is spent it retries nothing."""
    allowance = Allowance(Quota(requests_per_minute=1), {"spent": Quota(tokens_per_day=1)})
    async with headwater(Scripted(HELLO), still(), allowance=allowance, who=who) as server:
        url = str(server.client.base_url.join("/v1"))
        for tenant, code in (("other", "rate_limit_exceeded"), ("spent", "insufficient_quota")):
            retries = 0 if tenant == "other" else 5
            headers = {"X-Tenant": tenant}
            async with AsyncOpenAI(api_key="k", base_url=url, max_retries=retries, default_headers=headers) as client:
                ask = partial(client.chat.completions.create, model="scripted")
                await ask(messages=[{"role": "user", "content": "one"}])
                with pytest.raises(RateLimitError) as refused:
                    await ask(messages=[{"role": "user", "content": "two"}])
            assert refused.value.code == code


async def test_tokens_are_charged_with_what_the_answer_used() -> None:
    """The answer that goes beyond the limit is whole; after it hits go on, and new answers do not."""
    async with limited(tokens_per_minute=60, tokens_per_day=1000) as server:
        first = await post_chat(server.client, "one")
        second = await post_chat(server.client, "two")
        refused = await post_chat(server.client, "three")
        hit = await post_chat(server.client, "one")

    assert first.headers["ratelimit-policy"] == (
        '"tokens";q=60;w=60;qu="tokens", "tokens-day";q=1000;w=86400;qu="tokens"'
    )
    assert states(second.headers["ratelimit"]) == {"tokens": 10, "tokens-day": 950}
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert text_of(parse(hit.content)) == "Hello"
    assert states(hit.headers["ratelimit"]) == {"tokens": 0, "tokens-day": 900}


async def test_a_budget_of_a_day_is_not_waited_for() -> None:
    """OpenAI's code for it ends an SDK's retries."""
    async with limited(tokens_per_day=10) as server:
        await post_chat(server.client, "one")
        refused = await server.client.post("/v1/chat/completions", json=chat("two", model="scripted"))

    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["code"]) == (429, "insufficient_quota", "insufficient_quota")
    assert refused.headers["x-should-retry"] == "false"
    assert int(refused.headers["retry-after"]) <= 86_400


async def test_a_budget_of_a_day_in_money() -> None:
    """In cents, as the fields are whole numbers; a hit costs nothing again."""
    model = Scripted([TextDelta("a"), Finish("stop", Usage(3, 1, cost=0.012))])
    async with limited(model, cost_per_day=0.02) as server:
        asked = [await post_chat(server.client, question) for question in ("one", "one", "two", "three")]

    assert [each.status_code for each in asked] == [200, 200, 200, 429]
    assert asked[0].headers["ratelimit-policy"] == '"cost-day";q=2;w=86400;qu="usd-cents"'
    assert [states(each.headers["ratelimit"])["cost-day"] for each in asked] == [2, 0, 0, 0]
    assert asked[3].json()["code"] == "quota_exceeded"


async def test_a_renewal_is_no_further_request() -> None:
    """The one that found a stale answer was counted; the renewal's tokens are charged as those of any answer."""
    clock, model = Clock(), Scripted(HELLO)
    clock.now -= clock.now % 60
    store, caching = MemoryStore(clock=clock), Caching(ttl=10, secret=b"secret", stale=Stale(renewed=60))
    allowance = Allowance(Quota(requests_per_minute=2, tokens_per_minute=1000))
    async with headwater(model, store, caching=caching, allowance=allowance) as server:
        await post_chat(server.client)
        clock.now += 11
        stale = await post_chat(server.client)
        await until(lambda: len(model.prompts) == 2 and not server.answers.running, "it is renewed")
        left = (await store.take("default", [Count("requests", 0, 60.0), Count("tokens", 0, 60.0)])).used
    assert "stale" in stale.headers["cache-status"]
    assert left == [2, 100]


async def test_a_stopped_answer_is_charged_by_its_length() -> None:
    """No provider counts it, and whoever stops every answer would pay for none."""
    async with limited(Scripted([TextDelta("word " * 40), SILENCE]), tokens_per_minute=1000) as server:
        async with server.client.stream("POST", CHAT, json=chat("x" * 40)) as response:
            await anext(response.aiter_raw())
            await server.client.post(response.headers["location"] + "/stop")
        left = (await server.store.take("default", [Count("tokens", 0, 60.0)])).used
    assert left == [60]


async def test_answers_at_once() -> None:
    """A third is refused; whoever joins, resumes or has a stored answer goes on; each ending frees a slot."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, Finish("stop")])
    async with limited(model, generations=2) as server:
        one, two = [asyncio.create_task(post_chat(server.client, each)) for each in ("one", "two")]
        await until(lambda: model.running == 2, "both run")
        refused = await post_chat(server.client, "three")
        async with server.client.stream("POST", CHAT, json=chat("one")) as joined:
            gate.set()
            assert text_of(parse(await joined.aread())) == "a"
        asked = [await each for each in (one, two)]
        again = [await post_chat(server.client, f"more {i}") for i in range(6)]

    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, "rate_limited", "2")
    assert refused.headers["ratelimit-policy"] == '"generations";q=2;qu="concurrent-requests"'
    assert [each.status_code for each in (joined, *asked, *again)] == [200] * 9
    assert "collapsed" in joined.headers["cache-status"]
    assert states(again[-1].headers["ratelimit"]) == {"generations": 1}


async def test_a_retry_joins_its_first_run_although_all_slots_are_held() -> None:
    """The one slot is its own: a repeated POST with the same key begins nothing."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, Finish("stop")])
    uncached = {"Cache-Control": "no-store", "Idempotency-Key": "k"}
    async with limited(model, generations=1) as server:
        first = asyncio.create_task(post_chat(server.client, **uncached))
        await until(lambda: model.running, "it runs")
        async with server.client.stream("POST", CHAT, json=chat(), headers=uncached) as retried:
            other = await post_chat(server.client, **{**uncached, "Idempotency-Key": "other"})
            gate.set()
            assert text_of(parse(await retried.aread())) == "a"
        assert text_of(parse((await first).content)) == "a"
    assert other.status_code == 429
    assert len(model.prompts) == 1


async def test_a_failed_answer_frees_its_slot_and_costs_nothing() -> None:
    """Also one that was refused by its provider before the first word."""
    model = Scripted([ModelError("no", status=400)])
    async with limited(model, generations=1, tokens_per_minute=10) as server:
        answers = [await post_chat(server.client, f"{i}") for i in range(3)]
    assert [each.status_code for each in answers] == [400] * 3
    assert states(answers[-1].headers["ratelimit"]) == {"tokens": 10, "generations": 0}


async def test_a_process_at_its_capacity_serves_what_there_is() -> None:
    """New answers are refused early with 503; hits, joins and resumes go on."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, Finish("stop")])
    async with headwater(model, allowance=Allowance(generations=1)) as server:
        gate.set()
        await post_chat(server.client, "stored")
        gate.clear()
        running = asyncio.create_task(post_chat(server.client, "runs"))
        await until(lambda: model.running, "it runs")
        refused = await post_chat(server.client, "new")
        sdk = await server.client.post("/v1/messages", json=chat("new", model="scripted", max_tokens=9))
        hit = await post_chat(server.client, "stored")
        async with server.client.stream("POST", CHAT, json=chat("runs")) as joined:
            gate.set()
            assert text_of(parse(await joined.aread())) == "a"
        assert (await running).status_code == 200
        assert (await post_chat(server.client, "new")).status_code == 200

    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "at_capacity", "2")
    assert (sdk.status_code, sdk.json()["error"]["type"]) == (529, "overloaded_error")
    assert (hit.status_code, "hit" in hit.headers["cache-status"]) == (200, True)
    assert "ratelimit" not in hit.headers


@pytest.mark.parametrize("quota", [Quota(), Quota(requests_per_minute=9)], ids=["no quota", "a quota"])
async def test_what_is_looked_for_takes_no_place_of_a_new_answer(quota: Quota) -> None:
    """While a slow store looks a hit up, this process generates nothing."""
    gate, slow = asyncio.Event(), list[str]()

    class Slow(MemoryStore):
        async def find(self, name: str, principal: Principal, *, terms: Terms = NO_TERMS) -> Claim | None:
            if slow:
                slow.clear()
                await gate.wait()
            return await super().find(name, principal, terms=terms)

    async with headwater(Scripted(HELLO), Slow(), allowance=Allowance(quota, generations=1)) as server:
        await post_chat(server.client, "stored")
        slow.append("the next one")
        hit = asyncio.create_task(post_chat(server.client, "stored"))
        await until(lambda: not slow, "the store is asked")
        new = await post_chat(server.client, "new")
        gate.set()
        assert "hit" in (await hit).headers["cache-status"]
    assert new.status_code == 200


async def test_a_failure_of_the_store_does_not_make_an_answer_free() -> None:
    """It is charged, and its slot is given back, as soon as the store can."""
    store, failures = still(), [StoreError("the store is away")]
    take = store.take

    async def failing(owner: str, counts: Sequence[Count] = (), slots: Slots | None = None) -> Taken:
        if failures and slots is not None and not slots.ttl:
            raise failures.pop()
        return await take(owner, counts, slots)

    store.take = failing
    async with limited(store=store, tokens_per_minute=1000, generations=1) as server:
        await post_chat(server.client)
        taken = await take("default", [Count("tokens", 0, 60.0)], Slots((), 60))
    assert not failures
    assert (taken.used, taken.held) == ([50], 0)


async def test_tenants_have_their_own_quotas() -> None:
    """One that is used up is nobody else's; a tenant that is named has other limits, or none."""
    quotas = {"rich": Quota(requests_per_minute=3), "free": Quota()}
    allowance = Allowance(Quota(requests_per_minute=1), quotas)
    async with headwater(Scripted(HELLO), still(), allowance=allowance, who=who) as server:
        passed = {
            tenant: [(await post_chat(server.client, **{"X-Tenant": tenant})).status_code for _ in range(4)].count(200)
            for tenant in ("poor", "rich", "free", "other")
        }
    assert passed == {"poor": 1, "rich": 3, "free": 4, "other": 1}


async def test_messages_have_limits() -> None:
    """In number and in size; what is sent within them is answered."""
    allowance = Allowance(messages=3, message=200)
    async with headwater(Scripted(HELLO), allowance=allowance) as server:
        turns = [{"role": role, "content": "Hi"} for role in ("user", "assistant") * 2]
        many = await server.client.post(CHAT, json={"messages": turns})
        large = await server.client.post("/v1/messages", json=chat("x" * 201, model="scripted", max_tokens=9))
        assert (await server.client.post(CHAT, json={"messages": turns[:3]})).status_code == 200

    assert (many.status_code, many.json()["code"]) == (413, "prompt_too_large")
    assert (large.status_code, large.json()["error"]["type"]) == (413, "request_too_large")


async def test_a_conversation_is_limited_like_any_request() -> None:
    """A refused question leaves nothing behind, so that it can be asked again under the same ids."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, Finish("stop")])
    async with limited(model, generations=1) as server:
        running = asyncio.create_task(post_chat(server.client))
        await until(lambda: model.running, "it runs")
        question = {"content": "one", "id": "q-1-limited", "answer": "a-1-limited"}
        ask = partial(server.client.post, "/api/conversations/c-limited/messages", json=question)
        refused = await ask()
        gate.set()
        await running
        asked = await ask()
    assert (refused.status_code, states(refused.headers["ratelimit"])) == (429, {"generations": 0})
    assert (asked.status_code, states(asked.headers["ratelimit"])) == (202, {"generations": 0})


async def test_pages_of_other_origins_may_read_the_fields() -> None:
    """As they may read when to come back."""
    origin = "https://app.example"
    async with headwater(Scripted(HELLO), origins=[origin], allowance=Allowance(Quota(generations=9))) as server:
        answer = await post_chat(server.client, Origin=origin)
    exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
    assert {"ratelimit", "ratelimit-policy", "retry-after"} <= {*exposed}
    assert "ratelimit" in answer.headers


async def test_without_limits_the_store_is_asked_nothing_more() -> None:
    """No counter is read or written."""

    class Uncounted(MemoryStore):
        async def refuse(self, owner: str, counts: Sequence[Count] = (), slots: Slots | None = None) -> Taken:
            raise AssertionError("a counter is used")

    store = Uncounted()
    store.take = store.refuse
    async with headwater(Scripted(HELLO), store, allowance=Allowance(messages=10, generations=5)) as server:
        assert "ratelimit" not in (await post_chat(server.client)).headers


async def test_open_streams_of_a_client_and_in_all() -> None:
    """One more is refused until one has ended; another client has its own."""
    gate = asyncio.Event()

    def user(request: Request) -> Principal:
        return Principal("acme", request.headers.get("x-user", "alice"))

    model, capacity = Scripted([TextDelta("a"), gate, Finish("stop")]), Capacity(None, streams=3, each=2)
    async with headwater(model, who=user, capacity=capacity) as server:
        ask = partial(server.client.stream, "POST", CHAT)
        async with ask(json=chat("1")) as first, ask(json=chat("2")):
            refused = await post_chat(server.client, "3")
            resumed = await server.client.get(first.headers["location"])
            async with ask(json=chat("4"), headers={"X-User": "bob"}):
                full = await post_chat(server.client, "5", **{"X-User": "carol"})
        gate.set()
        await until(lambda: not server.answers.running, "all have ended")
        assert (await post_chat(server.client, "6")).status_code == 200

    assert [each.status_code for each in (refused, resumed, full)] == [429, 429, 503]
    assert all("retry-after" in each.headers for each in (refused, resumed, full))


async def test_the_stream_without_a_model_counts_too() -> None:
    """It is an open stream like any other."""
    gate = asyncio.Event()
    async with headwater(Scripted([TextDelta("a"), gate, Finish("stop")]), capacity=Capacity(each=1)) as server:
        async with server.client.stream("POST", CHAT, json=chat()):
            refused = await server.client.get("/api/stream")
        gate.set()
        await until(lambda: not server.answers.running, "it has ended")

    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")

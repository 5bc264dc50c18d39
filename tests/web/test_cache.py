"""A second identical request is a reader of the first one's log, whenever it comes."""

import asyncio

import pytest
from serving import chat, frames, headwater, parse, post_chat, text_of
from starlette.requests import Request

from headwater.answers.claim import Caching
from headwater.errors import ModelError
from headwater.events import Event, Finish, TextDelta, Usage
from headwater.log.memory import MemoryStore
from headwater.models.scripted import Scripted
from headwater.principal import Principal

ANSWER = [TextDelta("Hel"), TextDelta("lo"), Finish("stop", Usage(3, 2))]


async def test_a_second_identical_request_replays_the_events_without_the_model() -> None:
    """Chunk for chunk, usage included; only the message id is its own, so that two messages never share one."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        first = await post_chat(server.client)
        second = await post_chat(server.client)

    assert len(model.prompts) == 1
    assert second.headers["cache-status"].startswith("headwater; hit; ttl=35")
    assert second.headers["age"] == "0"
    assert parse(first.content)[1:] == parse(second.content)[1:]
    fresh, replayed = (parse(r.content)[0]["message_id"] for r in (first, second))
    assert replayed.startswith(f"{fresh}~")
    assert second.headers["location"] == f"/api/streams/{replayed}"


async def test_a_hit_keeps_its_message_id_when_it_is_resumed() -> None:
    """`Location` of a replay leads to the same message, not to the original one."""
    async with headwater(Scripted(ANSWER)) as server:
        await post_chat(server.client)
        hit = await post_chat(server.client)

        again = await server.client.get(hit.headers["location"])

        assert parse(again.content)[1:] == parse(hit.content)[1:]
        assert parse(again.content)[0]["message_id"] == parse(hit.content)[0]["message_id"]


async def test_the_start_of_a_hit_tells_what_it_saves() -> None:
    """To the request that it answers; the stored log, the first reader and a resume know nothing of it."""
    async with headwater(Scripted([0.05, ANSWER[0], 0.05, *ANSWER[1:]])) as server:
        first, hit = await post_chat(server.client), await post_chat(server.client)
        again = await server.client.get(hit.headers["location"])

    told = parse(hit.content)[0]["cache"]
    assert 0.05 <= told["saved"].pop("seconds") < 5
    assert told == {"status": "hit", "age": 0, "saved": {"tokens": 5, "cost": None}}
    assert all("cache" not in parse(other.content)[0] for other in (first, again))


async def test_the_start_of_an_answer_that_is_joined_says_so() -> None:
    """What that saves is known at the end."""
    gate = asyncio.Event()
    async with headwater(Scripted([TextDelta("a"), gate, Finish("stop", Usage(3, 2))])) as server:
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as first:
            first_read = frames(first)
            assert "cache" not in await anext(first_read)
            async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as second:
                read = frames(second)
                assert (await anext(read))["cache"] == {"status": "joined"}
                gate.set()
                assert [frame async for frame in read][-1]["usage"] == {"input_tokens": 3, "output_tokens": 2}


async def test_fifty_identical_requests_at_once_make_one_call() -> None:
    """Every one of them gets the whole answer, those who come late from its first token at once."""
    gate, rest = asyncio.Event(), asyncio.Event()
    model = Scripted([gate, TextDelta("a"), TextDelta("b"), rest, TextDelta("c"), Finish("stop")])
    async with headwater(model) as server:
        early = [asyncio.create_task(post_chat(server.client)) for _ in range(49)]
        gate.set()
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as late:
            read = frames(late)
            assert [(await anext(read))["type"] for _ in range(3)] == ["start", "text-delta", "text-delta"]
            rest.set()
            assert text_of([frame async for frame in read]) == "c"
        answers = await asyncio.gather(*early)

    assert len(model.prompts) == 1
    assert {text_of(parse(answer.content)) for answer in answers} == {"abc"}
    statuses = sorted(answer.headers["cache-status"] for answer in [late, *answers])
    assert statuses == ["headwater; fwd=miss", *["headwater; fwd=miss; collapsed"] * 49]


@pytest.mark.parametrize(
    "ending",
    [Finish("length"), Finish("content_filter"), ModelError("boom", retryable=False)],
    ids=["truncated by its length", "filtered", "failed"],
)
async def test_a_partial_answer_is_not_replayed(ending: Event | ModelError) -> None:
    """The next request starts a run of its own."""
    model = Scripted([TextDelta("part"), ending])
    async with headwater(model) as server:
        for _ in range(2):
            assert (await post_chat(server.client)).headers["cache-status"] == "headwater; fwd=miss"

    assert len(model.prompts) == 2


async def test_tool_calls_are_whole_answers() -> None:
    """A model that ended by calling a tool has finished its answer."""
    model = Scripted([TextDelta("let me see"), Finish("tool_calls")])
    async with headwater(model) as server:
        await post_chat(server.client)
        await post_chat(server.client)

    assert len(model.prompts) == 1


async def test_fields_that_do_not_change_the_answer_do_not_change_the_key() -> None:
    """Ids, the user's name and how the answer is delivered are not part of the question."""
    model = Scripted(ANSWER)
    message = {"role": "user", "content": "Hi"}
    bodies = [
        {"messages": [message]},
        {"messages": [{**message, "id": "m1", "response_metadata": {"x": 1}}], "conversation_id": "c"},
        {"stream": True, "user": "ann", "metadata": {"a": 1}, "messages": [message]},
    ]
    async with headwater(model) as server:
        for body in bodies:
            await server.client.post("/api/stream/completion/chat", json=body)

    assert len(model.prompts) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0.5},
        {"max_tokens": 9},
        {"stop": ["."]},
        {"reasoning_effort": "high"},
        {"messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}]},
        {"messages": [{"role": "user", "content": "Hi "}]},
        {"messages": [{"role": "assistant", "content": "Hi"}]},
    ],
    ids=str,
)
async def test_fields_that_change_the_answer_change_the_key(other: dict[str, object]) -> None:
    """Also a field that Headwater does not know: the provider may."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        await server.client.post("/api/stream/completion/chat", json=chat())
        await server.client.post("/api/stream/completion/chat", json=chat() | other)

    assert len(model.prompts) == 2


async def test_identical_requests_of_two_tenants_never_meet() -> None:
    """Neither in the cache, nor while running, nor by the id of the log."""

    def who(request: Request) -> Principal:
        return Principal(request.headers["x-tenant"], "somebody")

    gate = asyncio.Event()
    model = Scripted([gate, *ANSWER])
    async with headwater(model, who=who) as server:
        both = [asyncio.create_task(post_chat(server.client, **{"x-tenant": tenant})) for tenant in ("a", "b")]
        gate.set()
        first, _ = await asyncio.gather(*both)
        stranger = await server.client.get(first.headers["location"], headers={"x-tenant": "b"})
        owner = await server.client.get(first.headers["location"], headers={"x-tenant": "a"})

    assert len(model.prompts) == 2
    assert (stranger.status_code, owner.status_code) == (404, 200)


async def test_no_cache_calls_the_model_and_stores_the_new_answer() -> None:
    """That is what a regenerate button sends."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        first = await post_chat(server.client)
        again = await post_chat(server.client, **{"cache-control": "no-cache"})
        third = await post_chat(server.client)

    assert len(model.prompts) == 2
    assert again.headers["cache-status"] == "headwater; fwd=request"
    assert third.headers["location"].startswith(again.headers["location"] + "~")
    assert not third.headers["location"].startswith(first.headers["location"])


async def test_a_failed_regenerate_keeps_the_answer_that_was_there() -> None:
    """A new answer replaces the old one when it is whole, not when it begins."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        await post_chat(server.client)
        model._steps = (ModelError("boom"),)  # pyright: ignore[reportPrivateUsage]
        assert (await post_chat(server.client, **{"cache-control": "no-cache"})).status_code == 502

        assert (await post_chat(server.client)).headers["cache-status"].startswith("headwater; hit")


async def test_no_store_leaves_nothing_for_later_requests() -> None:
    """The log can still be resumed by its id; no name leads to it."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        kept = await post_chat(server.client, **{"cache-control": "no-store"})
        await post_chat(server.client)
        again = await server.client.get(kept.headers["location"])

    assert len(model.prompts) == 2
    assert again.content == kept.content


async def test_only_if_cached_answers_from_the_cache_or_504() -> None:
    """It never starts a model (RFC 9111 §5.2.1.7)."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        absent = await post_chat(server.client, **{"cache-control": "only-if-cached"})
        await post_chat(server.client)
        present = await post_chat(server.client, **{"cache-control": "only-if-cached"})

    assert (absent.status_code, absent.json()["code"]) == (504, "not_cached")
    assert text_of(parse(present.content)) == "Hello"
    assert len(model.prompts) == 1


async def test_age_ttl_and_max_age_follow_the_clock() -> None:
    """An answer is replayed while it is younger than its TTL and than what the request accepts."""
    now = 1_000_000.0
    model = Scripted(ANSWER)
    async with headwater(model, MemoryStore(clock=lambda: now), caching=Caching(100, b"secret")) as server:
        await post_chat(server.client)
        now += 40
        hit = await post_chat(server.client, **{"cache-control": "max-age=60"})
        assert (hit.headers["age"], hit.headers["cache-status"]) == ("40", "headwater; hit; ttl=60")
        assert len(model.prompts) == 1

        await post_chat(server.client, **{"cache-control": "max-age=30"})
        assert len(model.prompts) == 2
        now += 101
        await post_chat(server.client)
        assert len(model.prompts) == 3


async def test_the_cache_can_be_switched_off() -> None:
    """Then every request is a run of its own, with `fwd=bypass`."""
    model = Scripted(ANSWER)
    async with headwater(model, caching=Caching(0, b"secret")) as server:
        for _ in range(2):
            assert (await post_chat(server.client)).headers["cache-status"] == "headwater; fwd=bypass"

    assert len(model.prompts) == 2


async def test_an_idempotency_key_joins_a_retry_to_its_first_run_without_the_cache() -> None:
    """A POST that is repeated because its answer got lost must not be paid for twice."""
    model = Scripted(ANSWER)
    async with headwater(model, caching=Caching(0, b"secret")) as server:
        first = await post_chat(server.client, **{"idempotency-key": "k1"})
        retry = await post_chat(server.client, **{"idempotency-key": "k1"})
        await post_chat(server.client, **{"idempotency-key": "k2"})

    assert len(model.prompts) == 2
    assert parse(first.content)[1:] == parse(retry.content)[1:]


@pytest.mark.parametrize("length", [256, 257, 5000])
async def test_long_idempotency_keys_are_compared_whole(length: int) -> None:
    """Two keys with a common beginning are two keys: gateways build theirs from a long prefix and a counter."""
    model = Scripted(ANSWER)
    async with headwater(model, caching=Caching(0, b"secret")) as server:
        for key in ("a" * length, "a" * length + "1", "a" * length + "2", "a" * length + "1"):
            await post_chat(server.client, **{"idempotency-key": key})

    assert len(model.prompts) == 3


async def test_a_regenerate_with_an_idempotency_key_is_kept_for_everybody() -> None:
    """Clients that always send a key still use the cache."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        await post_chat(server.client)
        again = await post_chat(server.client, **{"cache-control": "no-cache", "idempotency-key": "k1"})
        retry = await post_chat(server.client, **{"cache-control": "no-cache", "idempotency-key": "k1"})
        third = await post_chat(server.client)

    assert len(model.prompts) == 2
    assert retry.headers["location"].startswith(again.headers["location"] + "~")
    assert third.headers["location"].startswith(again.headers["location"] + "~")


async def test_a_max_age_that_is_not_a_number_is_refused() -> None:
    """A guess would serve an answer that is older than the client accepts."""
    async with headwater(Scripted(ANSWER)) as server:
        response = await post_chat(server.client, **{"cache-control": "max-age=soon"})

    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


async def test_directives_may_come_in_several_lines() -> None:
    """A proxy may write its own beside the client's; a list is one list however many lines it has."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        for _ in range(2):
            lines = [("cache-control", "max-age=60"), ("cache-control", "no-store")]
            await server.client.post("/api/stream/completion/chat", json=chat(), headers=lines)

    assert len(model.prompts) == 2


async def test_only_from_the_cache_and_not_from_the_cache_is_not_at_all() -> None:
    """A stored answer must not be used, and no model may be called: 504 (RFC 9111 §5.2.1.7)."""
    async with headwater(Scripted(ANSWER)) as server:
        await post_chat(server.client)
        stored = await post_chat(server.client, **{"cache-control": "only-if-cached"})
        neither = await post_chat(server.client, **{"cache-control": "only-if-cached, no-cache"})

    assert (stored.status_code, neither.status_code, neither.json()["code"]) == (200, 504, "not_cached")

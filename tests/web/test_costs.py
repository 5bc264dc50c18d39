"""What an answer cost, and what the cache has saved, wherever a client can read it."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from conversing import at, say, settled, who
from serving import Headwater, chat, headwater, parse, post_chat

from headwater.events import Finish, TextDelta, Usage
from headwater.log.store import PAGE
from headwater.models.prices import Prices, Rates
from headwater.models.scripted import Scripted

COST = 3e-6 * 2 + 2e-6 * 10
JSON = {"accept": "application/json"}


def model(*, usage: Usage | None = Usage(3, 2)) -> Scripted:  # noqa: B008 - immutable
    """A model whose run takes a moment."""
    return Scripted([TextDelta("Hel"), 0.02, TextDelta("lo"), Finish("stop", usage)])


@pytest.fixture
async def server() -> AsyncGenerator[Headwater, None]:
    """A server that knows the price of its model."""
    async with headwater(model(), who=who, prices=Prices({"scripted": Rates(input=2, output=10)})) as server:
        yield server


async def test_an_answer_tells_its_cost_and_a_hit_what_it_saves(server: Headwater) -> None:
    """The cost is stored, so that every reader sees the same, whenever it comes and however it asks."""
    first, hit = await post_chat(server.client), await post_chat(server.client)
    whole = (await post_chat(server.client, **JSON)).json()
    states = [(await server.client.get(each.headers["location"], headers=JSON)).json() for each in (first, hit)]

    usage = {"input_tokens": 3, "output_tokens": 2, "cost": COST}
    assert [parse(each.content)[-1]["usage"] for each in (first, hit)] == [usage, usage]
    assert [each["usage"] for each in (*states, whole)] == [usage, usage, usage]
    saved = parse(hit.content)[0]["cache"]["saved"]
    assert saved == {"seconds": states[0]["timing"]["duration"], "tokens": 5, "cost": COST}
    assert [each["saved"] for each in (*states, whole)] == [None, saved, saved]


@pytest.mark.parametrize("pace", ["instant", "9999", "original"])
async def test_the_start_of_a_long_or_paced_hit_tells_what_it_saves(pace: str) -> None:
    """A long answer's ending is not in the page that its start is in: it is read by itself."""
    long = Scripted([*(TextDelta(str(each)) for each in range(3 * PAGE)), Finish("stop", Usage(3, 2))])
    async with headwater(long) as server:
        first = parse((await post_chat(server.client)).content)
        hit = await server.client.post(f"/api/stream/completion/chat?pace={pace}", json=chat())

    told = parse(hit.content)
    assert (told[0]["cache"]["status"], told[0]["cache"]["saved"]["tokens"]) == ("hit", 5)
    assert told[1:] == first[1:]


async def test_who_joins_a_running_answer_saves_its_tokens_and_their_price() -> None:
    """No time: it is not known how long the answer had been running. The state tells it once the answer has ended."""
    gate = asyncio.Event()
    slow = Scripted([TextDelta("a"), gate, Finish("stop", Usage(3, 2))])
    async with (
        headwater(slow, prices=Prices({"*": Rates(input=2, output=10)})) as server,
        server.client.stream("POST", "/api/stream/completion/chat", json=chat()),
        server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as joined,
    ):
        before = (await server.client.get(joined.headers["location"], headers=JSON)).json()
        gate.set()
        await joined.aread()
        after = (await server.client.get(joined.headers["location"], headers=JSON)).json()

    assert (before["state"], before["saved"]) == ("open", None)
    assert after["saved"] == {"seconds": 0.0, "tokens": 5, "cost": COST}


async def test_conversations_add_up_what_was_saved(server: Headwater) -> None:
    """In the node of each answer, and over all of them."""
    first = await say(server.client)
    hit = await say(server.client, chat="conv-0002")
    await settled(server.client, "conv-0002")

    assert (first["saved"], first["usage"]["cost"]) == (None, COST)
    assert hit["saved"] == {"seconds": first["timing"]["duration"], "tokens": 5, "cost": COST}
    figures = (await server.client.get("/api/cache")).json()
    assert (figures["hits"], figures["saved"]) == (1, hit["saved"])
    assert (await server.client.delete(at("conv-0002"))).status_code == 204


async def test_a_cost_that_is_not_known_is_null() -> None:
    """Nothing is added up to zero dollars where nothing is known."""
    async with headwater(model(), who=who) as server:
        await say(server.client)
        hit = await say(server.client, chat="conv-0002")
        figures = (await server.client.get("/api/cache")).json()

    assert "cost" not in hit["usage"]
    assert (hit["saved"]["cost"], figures["saved"]["cost"]) == (None, None)
    assert figures["saved"]["tokens"] == 5


async def test_a_stored_price_outlives_the_setting() -> None:
    """A server without prices tells what another one has stored."""
    prices = Prices({"scripted": Rates(input=2, output=10)})
    async with headwater(model(), prices=prices) as first:
        await post_chat(first.client)
        async with headwater(model(), first.store) as second:
            hit = await post_chat(second.client)

    assert parse(hit.content)[-1]["usage"]["cost"] == COST

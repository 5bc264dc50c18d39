"""Clients of Server-Sent Events that reconnect by the request they made first, with `Last-Event-ID`.

fetch-event-source and eventsource-client repeat a POST so, and a browser's EventSource its GET.
"""

import asyncio

import httpx
import pytest
from serving import Headwater, chat, frames, headwater, parse, post_chat, seen, text_of, until

from headwater.answers.claim import Caching
from headwater.dialects import sse
from headwater.dialects.dialect import BEGINNING, Cursor
from headwater.errors import ModelError
from headwater.events import Finish, TextDelta
from headwater.log.memory import MemoryStore
from headwater.models.scripted import Scripted
from headwater.offsets import Offset
from headwater.principal import Principal

CHAT = "/api/stream/completion/chat"
WORDS = [TextDelta(word) for word in ("one ", "two ", "three ", "four ")]


async def repeated(server: Headwater, last: str | None, **headers: str) -> httpx.Response:
    """The same POST once more, as a client makes it that has this id."""
    return await post_chat(server.client, **headers, **({"last-event-id": last} if last is not None else {}))


@pytest.mark.parametrize("caching", [Caching(60, b"s"), Caching(0, b"s")], ids=["cache", "no cache"])
@pytest.mark.parametrize("directive", ["", "no-cache", "no-store", "only-if-cached"])
async def test_a_post_that_is_repeated_goes_on_after_its_offset(caching: Caching, directive: str) -> None:
    """Cut at every frame of a finished log; wherever the answer is kept, and whatever the request says of the cache."""
    model = Scripted([*WORDS, Finish("stop")])
    headers = {"cache-control": directive} if directive not in ("", "only-if-cached") else {}
    async with headwater(model, caching=caching) as server:
        body = (await post_chat(server.client, **headers)).content
        headers = {"cache-control": directive} if directive else {}
        for cut in [at + 2 for at in range(len(body)) if body[at : at + 2] == b"\n\n"][1:]:
            kept, last = seen(body[:cut])
            rest = await repeated(server, last, **headers)
            if cut == len(body):
                assert (rest.status_code, rest.content) == (204, b"")
            else:
                assert kept + rest.content.removeprefix(b"retry: 2000\n") == body

    assert len(model.prompts) == 1


async def test_a_post_that_is_repeated_joins_the_answer_that_is_being_made() -> None:
    """The words that it missed, then those still to come; once and in order."""
    gate = asyncio.Event()
    model = Scripted([*WORDS[:2], gate, *WORDS[2:], Finish("stop")])
    async with headwater(model) as server:
        async with server.client.stream("POST", CHAT, json=chat()) as response:
            read = frames(response)
            heard = [await anext(read) for _ in range(2)]
            location = response.headers["location"]
        again = asyncio.create_task(repeated(server, heard[-1].id))
        gate.set()
        rest = await again

    assert rest.headers["location"] == location
    assert text_of(heard + parse(rest.content)) == "one two three four "
    assert len(model.prompts) == 1


async def test_an_offset_of_a_log_that_was_replaced_begins_the_new_one() -> None:
    """A part of one answer is never continued by a part of another."""
    model = Scripted([*WORDS, Finish("stop")])
    async with headwater(model) as server:
        first = await post_chat(server.client)
        await server.client.delete(first.headers["location"])
        second = await repeated(server, parse(first.content)[2].id)
        third = await repeated(server, parse(first.content)[-1].id)

    for response in (second, third):
        told = parse(response.content)
        assert (told[0]["type"], text_of(told)) == ("start", "one two three four ")
    assert len(model.prompts) == 2


async def test_a_log_is_continued_also_after_a_newer_answer_took_its_place() -> None:
    """Somebody asked anew meanwhile: whoever is in the middle of the old answer gets the rest of that one."""
    model = Scripted([*WORDS, Finish("stop")])
    async with headwater(model) as server:
        first = await post_chat(server.client)
        await post_chat(server.client, **{"cache-control": "no-cache"})
        rest = await repeated(server, parse(first.content)[2].id)

    assert parse(rest.content) == parse(first.content)[3:]
    assert rest.headers["location"] == first.headers["location"]


async def test_an_offset_of_another_question_begins_the_answer() -> None:
    """A client that carries its last id on to the next question still gets that answer whole."""
    model = Scripted([*WORDS, Finish("stop")])
    async with headwater(model) as server:
        last = parse((await post_chat(server.client)).content)[-1].id or ""
        other = await post_chat(server.client, "Something else", **{"last-event-id": last})

    assert (other.status_code, text_of(parse(other.content))) == (200, "one two three four ")


async def test_an_offset_of_another_tenant_begins_the_answer() -> None:
    """And so tells nothing of the other's."""
    model = Scripted([*WORDS, Finish("stop")])
    async with headwater(model, who=lambda request: Principal(request.headers["x-tenant"], "s")) as server:
        first = await post_chat(server.client, **{"x-tenant": "a"})
        other = await repeated(server, parse(first.content)[2].id, **{"x-tenant": "b"})

    assert other.headers["cache-status"] == "headwater; fwd=miss"
    assert parse(other.content)[0]["type"] == "start"


@pytest.mark.parametrize("id", ["1-3", "0-0", "x", "undefined", "17", "1-3.", "1-3.zz", "-1", "", "1-3.~", "1-3.A"])
async def test_an_id_that_names_no_log_begins_the_answer(id: str) -> None:
    """A request for an answer can always be answered from the beginning."""
    model = Scripted([*WORDS, Finish("stop")])
    async with headwater(model) as server:
        await post_chat(server.client)
        again = await repeated(server, id)

    assert (again.status_code, text_of(parse(again.content))) == (200, "one two three four ")
    assert len(model.prompts) == 1


async def test_a_failure_that_was_heard_is_not_asked_for_again() -> None:
    """A client that reconnects by itself would otherwise ask the model every two seconds, for ever."""
    model = Scripted([TextDelta("part"), ModelError("gone", code="cut", status=502)])
    async with headwater(model) as server:
        told = parse((await post_chat(server.client)).content)
        again = await repeated(server, told[-1].id)
        before = await repeated(server, told[-2].id)
        anew = await post_chat(server.client)

    assert (told[-1]["type"], again.status_code) == ("error", 204)
    assert [frame["type"] for frame in parse(before.content)] == ["error"]
    assert anew.headers["cache-status"] == "headwater; fwd=miss"
    assert len(model.prompts) == 2


async def test_a_repeated_post_is_continued_by_another_server_on_the_same_store() -> None:
    """The id alone says which log it is of."""
    store, model = MemoryStore(), Scripted([*WORDS, Finish("stop")])
    caching = Caching(0, b"secret")
    async with headwater(model, store, caching=caching) as one, headwater(model, store, caching=caching) as other:
        first = await post_chat(one.client)
        rest = await repeated(other, parse(first.content)[2].id)

    assert parse(rest.content) == parse(first.content)[3:]


async def test_a_repeated_post_gets_bare_text_and_json_as_it_asks() -> None:
    """Text goes on after the offset; one JSON object is always the whole answer."""
    async with headwater(Scripted([*WORDS, Finish("stop")])) as server:
        last = parse((await post_chat(server.client)).content)[2].id
        text = await repeated(server, last, accept="text/plain")
        whole = await repeated(server, last, accept="application/json")

    assert text.text == "three four "
    assert whole.json()["text"] == "one two three four "


async def test_a_bad_request_is_refused_whatever_id_it_brings() -> None:
    """What was heard of another request is no excuse."""
    async with headwater(Scripted([*WORDS, Finish("stop")])) as server:
        last = parse((await post_chat(server.client)).content)[-1].id or ""
        response = await server.client.post(CHAT, json={}, headers={"last-event-id": last})

    assert response.status_code == 422


# ---- The cursor's other names


def test_blanks_around_a_cursor_are_no_part_of_it() -> None:
    """And a cursor of nothing but blanks is none."""
    assert sse.cursor({"last-event-id": " 1-3.ab\t"}, {}) == Cursor(Offset(1, 3), run="ab")
    assert sse.cursor({"last-event-id": "  "}, {"after": " ", "lastEventId": "1-4 "}) == Cursor(Offset(1, 4))
    assert sse.cursor({"last-event-id": "  "}, {"after": ""}) == BEGINNING


@pytest.mark.parametrize("name", ["after", "lastEventId", "last_event_id"])
async def test_a_cursor_has_three_names_in_a_query(name: str) -> None:
    """Polyfills of EventSource that cannot set a header write one of them; on GET and on POST."""
    async with headwater(Scripted([*WORDS, Finish("stop")])) as server:
        first = await post_chat(server.client)
        told, location = parse(first.content), first.headers["location"]
        cursor = {name: f" {told[2].id} "}
        by_get = await server.client.get(location, params=cursor)
        by_post = await server.client.post(CHAT, params=cursor, json=chat())
        header = {"last-event-id": f"{told[3].id}"}
        both = await server.client.get(location, params=cursor, headers=header)
        blank = await server.client.get(location, params=cursor, headers={"last-event-id": ""})
        empty = await server.client.get(location, params={name: "  "})

    assert parse(by_get.content) == parse(by_post.content) == parse(blank.content) == told[3:]
    assert parse(both.content) == told[4:]
    assert parse(empty.content) == told


async def test_an_offset_of_another_log_is_refused_by_a_log() -> None:
    """Also where the log has an entry of that number."""
    async with headwater(Scripted([*WORDS, Finish("stop")])) as server:
        first, second = await post_chat(server.client), await post_chat(server.client, "Something else")
        last = parse(first.content)[2].id or ""
        refused = await server.client.get(second.headers["location"], headers={"last-event-id": last})
        plain = await server.client.get(second.headers["location"], headers={"last-event-id": last.partition(".")[0]})

    assert (refused.status_code, refused.json()["code"]) == (410, "expired")
    assert parse(plain.content) == parse(second.content)[3:]


# ---- The test stream


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_test_stream_is_told_once(method: str) -> None:
    """An EventSource reconnects after every end; 204 is what stops it."""
    async with headwater(Scripted([])) as server:
        first = parse((await server.client.request(method, "/api/stream")).content)
        last = {"last-event-id": first[-1].id or ""}
        again = await server.client.request(method, "/api/stream", headers=last)
        by_query = await server.client.request(method, "/api/stream", params={"lastEventId": first[-1].id or ""})
        anew = parse((await server.client.request(method, "/api/stream")).content)

    assert (again.status_code, again.content) == (204, b"")
    assert by_query.status_code == 204
    assert anew[0]["message_id"] != first[0]["message_id"]


async def test_a_test_stream_that_was_cut_is_continued() -> None:
    """While it runs, and afterwards; not begun anew."""
    async with headwater(Scripted([])) as server:
        async with server.client.stream("GET", "/api/stream") as response:
            read = frames(response)
            heard = [await anext(read) for _ in range(3)]
        running = await server.client.get("/api/stream", headers={"last-event-id": heard[-1].id or ""})
        await until(lambda: not server.answers.running, "the run has ended")
        ended = await server.client.get("/api/stream", headers={"last-event-id": heard[-1].id or ""})

    assert parse(running.content) == parse(ended.content)
    assert len(heard) + len(parse(running.content)) == 7


async def test_a_test_stream_that_is_gone_begins_anew() -> None:
    """As do ids of anything else."""
    async with headwater(Scripted([*WORDS, Finish("stop")])) as server:
        first = await server.client.get("/api/stream")
        await server.client.delete(first.headers["location"])
        other = parse((await post_chat(server.client)).content)[-1].id or ""
        for id in (parse(first.content)[-1].id or "", other, "1-7", "x"):
            again = parse((await server.client.get("/api/stream", headers={"last-event-id": id})).content)
            assert len(again) == 7

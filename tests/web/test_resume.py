"""Resuming: a reader that loses its connection goes on at its offset."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Headwater, chat, frames, headwater, parse, post_chat, seen, text_of, until

from headwater.events import Finish, TextDelta
from headwater.models.scripted import SILENCE, Scripted
from headwater.offsets import run_of
from headwater.web.response import Pace


async def resumed(server: Headwater, location: str, body: bytes) -> bytes:
    """The frames a client has in the end when its first connection was cut after `body`."""
    whole, last = seen(body)
    response = await server.client.get(location, headers={"last-event-id": last} if last else {})
    if last is None:
        return response.content
    if response.status_code == 204:
        return whole
    return whole + response.content.removeprefix(b"retry: 2000\n")


async def test_cut_and_resume_is_uncut_at_every_byte() -> None:
    """Of a finished log, for each byte at which a connection can break."""
    model = Scripted([TextDelta("né"), TextDelta("\U0001f600\n"), Finish("stop")])
    async with headwater(model) as server:
        whole = await post_chat(server.client)
        for cut in range(len(whole.content) + 1):
            assert await resumed(server, whole.headers["location"], whole.content[:cut]) == whole.content


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.text(max_size=20), max_size=8), data=st.data())
def test_cut_and_resume_is_uncut_while_the_answer_is_made(pieces: list[str], data: st.DataObject) -> None:
    """Any answer, cut anywhere, with any part of it still to come when the reader returns."""

    async def run() -> None:
        gate = asyncio.Event()
        before = data.draw(st.integers(0, len(pieces)))
        steps = [TextDelta(piece) for piece in pieces]
        model = Scripted([*steps[:before], gate, *steps[before:], Finish("stop")])
        async with headwater(model, pace=Pace(hold=0.01)) as server:
            async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
                location, body, read = response.headers["location"], b"", response.aiter_raw()
                if not before:
                    gate.set()
                while body.count(b"\n\n") < 1 + before:
                    body += await anext(read)
            cut = data.draw(st.integers(0, len(body)))
            gate.set()
            got = await resumed(server, location, body[:cut])
            whole = await server.client.get(location)
            assert got == whole.content

    asyncio.run(run())


async def test_a_reader_joins_a_running_answer_at_its_offset() -> None:
    """`?after=` does what `Last-Event-ID` does, for clients that cannot set headers; the header wins."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), TextDelta("b"), gate, TextDelta("c"), Finish("stop")])
    async with headwater(model) as server:
        first = asyncio.create_task(post_chat(server.client))
        await until(lambda: model.running, "the model runs")
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as joined:
            location = joined.headers["location"]
        gate.set()
        await first
        for after, header in (("1-3", {}), ("1-1", {"last-event-id": "1-3"})):
            rest = parse((await server.client.get(location, params={"after": after}, headers=header)).content)
            assert [frame.offset for frame in rest] == ["1-4", "1-5"]


async def test_after_the_ending_there_is_nothing() -> None:
    """204 makes an EventSource stop reconnecting."""
    async with headwater(Scripted([TextDelta("x"), Finish("stop")])) as server:
        answer = await post_chat(server.client)

        response = await server.client.get(answer.headers["location"], headers={"last-event-id": "1-3"})

        assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize(
    ("offset", "status"), [("1-99", 410), ("7-1", 410), ("x", 400), ("1-2\u00e9", 400), ("-1", 400)]
)
async def test_an_offset_that_is_not_of_this_log_is_refused(offset: str, status: int) -> None:
    """Never a silent partial."""
    async with headwater(Scripted([TextDelta("x"), Finish("stop")])) as server:
        answer = await post_chat(server.client)

        response = await server.client.get(answer.headers["location"], params={"after": offset})

        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"


async def test_an_unknown_log_is_404_and_a_deleted_one_410() -> None:
    """The two differ because after 410 the question can be asked again."""
    model = Scripted([TextDelta("x"), Finish("stop")])
    async with headwater(model) as server:
        answer = await post_chat(server.client)
        location = answer.headers["location"]
        assert (await server.client.get("/api/streams/0123456789ab-0123")).status_code == 404
        assert (await server.client.get("/api/streams/..%2f..%2fetc")).status_code == 404

        assert (await server.client.delete(location)).status_code == 204

        assert (await server.client.get(location)).status_code == 410
        assert (await post_chat(server.client)).headers["cache-status"] == "headwater; fwd=miss"
    assert len(model.prompts) == 2


async def test_a_client_that_leaves_does_not_end_the_answer() -> None:
    """The generation belongs to no request: it goes on, and is whole for the next one."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with headwater(model) as server:
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
            read = frames(response)
            await anext(read)
            await anext(read)
        gate.set()

        again = await post_chat(server.client)

        assert text_of(parse(again.content)) == "ab"
    assert len(model.prompts) == 1


async def test_the_state_of_a_log_is_one_json_object() -> None:
    """So far while it runs, complete afterwards; with the timing of the original run."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with headwater(model) as server:
        asking = asyncio.create_task(post_chat(server.client))
        await until(lambda: model.running, "the model runs")
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as joined:
            location = joined.headers["location"]
            read = frames(joined)
            await anext(read)
            await anext(read)
        json_please = {"accept": "application/json"}

        running = (await server.client.get(location, headers=json_please)).json()
        gate.set()
        await asking
        finished = (await server.client.get(location, headers=json_please)).json()

        run = run_of(finished["id"])
        assert (running["state"], running["text"], running["ending"]) == ("open", "a", None)
        assert (finished["state"], finished["text"]) == ("finished", "ab")
        assert (running["offset"], finished["offset"]) == (f"1-2.{run}", f"1-4.{run}")
        assert finished["ending"]["type"] == "finish"
        assert finished["model"] == "scripted"
        assert 0 <= finished["timing"]["first_token"] <= finished["timing"]["duration"]


async def test_stop_from_another_connection_ends_a_silent_model() -> None:
    """The partial answer can be read by its id, and is not replayed to new requests."""
    model = Scripted([TextDelta("part"), SILENCE])
    async with headwater(model) as server:
        reading = asyncio.create_task(post_chat(server.client))
        await until(lambda: model.running, "the model runs")
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as joined:
            location = joined.headers["location"]

        async with asyncio.timeout(1):
            stopped = await server.client.post(f"{location}/stop")
        answer = parse((await reading).content)

        assert (stopped.status_code, stopped.json()["state"]) == (200, "stopped")
        assert answer[-1] == {"type": "stop", "by": "anyone"}
        assert model.running == 0
        assert text_of(parse((await server.client.get(location)).content)) == "part"
        again = asyncio.create_task(post_chat(server.client))
        await until(lambda: len(model.prompts) == 2, "a new request makes a new call")
        again.cancel()


async def test_stop_is_idempotent_and_a_finished_answer_stays_finished() -> None:
    """The second stop returns the state that was reached."""
    async with headwater(Scripted([TextDelta("x"), Finish("stop")])) as server:
        answer = await post_chat(server.client)
        for _ in range(2):
            response = await server.client.post(answer.headers["location"] + "/stop")
            assert (response.status_code, response.json()["state"]) == (200, "finished")


async def test_stop_only_detaches_while_somebody_else_wants_the_answer() -> None:
    """Two subjects read the answer; a stop by one does not end it for the other."""
    from headwater.principal import Principal

    model = Scripted([TextDelta("a"), SILENCE])
    async with headwater(model, who=lambda r: Principal("t", r.headers["x-user"])) as server:
        readers = [asyncio.create_task(post_chat(server.client, **{"x-user": user})) for user in ("ann", "bob")]
        await until(lambda: model.running, "the model runs")
        async with server.client.stream(
            "POST", "/api/stream/completion/chat", json=chat(), headers={"x-user": "bob"}
        ) as joined:
            location = joined.headers["location"]

        first = await server.client.post(f"{location}/stop", headers={"x-user": "ann"})
        second = await server.client.post(f"{location}/stop", headers={"x-user": "bob"})
        await asyncio.gather(*readers)

    assert (first.status_code, first.json()["state"]) == (202, "open")
    assert (second.status_code, second.json()["state"]) == (200, "stopped")


async def test_a_reader_at_a_crawl_delays_nobody() -> None:
    """A client that takes no bytes holds an offset, not the producer."""
    big = "x" * 60_000
    model = Scripted([*[TextDelta(big)] * 50, Finish("stop")])
    async with headwater(model) as server:
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as slow:
            assert slow.status_code == 200
            fast = await post_chat(server.client)
            assert len(text_of(parse(fast.content))) == 50 * 60_000

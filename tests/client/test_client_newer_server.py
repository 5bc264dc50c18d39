"""A log of a newer version, read through a server of this one: by the client, and by each form of the native routes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from reading import quick, read
from serving import Headwater, headwater, parse, text_of

from headwater.entries import Entry, record, restore
from headwater.events import Error, Finish, Start, TextDelta
from headwater.log.sqlite.store import SqliteStore
from headwater.models.scripted import Scripted
from headwater.offsets import Offset
from headwater.principal import ANYONE

LOG = "abcdefgh-1"
PATH = f"/api/streams/{LOG}"
START = record(Offset(1, 1), 0.0, Start(LOG, "m")).data
SOURCE = b'[1,0.1,{"type":"source","url":"https://example.org/"}]'
TEXT = b'[2,0.2,{"type":"text-delta","text":"a","language":"en"},{"trace":7}]'
FINISH = b'[1,0.3,{"type":"finish","reason":"stop"}]'
PAUSE = b'[1,0.3,{"type":"pause","until":"tomorrow"}]'


@asynccontextmanager
async def serving_log(folder: Path, *lines: bytes) -> AsyncGenerator[Headwater, None]:
    """A server of this version on a store in which a newer one has written and sealed a log."""
    *entries, last = [restore(Offset(1, sequence), line) for sequence, line in enumerate(lines, 1)]
    newer = SqliteStore(folder / "logs.db")
    # The newer version knows how its own ending leaves the log; here a plain one stands for it.
    await newer.seal(
        [*entries, Entry(last.offset, last.at, Finish("stop"), last.data)], await newer.open(LOG, ANYONE, ttl=60)
    )
    await newer.aclose()
    async with headwater(Scripted([]), SqliteStore(folder / "logs.db")) as server:
        yield server


async def test_a_log_with_events_of_a_newer_version_is_served_whole(tmp_path: Path) -> None:
    """Native passes every byte of an event on, text and the JSON state leave out what they do not know."""
    async with serving_log(tmp_path, START, SOURCE, TEXT, FINISH) as server:
        stream = await server.client.get(PATH)
        rest = await server.client.get(PATH, headers={"last-event-id": "1-2"})
        text = await server.client.get(PATH, headers={"accept": "text/plain"})
        state = (await server.client.get(PATH, headers={"accept": "application/json"})).json()
        async with quick(server.client.base_url) as client:
            answer = await client.attach(PATH)
            events = await read(answer)

    assert stream.content.endswith(
        b'data: {"type":"source","url":"https://example.org/"}\nid: 1-2.1\n\n'
        b'data: {"type":"text-delta","text":"a","language":"en"}\nid: 1-3.1\n\n'
        b'data: {"type":"finish","reason":"stop"}\nid: 1-4.1\n\n'
    )
    assert [frame.offset for frame in parse(rest.content)] == ["1-3", "1-4"]
    assert text.content == b"a"
    assert (state["state"], state["text"], state["offset"]) == ("finished", "a", "1-4.1")
    assert events == [Start("", "m"), TextDelta("a"), Finish("stop")]
    assert (answer.text, str(answer.offset)) == ("a", "1-4")


async def test_a_log_that_a_newer_version_ended_in_an_unknown_way_never_looks_whole(tmp_path: Path) -> None:
    """The stream says so after the event, the state says so, text has no word for it and breaks the connection."""
    async with serving_log(tmp_path, START, TEXT, PAUSE) as server:
        frames = parse((await server.client.get(PATH)).content)
        state = (await server.client.get(PATH, headers={"accept": "application/json"})).json()
        nothing = await server.client.get(PATH, headers={"last-event-id": "1-3"})
        with pytest.raises(httpx.RemoteProtocolError):
            await server.client.get(PATH, headers={"accept": "text/plain"})

    assert [(frame["type"], frame.offset) for frame in frames[1:]] == [
        ("text-delta", "1-2"),
        ("pause", "1-3"),
        ("error", None),
    ]
    assert frames[-1] == state["ending"]
    assert (frames[-1]["code"], frames[-1]["retryable"]) == ("newer_version", False)
    assert (state["state"], state["text"], state["offset"]) == ("failed", "a", "1-3.1")
    assert nothing.status_code == 204
    assert text_of(frames) == "a"


@pytest.mark.parametrize("after", [None, "1-1", "1-2", "1-3"])
async def test_a_client_ends_such_an_answer_with_the_error(after: str | None, tmp_path: Path) -> None:
    """From the stream, or from the state when it has seen the event that it does not know."""
    async with serving_log(tmp_path, START, TEXT, PAUSE) as server, quick(server.client.base_url) as client:
        answer = await client.attach(PATH, after=after)
        last = (await read(answer))[-1]

    assert isinstance(last, Error)
    assert (last.code, answer.ending) == ("newer_version", last)

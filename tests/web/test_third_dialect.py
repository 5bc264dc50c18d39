"""A dialect of thirty lines, served by web/ as it is: streaming, JSON, refusals and silent replay are all its own."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from serving import serving, until
from starlette.requests import Request
from starlette.responses import Response

from headwater.answer import fold
from headwater.answers.answers import Answers, Policy
from headwater.answers.claim import Caching
from headwater.answers.generation import Timeouts
from headwater.dialects.dialect import BEGINNING, Ask, Cursor, Reader, Refusal
from headwater.entries import Entry
from headwater.errors import InvalidPrompt, ModelError
from headwater.events import Error, Finish, Stop, TextDelta
from headwater.log.memory import MemoryStore
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import Model
from headwater.models.scripted import SILENCE, Scripted
from headwater.offsets import ORIGIN, parse
from headwater.principal import ANYONE
from headwater.prompt import Message, Prompt
from headwater.web.surface import Surface


class Lines:
    """Numbered lines: the number of a line depends on the lines before it, so no reader can start in the middle."""

    name, media_type, heartbeat, delimited = "lines", "text/x-lines", b"0 -\n", True

    def ask(self, body: bytes) -> Ask:
        fields = json.loads(body)
        if "say" not in fields:
            raise InvalidPrompt("say is missing")
        return Ask(Prompt(model="", messages=[Message("user", fields["say"])]), whole=fields.get("whole", False))

    def cursor(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Cursor:
        return Cursor(parse(query.get("after", "0-0")), int(query.get("lines", "0")))

    def reader(self, message_id: str, cursor: Cursor = BEGINNING) -> Reader:
        return LinesReader(cursor)

    def whole(self, message_id: str, entries: Sequence[Entry]) -> bytes:
        return json.dumps({"line": fold(entries).text, "as": message_id}).encode()

    def refusal(self, error: Error) -> Refusal:
        return Refusal(error.status, f"no: {error.message}\n".encode(), "text/x-lines", {"X-Code": error.code})

    def headers(self, message_id: str) -> Mapping[str, str]:
        return {"X-Lines": message_id}


class LinesReader:
    begin = ORIGIN

    def __init__(self, cursor: Cursor) -> None:
        self._cursor, self._count = cursor, 0

    def open(self) -> bytes:
        return b""

    def feed(self, page: Sequence[Entry]) -> bytes:
        return b"".join(self._line(entry) for entry in page)

    def broken(self, error: Error) -> bytes:
        return f"! {error.code}\n".encode()

    def _line(self, entry: Entry) -> bytes:
        match entry.event:
            case TextDelta(text):
                self._count += 1
                silent = entry.offset <= self._cursor.after or self._count <= self._cursor.frames
                return b"" if silent else f"{self._count} {text}\n".encode()
            case Finish() | Stop():
                return b".\n"
            case Error() as error:
                return self.broken(error)
            case _:
                return b""


LINES = Lines()
ONE_TWO = Scripted([TextDelta("one"), TextDelta("two"), Finish("stop")])


@asynccontextmanager
async def lines(
    model: Model, who: Callable[[Request], str] = lambda _: "default", *, leaves: bool = False
) -> AsyncGenerator[httpx.AsyncClient]:
    """The dialect on two routes of an app, under a prefix."""

    async def build() -> Model:
        return model

    async def principal(request: Request):
        return ANYONE._replace(tenant=who(request))

    store = MemoryStore()
    policy = Policy(Caching(secret=b"secret"), Timeouts(retries=0, unread=0.3))
    answers = Answers(lambda: store, Catalogue(Offer(model.name, "test", True, build)), policy)
    surface, router = Surface(answers, principal), APIRouter()

    @router.post("/lines/{room}/say")
    async def say(request: Request, room: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return await surface.ask(request, LINES, "/lines/{room}/say", leaves=leaves)

    @router.get("/lines/{message_id}")
    async def more(request: Request, message_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return await surface.resume(request, LINES, "/lines/{message_id}", message_id)

    app = FastAPI()
    app.include_router(router, prefix="/some/where")
    async with serving(app) as client:
        yield client
        await answers.aclose()


SAY = "/some/where/lines/room/say"


async def test_it_streams_under_its_own_headers_with_the_location_of_the_log() -> None:
    """`Location` is right under any prefix, for any route, also one with parameters."""
    async with lines(ONE_TWO) as client:
        response = await client.post(SAY, json={"say": "hi"})

    assert (response.status_code, response.text) == (200, "1 one\n2 two\n.\n")
    assert response.headers["content-type"] == "text/x-lines"
    assert response.headers["location"] == f"/some/where/api/streams/{response.headers['x-lines']}"


async def test_one_entry_serves_it_as_a_stream_and_as_json() -> None:
    """The second request is a hit of the first one's log, in the other form and under a message id of its own."""
    async with lines(ONE_TWO) as client:
        streamed = await client.post(SAY, json={"say": "hi"})
        whole = await client.post(SAY, json={"say": "hi", "whole": True})

    assert whole.headers["cache-status"].startswith("headwater; hit")
    assert whole.json()["line"] == "onetwo"
    assert whole.json()["as"] == whole.headers["x-lines"] != streamed.headers["x-lines"]


@pytest.mark.parametrize("whole", [False, True])
async def test_a_failure_before_the_first_byte_is_its_own_refusal(whole: bool) -> None:
    """Whether the request, its sender or the provider is at fault; with the right status."""
    async with lines(Scripted([ModelError("overloaded", code="busy", status=503)])) as client:
        bad = await client.post(SAY, json={"whole": whole})
        failed = await client.post(SAY, json={"say": "hi", "whole": whole})
        nothing = await client.get("/some/where/lines/0123456789ab-0123456789")

    assert [(r.status_code, r.headers["x-code"]) for r in (bad, failed, nothing)] == [
        (422, "invalid_prompt"),
        (503, "busy"),
        (404, "no_such_log"),
    ]
    assert failed.text == "no: Overloaded.\n"


async def test_a_failure_in_the_middle_is_in_its_words_and_refuses_json() -> None:
    """A part never looks whole: not in the stream, and not as JSON."""
    broken = Scripted([TextDelta("one"), ModelError("gone", code="cut", status=502)])
    async with lines(broken) as client:
        streamed = await client.post(SAY, json={"say": "hi"})
        whole = await client.post(SAY, json={"say": "hi", "whole": True})

    assert streamed.text == "1 one\n! cut\n"
    assert (whole.status_code, whole.text) == (502, "no: Gone.\n")


async def test_it_is_resumed_at_either_measure_by_silent_replay() -> None:
    """After an offset or after a count: the reader folds the log from its beginning, and sends from the cursor on."""
    async with lines(ONE_TWO) as client:
        log = (await client.post(SAY, json={"say": "hi"})).headers["x-lines"]
        by_offset = [await client.get(f"/some/where/lines/{log}?after=1-{seen}") for seen in (1, 2, 3)]
        by_count = [await client.get(f"/some/where/lines/{log}?lines={seen}") for seen in (0, 1, 2)]
        ended = await client.get(f"/some/where/lines/{log}?after=1-4")

    assert [r.text for r in by_offset] == [r.text for r in by_count] == ["1 one\n2 two\n.\n", "2 two\n.\n", ".\n"]
    assert ended.status_code == 204


async def test_another_tenants_log_is_no_log() -> None:
    """The refusal has this dialect's form too."""
    async with lines(ONE_TWO, lambda request: request.headers.get("x-tenant", "a")) as client:
        log = (await client.post(SAY, json={"say": "hi"})).headers["x-lines"]
        other = await client.get(f"/some/where/lines/{log}", headers={"x-tenant": "b"})

    assert (other.status_code, other.headers["x-code"]) == (404, "no_such_log")


@pytest.mark.parametrize("whole", [False, True])
async def test_a_client_that_leaves_ends_the_answer_where_the_route_says_so(whole: bool) -> None:
    """Soon after it has left, also while it waited for JSON; the log then ends as one that was stopped."""
    model = Scripted([TextDelta("one"), SILENCE])
    async with lines(model, leaves=True) as client:
        async with client.stream("POST", SAY, json={"say": "hi"}) as streamed:
            assert await anext(streamed.aiter_text()) == "1 one\n"
            if whole:
                with pytest.raises(httpx.ReadTimeout):
                    await client.post(SAY, json={"say": "hi", "whole": True}, timeout=0.2)
        await until(lambda: model.running == 0, "the model was closed")
        rest = await client.get(f"/some/where/lines/{streamed.headers['x-lines']}")

    assert rest.text == "1 one\n.\n"
    assert len(model.prompts) == 1


async def test_a_client_that_leaves_ends_nothing_elsewhere() -> None:
    """On a route that does not ask for it, as every chat's, the answer goes on."""
    model = Scripted([TextDelta("one"), SILENCE])
    async with lines(model) as client:
        async with client.stream("POST", SAY, json={"say": "hi"}) as streamed:
            assert await anext(streamed.aiter_text()) == "1 one\n"
        await asyncio.sleep(1)  # a fact that must not come about
        assert model.running == 1

"""The client of Upstash's REST API: what it sends, how it fails, and that it never shows the token."""

import socket
from collections.abc import AsyncGenerator, Callable

import pytest
from serving import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from upstash_double import Fault, UpstashDouble

from headwater.errors import StoreError
from headwater.log.upstash.rest import ATTEMPTS, MAX_REQUEST, TooLarge, UpstashRest


@pytest.fixture
async def rest(upstash: UpstashDouble) -> AsyncGenerator[UpstashRest, None]:
    rest = UpstashRest(upstash.url, upstash.token)
    yield rest
    await rest.aclose()


async def test_replies_are_exact_bytes(rest: UpstashRest) -> None:
    """Text is sent whole and returned as bytes; numbers, null and lists are returned as such."""
    assert await rest.execute("SET", "key", "ü \U0001f600 \x00") == b"OK"
    assert await rest.execute("GET", "key") == "ü \U0001f600 \x00".encode()
    assert await rest.execute("GET", "nothing") is None
    assert await rest.execute("STRLEN", "key") == 9
    assert await rest.eval("return {KEYS[1], ARGV[1], 7, {string.char(255)}}", ["key"], [1.5]) == [
        b"key",
        b"1.5",
        7,
        [b"\xff"],
    ]


async def test_a_pipeline(rest: UpstashRest, upstash: UpstashDouble) -> None:
    """Commands of a pipeline are one request, have their own results, and are counted one by one."""
    found = await rest.pipeline([("SET", "key", "a"), ("INCR", "key"), ("GET", "key")])
    assert (found[0], found[2]) == (b"OK", b"a")
    assert isinstance(found[1], StoreError)
    assert upstash.requests == ["/pipeline"]
    assert rest.commands == upstash.commands == 3


async def test_a_long_pipeline(rest: UpstashRest, upstash: UpstashDouble) -> None:
    """A pipeline that is too large for one request is sent in several, in order."""
    found = await rest.pipeline([("SET", f"key-{i}", "x" * 100_000) for i in range(25)])
    assert found == [b"OK"] * 25
    assert upstash.requests == ["/pipeline"] * 3


async def test_a_command_that_is_too_large(rest: UpstashRest, upstash: UpstashDouble) -> None:
    """A command that fits into no request is refused before it is sent; so is one that Upstash finds too large."""
    with pytest.raises(TooLarge):
        await rest.execute("SET", "key", "x" * MAX_REQUEST)
    assert upstash.requests == []
    upstash.max_request = 1000
    with pytest.raises(TooLarge, match="413"):
        await rest.execute("SET", "key", "x" * 2000)


async def test_what_redis_refuses(rest: UpstashRest, upstash: UpstashDouble) -> None:
    """A command that Redis refuses is not sent again; the error has the words of Redis."""
    with pytest.raises(StoreError, match="unknown command"):
        await rest.execute("NOPE")
    with pytest.raises(StoreError, match="not available"):
        await rest.execute("XREAD", "BLOCK", 0, "STREAMS", "key", "$")
    assert upstash.commands == 2


@pytest.mark.parametrize(
    "fault", [Fault(500), Fault(503), Fault(429), Fault(429, {"Retry-After": "0.2"}), Fault(lost=True)]
)
async def test_a_failure_that_passes(rest: UpstashRest, upstash: UpstashDouble, fault: Fault) -> None:
    """A command is sent again after a server error, a rate limit or a broken connection."""
    upstash.faults.append(fault)
    assert await rest.execute("SET", "key", "a") == b"OK"
    assert rest.commands == 2


async def test_a_failure_that_stays(rest: UpstashRest, upstash: UpstashDouble) -> None:
    """A server that keeps failing is an error after the second attempt, which says what it answered."""
    upstash.down = True
    with pytest.raises(StoreError, match="answered 503"):
        await rest.execute("GET", "key")
    assert rest.commands == ATTEMPTS


async def test_a_long_wait_is_left_to_the_caller(rest: UpstashRest, upstash: UpstashDouble) -> None:
    """A long `Retry-After` is an error at once, with its time."""
    upstash.faults.append(Fault(429, {"Retry-After": "30"}))
    with pytest.raises(StoreError, match="429") as failure:
        await rest.execute("GET", "key")
    assert failure.value.retry_after == 30
    assert rest.commands == 1


async def test_an_answer_that_does_not_come(upstash: UpstashDouble) -> None:
    """A request that gets no answer in time is sent again, then given up."""
    rest = UpstashRest(upstash.url, upstash.token, timeout=0.1)
    upstash.faults.append(Fault(delay=0.5))
    assert await rest.execute("SET", "key", "a") == b"OK"
    upstash.faults.extend([Fault(delay=0.5)] * ATTEMPTS)
    with pytest.raises(StoreError, match="no answer within"):
        await rest.execute("SET", "key", "a")
    await rest.aclose()


async def test_a_wrong_token(upstash: UpstashDouble) -> None:
    """A refused token is an error that says so; it is not tried again, and not shown."""
    rest = UpstashRest(upstash.url, "AX-some-other-token")
    with pytest.raises(StoreError, match="UPSTASH_REDIS_REST_TOKEN") as failure:
        await rest.execute("GET", "key")
    assert "AX-some" not in str(failure.value)
    assert rest.commands == 1
    await rest.aclose()


async def test_nobody_there() -> None:
    """An address where nothing listens is an error that says so."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        rest = UpstashRest("http://{}:{}".format(*unused.getsockname()), "token")
        with pytest.raises(StoreError, match="cannot be reached"):
            await rest.execute("GET", "key")
    await rest.aclose()


async def _echo(request: Request) -> Response:
    return JSONResponse({"error": f"ERR who is {request.headers['authorization']}?"}, 400)


async def _other(_: Request) -> Response:
    return PlainTextResponse("<h1>It works!</h1>")


async def _moved(_: Request) -> Response:
    return RedirectResponse("/elsewhere")


async def _odd(_: Request) -> Response:
    return JSONResponse({"result": {"a": "map"}})


@pytest.mark.parametrize(
    ("answer", "words"),
    [(_echo, "who is Bearer …"), (_other, "does not speak"), (_moved, "307"), (_odd, "answered with dict")],
)
async def test_something_else_answers(answer: Callable[[Request], Response], words: str) -> None:
    """An answer that is not Upstash's is an error, not an empty database; the token is cut out of its words."""
    app = Starlette(routes=[Route("/", answer, methods=["POST"])])
    async with serving(app) as client:
        rest = UpstashRest(str(client.base_url), "token-1")
        with pytest.raises(StoreError, match=words) as failure:
            await rest.execute("GET", "key")
        assert "token-1" not in str(failure.value)
        await rest.aclose()


@pytest.mark.parametrize(("url", "token"), [("", "t"), ("rediss://x.example:6379", "t"), ("https://x.example", " ")])
def test_invalid_settings(url: str, token: str) -> None:
    """An invalid address or token is refused at once; the error names its setting."""
    with pytest.raises(StoreError, match="UPSTASH_REDIS_REST_"):
        UpstashRest(url, token)


async def test_a_closed_client(rest: UpstashRest) -> None:
    """A closed client is an error, and may be closed again."""
    await rest.execute("GET", "key")
    await rest.aclose()
    await rest.aclose()
    with pytest.raises(StoreError, match="closed"):
        await rest.execute("GET", "key")

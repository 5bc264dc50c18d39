"""Refusals and failures: each has its class, and keeps the code, status and message of the server."""

import pytest
from canned import canned, events, response
from reading import HI, QUICK, quick, read
from serving import headwater

from headwater.client import Client, NotHeadwater, Unreachable
from headwater.errors import (
    HeadwaterError,
    InvalidPrompt,
    ModelError,
    NoSuchLog,
    NotCached,
    RequestError,
    ShuttingDown,
    StoreError,
    UnknownModel,
)
from headwater.events import Error, Finish, Start, TextDelta
from headwater.models.scripted import Scripted

START = 'id: 1-1\ndata: {"type":"start","message_id":"abcdefgh-1","model":"m"}'
A = 'id: 1-2\ndata: {"type":"text-delta","text":"a"}'
B = 'id: 1-3\ndata: {"type":"text-delta","text":"b"}'
FINISH = 'id: 1-4\ndata: {"type":"finish","reason":"stop"}'
BUSY = 'data: {"type":"error","code":"store","message":"the disk is busy","retryable":true}'
AT = "/api/streams/abcdefgh-1"


async def test_a_refusal_raises_the_error_that_the_server_names() -> None:
    """With the class of its code, and the server's code and status."""
    async with headwater(Scripted([Finish("stop")])) as server, quick(server.client.base_url) as client:
        with pytest.raises(UnknownModel) as unknown:
            await client.chat(HI, model="gpt-0")
        with pytest.raises(InvalidPrompt) as invalid:
            await client.chat([])
        with pytest.raises(InvalidPrompt, match="temperature"):
            await client.complete("Once", temperature=9)

    assert (unknown.value.code, unknown.value.status) == ("unknown_model", 404)
    assert (invalid.value.code, invalid.value.status) == ("invalid_prompt", 422)
    assert "messages is empty" in str(invalid.value)


async def test_a_failure_of_the_model_keeps_its_retry_after() -> None:
    """A rate limit before the first token raises; whether to retry is the caller's decision."""
    limit = ModelError("too fast", code="rate_limited", status=429, retryable=True, retry_after=7)
    model = Scripted([limit])
    async with headwater(model) as server, quick(server.client.base_url) as client:
        with pytest.raises(ModelError, match="Too fast") as refused:
            await client.chat(HI)

    failure = refused.value
    assert (failure.code, failure.status, failure.retryable, failure.retry_after) == ("rate_limited", 429, True, 7.0)
    assert len(model.prompts) == 1


async def test_a_failure_in_mid_answer_is_its_ending() -> None:
    """An event rather than an exception, so that the caller keeps what arrived."""
    async with headwater(Scripted([TextDelta("a")])) as server, quick(server.client.base_url) as client:
        answer = await client.chat(HI)
        await read(answer)

    assert isinstance(answer.ending, Error)
    assert (answer.ending.code, answer.text) == ("truncated", "a")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("store", "503 Service Unavailable", StoreError),
        ("not_cached", "504 Gateway Timeout", NotCached),
        ("bad_request", "400 Bad Request", RequestError),
        ("body_too_large", "413 Content Too Large", RequestError),
        ("forbidden_origin", "403 Forbidden", RequestError),
        ("provider_unreachable", "502 Bad Gateway", ModelError),
        ("internal", "500 Internal Server Error", HeadwaterError),
    ],
)
async def test_every_code_has_its_class(code: str, status: str, kind: type[HeadwaterError]) -> None:
    """A code without a class is the caller's fault if its status is below 500, else the model's."""
    body = b'{"type":"about:blank","title":"","status":0,"detail":"why","code":"%b","retryable":false}' % code.encode()
    async with canned(response(status, body, Content_Type="application/problem+json")) as peer:
        async with quick(peer.url) as client:
            with pytest.raises(HeadwaterError, match="why") as refused:
                await client.chat(HI)

    assert type(refused.value) is kind
    assert (refused.value.code, refused.value.status) == (code, int(status[:3]))


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (response("404 Not Found", b"<h1>nginx</h1>"), "answered 404 Not Found"),
        (response("200 OK", b"<h1>It works!</h1>", Content_Type="text/html"), "content type text/html"),
        (response("307 Temporary Redirect", b"", Location="https://elsewhere/"), "answered 307"),
        (events(START), "without a Location header"),
        (events("data: hello", Location=AT), "is not an event"),
        (events('id: 1-1\ndata: {"type":"text-delta"}', Location=AT), "is not an event"),
        (events("id: 7\ndata: {}", Location=AT), "not an offset"),
    ],
)
async def test_a_foreign_server_is_reported_as_such(sent: bytes, words: str) -> None:
    """A wrong address must not look like an empty answer."""
    async with canned(sent) as peer, quick(peer.url) as client:
        with pytest.raises(NotHeadwater, match=words):
            await read(await client.chat(HI))


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_a_refusal_without_problem_json_says_what_to_send(status: str) -> None:
    """From an app's own authentication or a proxy: the address is right and a token is missing."""
    async with canned(response(status, b'{"detail": "Not authenticated"}')) as peer, quick(peer.url) as client:
        with pytest.raises(RequestError, match="not allowed; send your token in Authorization") as refused:
            await client.chat(HI)
    assert refused.value.status == int(status[:3])


async def test_a_server_that_shuts_down_is_retried_after_its_retry_after() -> None:
    """By then another server answers; the idempotency key makes it the same request."""
    wait = b'{"code":"shutdown","detail":"going","retryable":true,"retry_after":0.004}'
    going = response("503 Service Unavailable", wait, Content_Type="application/problem+json")
    async with canned(going, events(START, A, B, FINISH, Location=AT)) as peer, quick(peer.url) as client:
        answer = await client.chat(HI)
        await read(answer)
    keys = [line for asked in peer.requests for line in asked.lower().splitlines() if line.startswith("idempotency")]
    assert answer.text == "ab"
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_a_server_that_shuts_down_for_long_raises() -> None:
    """If its `Retry-After` exceeds the longest pause."""
    async with headwater(Scripted([Finish("stop")])) as server, quick(server.client.base_url) as client:
        server.answers.drain()
        with pytest.raises(ShuttingDown) as refused:
            await client.chat(HI)
    assert (refused.value.retryable, refused.value.retry_after) == (True, 2.0)


async def test_a_malformed_address_is_refused_at_once() -> None:
    """Before any connection."""
    for address in ("127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://a:b:c"):
        with pytest.raises(RequestError, match="is not an address"):
            Client(address)


@pytest.mark.parametrize(
    ("scheme", "host", "words"),
    [("https", None, "does not speak TLS; try http:// instead"), ("http", "nobody.invalid", "no server of the name")],
)
async def test_why_no_connection_can_be_opened_is_told_apart(scheme: str, host: str | None, words: str) -> None:
    """A mistake in the address looks the same as a server that is down, else."""
    async with headwater(Scripted([])) as server:
        url = server.client.base_url.copy_with(scheme=scheme, host=host or "127.0.0.1")
        async with quick(url) as client:
            with pytest.raises(Unreachable, match=words):
                await client.about()


async def test_a_password_in_the_address_is_not_shown() -> None:
    """Error messages end in log files."""
    async with canned(response("404 Not Found", b"")) as peer:
        async with quick(peer.url.replace("http://", "http://me:secret@")) as client:
            with pytest.raises(NotHeadwater) as strange:
                await client.chat(HI)
    assert "secret" not in str(strange.value)


async def test_a_bad_gateway_is_retried() -> None:
    """For a question and for a resume; each retry has the same key or offset."""
    page = response("502 Bad Gateway", b"<h1>nginx</h1>")
    async with canned(page, events(START, A, Location=AT), page, events(B, FINISH)) as peer, quick(peer.url) as client:
        answer = await client.chat(HI)
        await read(answer)

    assert answer.text == "ab"
    ask, again, resume, more = (request.lower() for request in peer.requests)
    key = next(line for line in ask.splitlines() if line.startswith("idempotency-key: "))
    assert key in again
    assert "last-event-id: 1-2" in resume
    assert "last-event-id: 1-2" in more


async def test_a_long_retry_after_is_not_retried() -> None:
    """An earlier retry would only add to the load."""
    async with canned(response("503 Service Unavailable", b"", Retry_After="3600")) as peer:
        async with quick(peer.url) as client:
            with pytest.raises(Unreachable) as failure:
                await client.chat(HI)
    assert failure.value.retry_after == 3600.0
    assert len(peer.requests) == 1


async def test_an_error_without_an_id_is_retried() -> None:
    """It is no entry of the log: the server could not read on, and the answer goes on."""
    async with canned(events(START, A, BUSY, Location=AT), events(B, FINISH)) as peer, quick(peer.url) as client:
        answer = await client.chat(HI)
        assert (await read(answer))[1:] == [TextDelta("a"), TextDelta("b"), Finish("stop")]
    assert "last-event-id: 1-2" in peer.requests[1].lower()


async def test_an_error_without_an_id_that_persists_raises() -> None:
    """The answer never looks whole."""
    async with canned(*[events(START, A, BUSY, Location=AT)] * 3) as peer:
        async with quick(peer.url, patience=QUICK._replace(attempts=2)) as client:
            answer = await client.chat(HI)
            with pytest.raises(StoreError, match="the disk is busy"):
                await read(answer)
    assert (answer.text, answer.ending, str(answer.offset)) == ("a", None, "1-2")


async def test_an_answer_sent_again_from_its_beginning_is_not_doubled() -> None:
    """A proxy that drops Last-Event-ID makes every resume a full replay."""
    async with canned(events(START, A, Location=AT), events(START, A, B, FINISH)) as peer, quick(peer.url) as client:
        answer = await client.chat(HI)
        await read(answer)
    assert answer.text == "ab"


async def test_events_of_a_newer_server_are_skipped() -> None:
    """The offset moves on all the same."""
    newer = 'id: 1-2\ndata: {"type":"image-delta","pixels":"AAAA"}'
    async with canned(events(START, newer, Location=AT), events(B, FINISH)) as peer, quick(peer.url) as client:
        told = await read(await client.chat(HI))
    assert told == [Start("", "m"), TextDelta("b"), Finish("stop")]
    assert "last-event-id: 1-2" in peer.requests[1].lower()


async def test_a_404_of_a_foreign_server_means_no_such_log() -> None:
    """Whoever sent it, there is nothing to resume."""
    async with canned(events(START, A, Location=AT), response("404 Not Found", b"")) as peer, quick(peer.url) as client:
        answer = await client.chat(HI)
        with pytest.raises(NoSuchLog):
            await read(answer)


async def test_the_base_url_may_have_a_path() -> None:
    """For routes behind a proxy that strips a prefix, so that the location has none."""
    async with canned(events(START, Location=AT), events(A, B, FINISH)) as peer, quick(f"{peer.url}/ai/") as client:
        await read(await client.chat(HI))
    asked, resumed = (request.split()[1] for request in peer.requests)
    assert (asked, resumed) == ("/ai/api/stream/completion/chat", f"/ai{AT}")

"""Whatever a provider does wrong is said out loud, with the right status and without secrets."""

import asyncio
import datetime
import email.utils
import json
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_langchain import ASKED, HELLO, KEY, answer, chat, completion
from upstream import Upstream

from headwater.errors import ModelError
from headwater.events import TextDelta
from headwater.models.scrub import HIDDEN, MAX_MESSAGE, as_model_error, scrub

BOTH = pytest.mark.parametrize("build", [chat, completion])


async def failure_of(build: Any, upstream: Upstream) -> ModelError:
    with pytest.raises(ModelError) as failure:
        await answer(build(upstream))
    return failure.value


# ---- On the wire


@BOTH
@pytest.mark.parametrize(
    ("status", "code", "ours", "retryable"),
    [
        (400, "provider_refused", 422, False),
        (401, "provider_auth", 502, False),
        (403, "provider_auth", 502, False),
        (404, "provider_not_found", 502, False),
        (408, "provider_timeout", 504, True),
        (413, "context_length", 413, False),
        (418, "provider_refused", 502, False),
        (422, "provider_refused", 422, False),
        (429, "rate_limited", 429, True),
        (500, "provider_error", 502, True),
        (503, "provider_error", 502, True),
        (529, "provider_error", 502, True),
    ],
)
async def test_an_http_error_has_its_code_and_is_not_retried_here(
    build: Any, status: int, code: str, ours: int, retryable: bool
):
    async with Upstream(status=status) as upstream:
        failure = await failure_of(build, upstream)
        assert upstream.calls == 1
    assert (failure.code, failure.status, failure.retryable) == (code, ours, retryable)
    assert "no luck" in str(failure)


@BOTH
async def test_a_prompt_that_is_too_long_is_told_as_such(build: Any):
    error = {"message": "This model's maximum context length is 8192 tokens", "code": "context_length_exceeded"}
    async with Upstream(status=400, error=error) as upstream:
        failure = await failure_of(build, upstream)
    assert (failure.code, failure.status) == ("context_length", 413)


def in_seconds(seconds: float) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return email.utils.format_datetime(moment, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After": in_seconds(3600)}, 3600),
        ({"Retry-After": in_seconds(-60)}, 0),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
async def test_how_long_to_wait_is_passed_on(headers: dict[str, str], seconds: float | None):
    async with Upstream(status=429, headers=headers) as upstream:
        failure = await failure_of(chat, upstream)
    if seconds is None:
        assert failure.retry_after is None
        return
    # A date was made when the tests were collected, which may be minutes ago.
    leeway = 1800 if "GMT" in str(headers) else 0.001
    assert failure.retry_after == pytest.approx(seconds, abs=leeway)  # pyright: ignore[reportUnknownMemberType]


async def test_waiting_does_not_fill_an_empty_account():
    async with Upstream(status=429, error={"message": "No credit", "code": "insufficient_quota"}) as upstream:
        failure = await failure_of(chat, upstream)
    assert (failure.code, failure.retryable) == ("rate_limited", False)


@BOTH
@pytest.mark.parametrize("cut", ["rst", "eof"])
@pytest.mark.parametrize("after", [0, 1])
async def test_a_connection_that_breaks_is_a_cut(build: Any, cut: Any, after: int):
    async with Upstream(cut_after=after, cut=cut) as upstream:
        failure = await failure_of(build, upstream)
    assert (failure.code, failure.status, failure.retryable) == ("provider_cut", 502, True)


async def test_what_came_before_a_cut_has_been_given_out():
    async with Upstream(tokens=["a", "b", "c"], cut_after=2, cut="eof") as upstream:
        model = chat(upstream)
        batches = model.stream(HELLO)
        assert [await anext(batches), await anext(batches)] == [[TextDelta("a")], [TextDelta("b")]]
        with pytest.raises(ModelError):
            await anext(batches)
        await model.aclose()


@BOTH
async def test_an_error_in_the_middle_of_the_stream_is_told(build: Any):
    async with Upstream(error_after=1) as upstream:
        failure = await failure_of(build, upstream)
    assert (failure.code, failure.status) == ("provider_error", 502)
    assert "no luck" in str(failure)


async def test_an_error_in_the_stream_may_bring_its_status_along():
    async with Upstream(error_after=1, error={"message": "Slow down", "code": 429}) as upstream:
        failure = await failure_of(chat, upstream)
    assert (failure.code, failure.status, failure.retryable) == ("rate_limited", 429, True)


@BOTH
async def test_a_line_that_is_not_json_is_garbled(build: Any):
    async with Upstream(garbled_after=1) as upstream:
        failure = await failure_of(build, upstream)
    assert (failure.code, failure.status) == ("provider_garbled", 502)


@BOTH
async def test_a_provider_that_is_not_there_is_unreachable(build: Any):
    upstream = Upstream()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and not listening
        upstream.url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        failure = await failure_of(build, upstream)
    assert (failure.code, failure.status, failure.retryable) == ("provider_unreachable", 502, True)


async def test_the_servers_own_key_never_shows():
    error = {"message": f"Incorrect API key provided: {KEY}. Find it at https://me:pass@example.org/?key=abc"}
    async with Upstream(status=401, error=error) as upstream:
        failure = await failure_of(completion, upstream)
    assert KEY not in str(failure)
    assert "pass" not in str(failure)
    assert "abc" not in str(failure)


# ---- Any provider's exceptions, by what they carry


class Answer:
    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class SomebodysError(Exception):
    response: Any = None
    body: Any = None


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


def answered(status: int, **headers: str) -> Exception:
    error = SomebodysError("no")
    error.response = Answer(status, **headers)
    return error


class ReadTimeout(Exception):
    """As httpx names it."""


@pytest.mark.parametrize(
    ("raised", "code", "status"),
    [
        (answered(429, retry_after="3"), "rate_limited", 429),
        (caused(RuntimeError("wrapped"), answered(401)), "provider_auth", 502),
        (ExceptionGroup("several", [answered(500)]), "provider_error", 502),
        (TimeoutError(), "provider_timeout", 504),
        (caused(SomebodysError("x"), ReadTimeout()), "provider_timeout", 504),
        (ConnectionRefusedError(), "provider_unreachable", 502),
        (caused(SomebodysError("x"), socket.gaierror(-2, "unknown name")), "provider_unreachable", 502),
        (json.JSONDecodeError("bad", "{", 0), "provider_garbled", 502),
        (TypeError("create() got an unexpected keyword argument 'seed'"), "provider_refused", 422),
        (KeyError("their bug"), "provider_error", 502),
    ],
)
def test_exceptions_are_recognised_without_their_library(raised: Exception, code: str, status: int):
    error = as_model_error(raised)
    assert (error.code, error.status) == (code, status)
    assert str(error)


def test_a_model_error_passes_unchanged():
    error = ModelError("ours", code="context_length", status=413)
    assert as_model_error(error) is error


def test_exceptions_that_cause_each_other_do_not_hang():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert as_model_error(one).code == "provider_error"


async def test_being_cancelled_is_no_failure_of_the_provider():
    async with Upstream(silent_after=0) as upstream:
        model = chat(upstream)
        asking = asyncio.ensure_future(anext(model.stream(ASKED)))
        await upstream.received()
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled()
        await model.aclose()


# ---- Scrubbing


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Incorrect API key provided: sk-proj-abcdefghijkl. Try again", "sk-proj-abcdefghijkl"),
        ("key sk-ab********wxyz was refused", "wxyz"),
        ("API key provided: abc123", "abc123"),
        ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
        ("{'authorization': 'Token abcdef'}", "abcdef"),
        ('{"x-api-key": "abcdef"}', "abcdef"),
        (r"{\"api_key\": \"abcdef\"}", "abcdef"),
        ('{"password": "two words, and more"}', "more"),
        ('{"password": "unfinished', "unfinished"),
        ("Proxy-Authorization: Basic dXNlcjpw", "dXNlcjpw"),
        ("a bearer abcdefgh was sent", "abcdefgh"),
        ("GET https://api.example.org/v1?key=abcdef&x=1", "abcdef"),
        ("GET /v1?access_token=abcdef", "abcdef"),
        ("https://me:p@ss@example.org/x", "p@ss"),
        ("AIza" + "b" * 35, "b" * 35),
        ("from hf_abcdefghijkl", "abcdefghijkl"),
        ("ghp_abcdefghijklmnop", "abcdefghijklmnop"),
        ("AKIAABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNOP"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
        ("x " * 240 + "Bearer abcdefghijklmnop", "abc"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, secret: str):
    assert secret in text
    assert secret not in scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens: 99999 is too large",
        "This model's maximum context length is 8192 tokens, you asked for 9000",
        "Unknown model gpt-9 at https://api.openai.com/v1/models",
        "temperature must be between 0 and 2",
    ],
)
def test_what_a_person_needs_to_know_stays(text: str):
    assert scrub(text) == text


# No secret may be a part of the word that replaces it, nor may it be changed by joining the lines.
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=40).filter(
    lambda secret: secret not in HIDDEN
)


@given(before=st.text(max_size=700), secret=SECRETS, after=st.text(max_size=700))
def test_a_configured_secret_never_shows_whatever_it_looks_like(before: str, secret: str, after: str):
    said = scrub(before + secret + after, [secret])
    assert secret not in said.replace(HIDDEN, "")
    assert len(said) <= MAX_MESSAGE
    assert "\n" not in said


@pytest.mark.parametrize("piece", ["a-", "key", "key=", "bearer ", "://", "sk-", "eyJaaaaaaaa.", "'", 'key="', "key "])
@pytest.mark.timeout(2)
def test_a_hostile_message_costs_no_time(piece: str):
    assert len(scrub(piece * (1_000_000 // len(piece)))) <= MAX_MESSAGE

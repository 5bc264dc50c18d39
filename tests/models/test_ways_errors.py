"""Every failure of a provider is an error with the right status: the same by every way to the provider."""

import datetime
import email.utils
import json
import socket
from typing import Any

import pytest
from raw import Raw
from upstream import Upstream
from ways import EVERY_CHAT, EVERY_WAY, KEY, Build, joined, until_failure

from headwater.errors import ModelError
from headwater.events import TextDelta
from headwater.models.openai.connection import Account, Connections, Deadlines
from headwater.models.openai.model import OpenAIModel


async def failure_of(build: Build, upstream: Upstream) -> ModelError:
    return (await until_failure(build(upstream)))[1]


@EVERY_WAY
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
    build: Build, status: int, code: str, ours: int, retryable: bool
) -> None:
    """Only the generation retries."""
    async with Upstream(status=status) as upstream:
        failure = await failure_of(build, upstream)
        assert upstream.calls == 1
    assert (failure.code, failure.status, failure.retryable) == (code, ours, retryable)
    assert "no luck" in str(failure)


@EVERY_WAY
async def test_a_prompt_that_is_too_long_has_its_own_code(build: Build) -> None:
    """The caller can shorten it."""
    error = {"message": "This model's maximum context length is 8192 tokens", "code": "context_length_exceeded"}
    async with Upstream(status=400, error=error) as upstream:
        failure = await failure_of(build, upstream)
    assert (failure.code, failure.status) == ("context_length", 413)


def in_seconds(seconds: float) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return email.utils.format_datetime(moment, usegmt=True)


WAITS: list[tuple[dict[str, str], float | None]] = [
    ({"Retry-After": "7"}, 7),
    ({"Retry-After": "0.5"}, 0.5),
    ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
    ({"Retry-After": in_seconds(3600)}, 3600),
    ({"Retry-After": in_seconds(-60)}, 0),
    ({"Retry-After": "-5"}, 0),
    ({"Retry-After": "soon"}, None),
    ({"Retry-After": "nan"}, None),
    ({}, None),
]


@EVERY_CHAT
async def test_how_long_to_wait_is_passed_on(build: Build) -> None:
    """In every form that providers use."""
    async with Upstream(status=429) as upstream:
        for upstream.headers, seconds in WAITS:
            failure = await failure_of(build, upstream)
            # A date was computed when the tests were collected, which may be minutes ago.
            leeway = 1800 if "GMT" in str(upstream.headers) else 0.001
            wanted: Any = seconds and pytest.approx(seconds, abs=leeway)  # pyright: ignore[reportUnknownMemberType]
            assert failure.retry_after == wanted, upstream.headers


@EVERY_WAY
async def test_waiting_does_not_fill_an_empty_account(build: Build) -> None:
    """So the error is not retryable."""
    async with Upstream(status=429, error={"message": "No credit", "code": "insufficient_quota"}) as upstream:
        failure = await failure_of(build, upstream)
    assert (failure.code, failure.retryable) == ("rate_limited", False)


@EVERY_WAY
async def test_an_http_error_that_comes_in_pieces_is_read_to_its_end(build: Build) -> None:
    """Half of its JSON would not distinguish an empty account from a rate limit."""
    error = json.dumps({"error": {"message": "No credit", "code": "insufficient_quota"}}).encode()
    async with Raw(status=429, pieces=[error[:30], error[30:]], pace=0.02) as upstream:
        failure = await failure_of(build, upstream)
    assert (failure.code, failure.retryable) == ("rate_limited", False)


async def test_an_http_error_whose_body_never_ends_is_reported_all_the_same() -> None:
    """Its status is known, so the body has a short deadline."""
    async with Raw(status=503, pieces=[b"Ov", b"erloaded"], gated=True) as upstream:
        account = Account(upstream.url, KEY)
        connections = Connections(account, Deadlines(refusal=0.05))
        failure = await failure_of(lambda _: OpenAIModel("m", "chat", account, connections=connections), upstream)
        await connections.aclose()
    assert (failure.code, failure.status, failure.retryable) == ("provider_error", 502, True)
    assert "Ov" in str(failure)


@EVERY_WAY
@pytest.mark.parametrize("cut", ["rst", "eof"])
@pytest.mark.parametrize("after", [0, 1])
async def test_a_connection_that_breaks_is_a_cut(build: Build, cut: Any, after: int) -> None:
    """Also before the first token: the provider had been reached."""
    async with Upstream(cut_after=after, cut=cut) as upstream:
        failure = await failure_of(build, upstream)
    assert (failure.code, failure.status, failure.retryable) == ("provider_cut", 502, True)


@EVERY_WAY
async def test_what_came_before_a_cut_has_been_given_out(build: Build) -> None:
    """All of it, even if the cut follows at once."""
    async with Upstream(tokens=["a", "b", "c"], cut_after=2, cut="eof") as upstream:
        events, _ = await until_failure(build(upstream))
    assert joined(events) == [TextDelta("ab")]


@EVERY_WAY
async def test_an_error_in_the_middle_of_the_stream_ends_the_answer(build: Build) -> None:
    """After the text before it."""
    async with Upstream(error_after=1) as upstream:
        events, failure = await until_failure(build(upstream))
    assert events == [TextDelta("Hel")]
    assert (failure.code, failure.status) == ("provider_error", 502)
    assert "no luck" in str(failure)


@EVERY_WAY
async def test_an_error_in_the_stream_may_contain_its_status(build: Build) -> None:
    """OpenRouter's do."""
    async with Upstream(error_after=1, error={"message": "Slow down", "code": 429}) as upstream:
        failure = await failure_of(build, upstream)
    assert (failure.code, failure.status, failure.retryable) == ("rate_limited", 429, True)


@EVERY_WAY
async def test_a_line_that_is_not_json_is_garbled(build: Build) -> None:
    """After the text that could be read."""
    async with Upstream(garbled_after=1) as upstream:
        events, failure = await until_failure(build(upstream))
    assert events == [TextDelta("Hel")]
    assert (failure.code, failure.status) == ("provider_garbled", 502)


@EVERY_WAY
async def test_a_provider_that_is_not_there_is_unreachable(build: Build) -> None:
    """And worth another try."""
    upstream = Upstream()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and not listening
        upstream.url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        failure = await failure_of(build, upstream)
    assert (failure.code, failure.status, failure.retryable) == ("provider_unreachable", 502, True)


@EVERY_WAY
async def test_the_servers_own_key_never_shows(build: Build) -> None:
    """Whatever the provider echoes."""
    error = {"message": f"Incorrect API key provided: {KEY}. Find it at https://me:pass@example.org/?key=abc"}
    async with Upstream(status=401, error=error) as upstream:
        message = str(await failure_of(build, upstream))
    assert not any(secret in message for secret in (KEY, "pass", "abc"))

"""Any exception of a provider's library becomes an error that is classified by its attributes and has no secrets."""

import json
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import ModelError
from headwater.models.scrub import HIDDEN, MAX_MESSAGE, as_model_error, scrub

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
    text = scrub(before + secret + after, [secret])
    assert secret not in text.replace(HIDDEN, "")
    assert len(text) <= MAX_MESSAGE
    assert "\n" not in text


@pytest.mark.parametrize("piece", ["a-", "key", "key=", "bearer ", "://", "sk-", "eyJaaaaaaaa.", "'", 'key="', "key "])
@pytest.mark.timeout(2)
def test_a_hostile_message_costs_no_time(piece: str):
    assert len(scrub(piece * (1_000_000 // len(piece)))) <= MAX_MESSAGE

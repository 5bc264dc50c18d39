"""What people are told when a model fails: a sentence without internals, whose detail is in the server's log."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest
from raw import DONE, Raw, chunk, line
from serving import headwater, post_chat
from told import is_for_people, told
from upstream import Upstream

from headwater.errors import ModelError
from headwater.events import Event, Finish, TextDelta
from headwater.models.by_name import from_name, through_langchain
from headwater.models.embedded.weights import WeightsUnavailable
from headwater.models.openai.connection import Account
from headwater.models.scripted import Scripted
from headwater.prompt import Prompt

BOTH_WAYS = pytest.mark.parametrize("build", [from_name, through_langchain], ids=["directly", "through LangChain"])
ELSEWHERE = "http://10.1.2.3:6379/0"
PAGE = b"<html><body><h1>502</h1><pre>upstream 10.0.0.7 KeyError('x')</pre></body></html>"
SAYS = {"message": "no luck at http://10.0.0.7/v1 (KeyError)", "type": "test"}


def test_the_check_of_these_tests_can_fail() -> None:
    """On what was shown before."""
    shown = [
        "The provider cannot be reached: Cannot connect to host 127.0.0.1:9 ssl:default [Connect call failed]",
        "the provider failed.",
        "The store /var/lib/logs.sqlite failed.",
        "The server failed: RuntimeError.",
        "The model failed: KeyError: 'x'.",
        "Following the log failed: OSError(9, 'bad').",
        "It said <h1>502</h1>.",
    ]
    assert [text for text in shown if is_for_people(text)] == []
    assert is_for_people("There is no page here; POST /llm/api/stream/completion/chat asks a model.")


def refusing(status: int, **fields: Any) -> Callable[[], Upstream]:
    return lambda: Upstream(status=status, error=SAYS, **fields)


def raw(*pieces: bytes, **fields: Any) -> Callable[[], Upstream]:
    return lambda: Raw(pieces=pieces, **fields)


def hello(upstream: Upstream) -> str:
    return upstream.url


def nowhere(_: Upstream) -> str:
    return "http://127.0.0.1:9/v1"


def nobody(_: Upstream) -> str:
    return "http://nobody.invalid/v1"


class Plain(Upstream):
    """A server that does not speak TLS."""

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Plain\r\n\r\n")
        writer.close()


def encrypted(upstream: Upstream) -> str:
    return upstream.url.replace("http:", "https:")


FAILURES: dict[str, tuple[Callable[[], Upstream], Callable[[Upstream], str], str, str]] = {
    "it is down": (Upstream, nowhere, "provider_unreachable", "127.0.0.1"),
    "its name is unknown": (Upstream, nobody, "provider_unreachable", "not known"),
    "it does not speak TLS": (Plain, encrypted, "provider_unreachable", "SSL"),
    "400": (refusing(400), hello, "provider_refused", "no luck"),
    "401": (refusing(401), hello, "provider_auth", "no luck"),
    "404": (refusing(404), hello, "provider_not_found", "no luck"),
    "408": (refusing(408), hello, "provider_timeout", "no luck"),
    "413": (refusing(413), hello, "context_length", "no luck"),
    "429": (refusing(429), hello, "rate_limited", "no luck"),
    "500": (refusing(500), hello, "provider_error", "no luck"),
    "500 with a page": (raw(PAGE, status=500), hello, "provider_error", "10.0.0.7"),
    "400 with a page": (raw(PAGE, status=400), hello, "provider_refused", "10.0.0.7"),
    "it moved": (raw(status=301, response_headers={"Location": ELSEWHERE}), hello, "provider_moved", "10.1.2.3"),
    "no stream": (raw(PAGE), hello, "provider_garbled", ""),
    "garbled": (lambda: Upstream(garbled_after=1), hello, "provider_garbled", ""),
    "cut": (lambda: Upstream(cut_after=1), hello, "provider_cut", ""),
    "closed": (lambda: Upstream(cut_after=1, cut="eof"), hello, "provider_cut", ""),
    "it fails in mid-answer": (lambda: Upstream(error_after=1, error=SAYS), hello, "provider_error", "no luck"),
    "it fails by a reason": (raw(chunk(content="a"), chunk("error"), DONE), hello, "provider_error", ""),
    "an object as an error": (raw(line({"error": {"a": ["b"]}}), DONE), hello, "provider_error", ""),
    "compressed": (raw(b"xx", response_headers={"Content-Encoding": "gzip"}), hello, "provider_garbled", ""),
    "no ending": (lambda: Upstream(finish=None), hello, "truncated", ""),
}


@BOTH_WAYS
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_of_the_provider_is_told_in_a_sentence(
    build: Any, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And the provider's own words stand in the log, under the stream's id."""
    provider, at, code, detail = FAILURES[failure]
    async with provider() as upstream:
        model = build("openai:m", Account(at(upstream), "sk-operators-key"))
        async with headwater(model) as server:
            response = await post_chat(server.client)
            await model.aclose()
    problem = told(response)
    log = response.headers["location"].rpartition("/")[2]

    assert problem["code"] == code
    assert is_for_people(problem["detail"]), problem["detail"]
    if detail:
        assert [line for line in caplog.messages if log in line and detail in line]
    assert "sk-operators-key" not in caplog.text


@BOTH_WAYS
async def test_a_provider_that_explains_its_refusal_is_quoted(build: Any) -> None:
    """The caller can act on it, and no other text can tell what to change."""
    error = {"message": "max_tokens is too large: 99999"}
    async with Upstream(status=400, error=error) as upstream:
        model = build("openai:m", Account(upstream.url, "sk-x"))
        async with headwater(model) as server:
            problem = (await post_chat(server.client)).json()
            await model.aclose()
    assert problem["detail"] == 'The provider refused the request. It says: "max_tokens is too large: 99999".'


async def test_a_failure_of_a_model_of_ones_own_is_told_in_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in it is not the caller's to read."""

    class Broken:
        name = "broken"

        async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
            yield [TextDelta("a")]
            raise KeyError(prompt)

    async with headwater(Broken()) as server:
        response = await post_chat(server.client)

    assert (told(response)["code"], is_for_people(told(response)["detail"])) == ("internal", True)
    assert "KeyError" in caplog.text
    assert response.headers["location"].rpartition("/")[2] in caplog.text


MISSING = [
    ("anthropic:claude-x", "the package langchain-anthropic is not installed", "`pip install langchain-anthropic`"),
    ("openai:gpt-4o-mini", "OPENAI_API_KEY is not set", "`.env`"),
    ("nobody:model", "LangChain knows no provider of this name", "HEADWATER_MODEL"),
]


@pytest.mark.parametrize(("name", "what", "todo"), MISSING)
async def test_a_model_that_cannot_be_built_says_what_is_missing_and_what_to_do(
    name: str, what: str, todo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first answer, at `/readyz`, and for the page at `/api/about`."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with headwater(from_name(name, Account())) as server:
        with pytest.raises(ModelError) as failure:
            await server.answers.prepare()
        first = await post_chat(server.client)
        ready, about = await server.client.get("/readyz"), await server.client.get("/api/about")

    texts = [first.json()["detail"], ready.json()["detail"], about.json()["problem"], failure.value.told]
    assert (first.status_code, ready.status_code, about.status_code) == (503, 503, 200)
    assert ready.json()["part"] == "model"
    assert len(set(texts)) == 1
    assert what in texts[0]
    assert todo in texts[0]
    assert is_for_people(texts[0])


async def test_a_server_is_ready_again_when_what_was_missing_is_there() -> None:
    """Without a restart, where a restart is not needed."""

    class Installed(Scripted):
        async def prepare(self) -> None:
            if not installed:
                raise ModelError("no package", code="model_unavailable", status=503)

    installed = False
    async with headwater(Installed([TextDelta("a"), Finish("stop")])) as server:
        with pytest.raises(ModelError):
            await server.answers.prepare()
        assert (await server.client.get("/readyz")).status_code == 503
        installed = True
        assert (await server.client.get("/readyz")).status_code == 200
        assert (await server.client.get("/api/about")).json()["problem"] is None


def test_the_weights_that_are_missing_name_no_folder() -> None:
    """The folder and the package client's words are for the terminal."""
    assert is_for_people(WeightsUnavailable("could not be stored in /var/lib/headwater: [Errno 13]").told)

"""Fields that not every server takes, redirects and final errors: the same by every way to the provider."""

import dataclasses
import gzip
import json
import re
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from langchain_openai import ChatOpenAI
from raw import DONE, Raw, chunk, line
from upstream import Received, Upstream
from ways import (
    CHATS,
    COMPLETIONS,
    EVERY_CHAT,
    EVERY_COMPLETION,
    EVERY_WAY,
    HELLO,
    KEY,
    ONCE_UPON,
    Build,
    joined_answer,
    until_failure,
)

from headwater.events import Finish, TextDelta
from headwater.models import by_name
from headwater.models.langchain.model import LangChainModel
from headwater.models.openai.connection import Account
from headwater.models.openai.fields import Fields
from headwater.prompt import Parameters

LIMITED = msgspec.structs.replace(HELLO, parameters=Parameters(max_tokens=5))


@dataclasses.dataclass(kw_only=True)
class Choosy(Upstream):
    """Refuses a body with any of some fields, in the words of some server."""

    unknown: Sequence[str] = ()
    words: str = "Unrecognized request argument supplied: {name}"
    refusal: int = 400

    async def _answer(self, request: Received, number: int, writer: Any) -> None:
        name = next((name for name in self.unknown if name in request.body), None)
        self.status = 200 if name is None else self.refusal
        self.error = {"message": self.words.format(name=name), "type": "invalid_request_error", "param": name}
        await super()._answer(request, number, writer)


WORDS = [
    (400, "Unrecognized request argument supplied: {name}"),
    (400, "Unsupported parameter: '{name}' is not supported with this model."),
    (422, "[{{'type': 'extra_forbidden', 'loc': ['body', '{name}'], 'msg': 'Extra inputs are not permitted'}}]"),
    (400, 'json: unknown field "{name}"'),
    (422, "body.{name}: Additional properties are not allowed"),
]


@EVERY_CHAT
@pytest.mark.parametrize(("status", "words"), WORDS)
@pytest.mark.parametrize("unknown", [["stream_options"], ["max_tokens"], ["stream_options", "max_tokens"]])
async def test_a_field_that_a_server_does_not_know_is_left_out_from_then_on(
    build: Build, status: int, words: str, unknown: list[str]
) -> None:
    """One more request, once; the limit has another name."""
    async with Choosy(unknown=unknown, words=words, refusal=status) as upstream:
        model = build(upstream)
        for calls in (1 + len(unknown), 2 + len(unknown)):
            async for _ in model.stream(LIMITED):
                pass
            assert upstream.calls == calls
        await model.aclose()
        body = upstream.requests[-1].body
    assert not set(unknown) & body.keys()
    assert 5 in (body.get("max_tokens"), body.get("max_completion_tokens"))


CARRIED = {"user": "ann", "store": False, "prompt_cache_key": "k"}


def plain(upstream: Upstream) -> LangChainModel:
    """An object that somebody has built with LangChain's own class, which tells us nothing of its requests."""
    options: dict[str, Any] = {"base_url": upstream.url, "api_key": KEY, "max_retries": 0}
    return LangChainModel(ChatOpenAI(model="gpt-test", **options), "plain")


@pytest.mark.parametrize("build", [*CHATS, *COMPLETIONS, plain])
@pytest.mark.parametrize(("status", "words"), WORDS)
async def test_a_carried_field_that_a_server_does_not_know_is_left_out_from_then_on(
    build: Build, status: int, words: str
) -> None:
    """The answer is the same without it. One more request for each, once."""
    prompt = ONCE_UPON if "completion" in build.__name__ else HELLO
    async with Choosy(unknown=["user", "prompt_cache_key"], words=words, refusal=status) as upstream:
        model = build(upstream)
        for calls in (3, 4):
            async for _ in model.stream(msgspec.structs.replace(prompt, carried=CARRIED, extra={"top_k": 1})):
                pass
            assert upstream.calls == calls
        await model.aclose()
        body = upstream.requests[-1].body
    assert body.items() >= {"store": False, "top_k": 1}.items()
    assert not {"user", "prompt_cache_key"} & body.keys()


@EVERY_CHAT
@pytest.mark.parametrize(
    "words",
    [
        "Unexpected role 'user' after role 'tool'",
        'not supported: {"role": "user", "content": "Hi"}',
        "System is not supported; roles must alternate user/assistant/user",
    ],
)
async def test_a_role_that_a_refusal_names_is_not_the_field_user(build: Build, words: str) -> None:
    """The same request without the field would be refused again."""
    async with Upstream(status=400, error={"message": words}) as upstream:
        await until_failure(build(upstream), msgspec.structs.replace(HELLO, carried=CARRIED))
        assert upstream.calls == 1


@EVERY_COMPLETION
async def test_a_field_of_a_completion_that_says_nothing_is_left_out(build: Build) -> None:
    """LangChain's class sends every default."""
    async with Choosy(unknown=["stream_options", "presence_penalty", "n"]) as upstream:
        assert await joined_answer(build(upstream), ONCE_UPON) == [TextDelta("Hello"), Finish("stop")]
        assert not {"stream_options", "presence_penalty", "n"} & upstream.requests[-1].body.keys()


@EVERY_CHAT
@pytest.mark.parametrize(
    "words",
    [
        "max_tokens must be at most 4",
        "This model's maximum context length is 8 tokens, and max_tokens is 5",
        "Unsupported value: 'temperature' does not support 0.5",
        "Unknown parameter: 'top_k'",
        "stream_options: no luck",
    ],
)
async def test_other_refusals_are_passed_on(build: Build, words: str) -> None:
    """Without its fields the request would be another one."""
    async with Upstream(status=400, error={"message": words}) as upstream:
        _, failure = await until_failure(
            build(upstream), msgspec.structs.replace(LIMITED, parameters=Parameters(0.5, max_tokens=5))
        )
        assert upstream.calls == 1
    assert failure.code in ("provider_refused", "context_length")
    assert words in str(failure)


@EVERY_CHAT
async def test_a_server_that_refuses_both_names_of_the_limit_is_not_asked_forever(build: Build) -> None:
    """The second refusal is the answer."""
    async with Choosy(unknown=["max_tokens", "max_completion_tokens"]) as upstream:
        _, failure = await until_failure(build(upstream), LIMITED)
        assert upstream.calls == 2
    assert (failure.code, failure.status) == ("provider_refused", 422)


@pytest.mark.parametrize(("is_openai", "name"), [(True, "max_completion_tokens"), (False, "max_tokens")])
def test_the_limit_has_openais_name_at_openai_only(is_openai: bool, name: str) -> None:
    """Older servers ignore the new name, and would answer without a limit."""
    for given in ("max_tokens", "max_completion_tokens"):
        assert Fields(is_openai).adapted({"model": "m", given: 5}, chat=True) == {"model": "m", name: 5}
    assert Fields(is_openai).adapted({"max_tokens": 5}, chat=False) == {"max_tokens": 5}


@pytest.mark.parametrize("build", [by_name.from_name, by_name.through_langchain])
async def test_an_operator_may_leave_fields_out(build: Any) -> None:
    """From the first request on."""
    async with Choosy(unknown=["stream_options"]) as upstream:
        account = Account(upstream.url, KEY, leave_out=frozenset({"stream_options", "user"}))
        asked = msgspec.structs.replace(HELLO, carried=CARRIED)
        assert await joined_answer(build("openai:m", account), asked) == [TextDelta("Hello"), Finish("stop")]
        assert upstream.calls == 1
        assert "user" not in upstream.requests[0].body


def test_the_memory_of_refusals_is_bounded() -> None:
    """Callers may think of any number of models."""
    fields = Fields(False)
    for number in range(1000):
        assert fields.learn(400, "unknown field stream_options", {"model": f"m{number}", "stream_options": {}})
    assert len(fields._refused) <= 256  # pyright: ignore[reportPrivateUsage]


@EVERY_WAY
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_another_host_gets_neither_the_key_nor_the_prompt(build: Build, status: int) -> None:
    """A redirect there is reported as what it is."""
    async with Upstream() as elsewhere, Upstream(status=status) as upstream:
        upstream.headers = {"Location": f"{elsewhere.url}/chat/completions?key=secret"}
        _, failure = await until_failure(build(upstream))
        assert (upstream.calls, elsewhere.calls) == (1, 0)
    assert (failure.code, failure.status, failure.retryable) == ("provider_moved", 502, False)
    assert str(status) in str(failure)
    assert "127.0.0.1" in str(failure)
    assert "secret" not in str(failure)


@EVERY_WAY
@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_redirect_that_would_make_a_get_of_it_is_not_followed(build: Build, status: int) -> None:
    """The prompt would be lost on the way."""
    async with Upstream(status=status, headers={"Location": "/v1/chat/completions"}) as upstream:
        _, failure = await until_failure(build(upstream))
        assert [request.method for request in upstream.requests] == ["POST"]
    assert failure.code == "provider_moved"


@EVERY_WAY
async def test_redirects_without_an_end_are_not_followed_for_ever(build: Build) -> None:
    """Nor those that lead nowhere."""
    path = "/v1/completions" if "completion" in build.__name__ else "/v1/chat/completions"
    for headers in ({"Location": path}, {}):
        async with Upstream(status=308, headers=headers) as upstream:
            _, failure = await until_failure(build(upstream))
            assert 1 <= upstream.calls <= 6
        assert failure.code in ("provider_moved", "provider_not_found")


FINAL = [
    ({"message": "No credit", "code": "insufficient_quota"}, "rate_limited", False),
    ({"message": "No credit", "type": "insufficient_quota"}, "rate_limited", False),
    ({"message": "Wrong key", "code": "invalid_api_key"}, "provider_auth", False),
    ({"message": "No such model", "code": "model_not_found"}, "provider_not_found", False),
    ({"message": "Bad", "type": "invalid_request_error"}, "provider_refused", False),
    ({"message": "Too long", "code": "context_length_exceeded"}, "context_length", False),
    ({"message": "Slow down", "code": "rate_limit_exceeded"}, "rate_limited", True),
    ({"message": "Slow down", "code": "429"}, "rate_limited", True),
    ({"message": "Busy", "type": "server_error"}, "provider_error", True),
    ({"message": "Busy"}, "provider_error", True),
]


@EVERY_CHAT
@pytest.mark.parametrize(("error", "code", "retryable"), FINAL)
@pytest.mark.parametrize("form", ["event", "object"])
async def test_an_error_in_a_200_is_as_final_as_its_status_would_be(
    build: Build, error: dict[str, str], code: str, retryable: bool, form: str
) -> None:
    """An empty account stays empty, however often it is asked."""
    body = line({"error": error}) if form == "event" else json.dumps({"error": error}).encode()
    async with Raw(pieces=[body]) as upstream:
        _, failure = await until_failure(build(upstream))
    assert (failure.code, failure.retryable) == (code, retryable)
    assert error["message"] in str(failure)


ODD_ERRORS: list[Any] = [
    {"message": {"text": "no luck"}},
    {"message": ["no luck"]},
    {"detail": [{"loc": ["body"], "msg": "no luck"}]},
    ["no luck"],
    {"code": {"a": [1]}, "inner": {"message": "no luck"}},
    7,
    True,
    {"a": {"b": None}},
]


@EVERY_CHAT
@pytest.mark.parametrize("error", ODD_ERRORS)
@pytest.mark.parametrize("status", [200, 400, 500])
async def test_no_error_is_shown_as_python_would_write_it(build: Build, error: Any, status: int) -> None:
    """Its words, or JSON."""
    body = json.dumps({"error": error}).encode()
    async with Raw(pieces=[line({"error": error}) if status == 200 else body], status=status) as upstream:
        _, failure = await until_failure(build(upstream))
    assert not re.search(r"'[a-z]+':|None|True|\{'|\['|<class|object at", str(failure)), str(failure)


@EVERY_CHAT
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_compressed_answer_is_read_or_its_encoding_is_named(build: Build, encoding: str) -> None:
    """Although none was asked for."""
    body = chunk("stop", content="Hi") + DONE
    packed = {"gzip": gzip.compress(body), "deflate": zlib.compress(body)}.get(encoding, b"\x0b\x02\x80" + body)
    async with Raw(pieces=[packed], response_headers={"Content-Encoding": encoding}) as upstream:
        if encoding in ("gzip", "deflate"):
            assert await joined_answer(build(upstream)) == [TextDelta("Hi"), Finish("stop")]
        else:
            _, failure = await until_failure(build(upstream))
            assert (failure.code, failure.status) == ("provider_garbled", 502)
            assert encoding in str(failure)

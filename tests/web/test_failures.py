"""Failures: a status before the first token, an event after it, and never silence."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext

import httpx
import pytest
from fastapi import HTTPException
from serving import Headwater, chat, frames, headwater, parse, post_chat, text_of
from starlette.requests import Request
from upstream import Upstream

from headwater.answers.continuing import Continuing
from headwater.answers.generation import Timeouts
from headwater.entries import record
from headwater.errors import ModelError
from headwater.events import Finish, Start, TextDelta
from headwater.log.memory import MemoryStore
from headwater.models.langchain import openai_models
from headwater.models.langchain.model import LangChainModel
from headwater.models.openai.connection import Account
from headwater.models.scripted import SILENCE, Scripted, Step
from headwater.offsets import Offset
from headwater.principal import ANYONE, Principal
from headwater.web.response import Pace


@asynccontextmanager
async def openai(upstream: Upstream, timeouts: Timeouts | None = None) -> AsyncGenerator[Headwater, None]:
    """Headwater in front of an OpenAI-compatible provider, through LangChain; a broken answer does not go on."""
    model = openai_models.chat("gpt-4o-mini", Account(upstream.url, "sk-test-0123456789abcdef"))
    await model.prepare()
    async with headwater(model, timeouts=timeouts, continuing=Continuing("off")) as server:
        yield server


@pytest.mark.parametrize("build", [openai_models.chat, openai_models.completion], ids=["chat", "completion"])
async def test_a_providers_token_leaves_before_it_makes_the_next_one(build: Callable[..., LangChainModel]) -> None:
    """Through LangChain, the log and the response: the provider sends each token once the one before was read here."""
    tokens = ["a", "b", "c"]
    async with Upstream(tokens=tokens, gated=True) as upstream:
        model = build("some-model", Account(upstream.url, "sk-x"))
        async with headwater(model, pace=Pace(hold=0.01)) as server:
            async with server.client.stream("POST", "/api/stream/completion", json={"message": "Hi"}) as response:
                read = frames(response)
                assert (await anext(read))["type"] == "start"
                for token in tokens:
                    upstream.release()
                    assert (await anext(read))["text"] == token
                assert (await anext(read))["type"] == "finish"


@pytest.mark.parametrize(
    ("status", "ours", "code"),
    [(401, 502, "provider_auth"), (429, 429, "rate_limited"), (500, 502, "provider_error"), (404, 502, None)],
)
async def test_a_provider_that_refuses_is_a_problem_json(status: int, ours: int, code: str | None) -> None:
    """The status line has not been sent yet, so it carries the failure."""
    async with Upstream(status=status, headers={"retry-after": "7"} if status == 429 else {}) as upstream:
        async with openai(upstream) as server:
            response = await post_chat(server.client)

    problem = response.json()
    assert response.status_code == ours
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == ours
    assert code is None or problem["code"] == code
    assert response.headers["location"].startswith("/api/streams/")
    if status == 429:
        assert (response.headers["retry-after"], problem["retry_after"]) == ("7", 7.0)
    assert upstream.calls == 1


async def test_a_provider_that_is_down_is_a_problem_json() -> None:
    """And not a request that hangs."""
    async with Upstream() as upstream:
        address = upstream.url
    model = openai_models.chat("gpt-4o-mini", Account(address, "sk-x"))
    await model.prepare()
    async with headwater(model) as server:
        response = await post_chat(server.client)

    assert (response.status_code, response.json()["code"]) == (502, "provider_unreachable")


@pytest.mark.parametrize("cut", ["reset", "eof"])
async def test_an_answer_that_is_cut_ends_with_an_error_event(cut: str) -> None:
    """The part is kept, and the part is not replayed."""
    async with Upstream(tokens=["a", "b", "c", "d"], cut_after=2, cut=cut) as upstream:  # pyright: ignore[reportArgumentType]
        async with openai(upstream) as server:
            received = parse((await post_chat(server.client)).content)
            await post_chat(server.client)

    assert text_of(received) == "ab"
    assert (received[-1]["type"], received[-1]["retryable"]) == ("error", True)
    assert upstream.calls == 2


async def test_a_clean_end_without_a_finish_reason_is_a_failure() -> None:
    """LangChain raises nothing there; taken for an answer, half a sentence would be cached."""
    async with Upstream(tokens=["a", "b"], finish=None) as upstream, openai(upstream) as server:
        received = parse((await post_chat(server.client)).content)
        await post_chat(server.client)

    assert (received[-1]["type"], received[-1]["code"]) == ("error", "truncated")
    assert upstream.calls == 2


async def test_a_provider_that_falls_silent_is_given_up_and_let_go() -> None:
    """Within the limit that the settings name, and its connection is closed."""
    limits = Timeouts(silence=0.3, retries=0)
    async with Upstream(tokens=["a", "b"], silent_after=1) as upstream, openai(upstream, limits) as server:
        received = parse((await post_chat(server.client)).content)
        request = await upstream.received()
        async with asyncio.timeout(1):
            await request.closed.wait()

    assert text_of(received) == "a"
    assert (received[-1]["type"], received[-1]["code"]) == ("error", "timeout")
    assert "HEADWATER_MODEL_TIMEOUT" in received[-1]["message"]


async def test_a_provider_that_never_begins_is_a_504() -> None:
    """The first token has a limit of its own, because reasoning takes longer than a pause."""
    limits = Timeouts(first_token=0.3, retries=0)
    async with Upstream(tokens=["a"], silent_after=0) as upstream, openai(upstream, limits) as server:
        response = await post_chat(server.client)

    assert (response.status_code, response.json()["code"]) == (504, "timeout")


async def test_stop_closes_the_connection_of_a_silent_provider_within_a_second() -> None:
    """The stop comes from another connection; the provider then bills no further tokens."""
    async with Upstream(tokens=["a", "b"], silent_after=1) as upstream, openai(upstream) as server:
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
            read = frames(response)
            await anext(read)
            await anext(read)
            request = await upstream.received()
            async with asyncio.timeout(1):
                stopped = await server.client.post(response.headers["location"] + "/stop")
                await request.closed.wait()
            assert (await anext(read)) == {"type": "stop", "by": "anyone"}

    assert stopped.json()["text"] == "a"


async def test_only_a_failure_before_the_first_token_is_retried() -> None:
    """In one layer only: neither LangChain nor the provider's package retries."""
    quick = Timeouts(retries=2)
    async with Upstream(tokens=["ok"], status=[500, 500, 200]) as upstream, openai(upstream, quick) as server:
        assert text_of(parse((await post_chat(server.client)).content)) == "ok"
    assert upstream.calls == 3

    async with Upstream(tokens=["a", "b"], cut_after=1) as upstream, openai(upstream, quick) as server:
        assert parse((await post_chat(server.client)).content)[-1]["type"] == "error"
    assert upstream.calls == 1


async def test_the_status_line_waits_for_a_retry() -> None:
    """A client gets the provider's own status and `Retry-After`, not 200 and an error event after it."""
    model = Scripted([ModelError("slow down", code="rate_limited", status=429, retryable=True, retry_after=0.2)])
    async with headwater(model, timeouts=Timeouts(retries=2), pace=Pace(hold=0.01)) as server:
        response = await post_chat(server.client)

    assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
    assert response.headers["retry-after"] == "1"
    assert len(model.prompts) == 3


async def test_the_status_line_waits_for_a_retry_within_bounds() -> None:
    """A client that has waited long gets its headers; the outcome then comes as an event."""
    model = Scripted([ModelError("slow down", code="rate_limited", status=429, retryable=True, retry_after=0.2)])
    pace = Pace(hold=0.01, longest_hold=0.1)
    async with headwater(model, timeouts=Timeouts(retries=1), pace=pace) as server:
        response = await post_chat(server.client)

    assert response.status_code == 200
    assert [frame["type"] for frame in parse(response.content)] == ["start", "error"]


async def test_a_provider_that_requests_a_long_wait_is_not_retried() -> None:
    """The caller gets `Retry-After` instead."""
    steps: list[Step] = [ModelError("slow down", code="rate_limited", status=429, retryable=True, retry_after=30)]
    model = Scripted(steps)
    async with headwater(model, timeouts=Timeouts(retries=2)) as server:
        response = await post_chat(server.client)

    assert (response.status_code, response.headers["retry-after"]) == (429, "30")
    assert len(model.prompts) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{not json", 400),
        (b"", 400),
        (b"[]", 400),
        (b"\xff\xfe", 415),
        (b"[" * 100_000, 400),
        (b"{}", 422),
        (b'{"messages": "Hi"}', 422),
        (b'{"messages": []}', 422),
        (b'{"messages": [{"role": "user", "content": ""}]}', 422),
        (b'{"messages": [{"role": "wizard", "content": "Hi"}]}', 422),
        (b'{"messages": [{"content": "Hi"}]}', 422),
        (b'{"messages": ["Hi"]}', 422),
        (b'{"messages": [{"role": "user", "content": 7}]}', 422),
        (b'{"messages": [{"role": "user", "content": "Hi"}], "temperature": 9}', 422),
        (b'{"messages": [{"role": "user", "content": "Hi"}], "temperature": "hot"}', 422),
        (b'{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 0}', 422),
        (b'{"messages": [{"role": "user", "content": "Hi"}], "model": "no-such"}', 404),
        (b'{"messages": [{"role": "user", "content": "Hi"}], "model": "clock"}', 404),
        (b'{"messages": [{"role": "user", "content": "' + b"x" * 10_000_000 + b'"}]}', 413),
    ],
    ids=lambda value: value[:60].decode("latin-1") if isinstance(value, bytes) else None,
)
async def test_bad_input_gets_a_clear_error_and_starts_nothing(body: bytes, status: int) -> None:
    """`detail` describes the mistake."""
    model = Scripted([TextDelta("x"), Finish("stop")])
    async with headwater(model) as server:
        response = await server.client.post("/api/stream/completion/chat", content=body)
        alive = await server.client.get("/healthz")

    assert response.status_code == status
    assert len(response.json()["detail"]) > 10
    assert alive.status_code == 200
    assert model.prompts == []


@pytest.mark.parametrize("path", ["/nowhere", "/assets/../../pyproject.toml", "/%2e%2e/pyproject.toml"])
async def test_a_path_that_is_not_there_is_a_problem_json(path: str) -> None:
    """Nothing outside the page's own folder is served."""
    async with headwater(Scripted([])) as server:
        response = await server.client.get(path)

    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


async def test_bare_text_that_fails_breaks_the_connection_off() -> None:
    """The dialect cannot express a failure, so a clean end would make a part look whole."""
    model = Scripted([TextDelta("part"), ModelError("boom")])
    async with headwater(model) as server:
        got = b""
        with pytest.raises(httpx.RemoteProtocolError):
            async with server.client.stream(
                "POST", "/api/stream/completion/chat", json=chat(), headers={"accept": "text/plain"}
            ) as response:
                async for piece in response.aiter_raw():
                    got += piece

    assert got == b"part"


async def test_a_prompt_over_the_models_context_is_413() -> None:
    """The provider's error code decides."""
    refusal = {"error": {"message": "maximum context length is 8", "code": "context_length_exceeded"}}
    async with Upstream(status=400, error=refusal["error"]) as upstream, openai(upstream) as server:
        response = await post_chat(server.client)

    assert (response.status_code, response.json()["code"]) == (413, "context_length")


async def test_a_refusal_by_the_principal_callback_is_a_problem_json() -> None:
    """The callback may raise the exception that FastAPI's own dependencies raise."""

    def nobody(_: Request) -> Principal:
        raise HTTPException(401, "who are you?", {"WWW-Authenticate": "Bearer"})

    async with headwater(Scripted([TextDelta("a"), Finish("stop")]), who=nobody) as server:
        response = await post_chat(server.client)

    assert (response.status_code, response.json()["detail"]) == (401, "who are you?")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_client_that_disconnects_while_it_sends_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    """A disconnect is normal on every network, and no response reaches the client."""
    model = Scripted([TextDelta("a"), Finish("stop")])
    async with headwater(model) as server:
        reader, writer = await asyncio.open_connection(server.client.base_url.host, server.client.base_url.port)
        head = "POST /api/stream/completion/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        writer.write(f"{head}Expect: 100-continue\r\n\r\n{{".encode())
        assert b"100" in await asyncio.wait_for(reader.readline(), 5)  # it is sent when the body is being read
        writer.close()
        await writer.wait_closed()
        assert (await server.client.get("/healthz")).status_code == 200

    assert "Traceback" not in capfd.readouterr().err
    assert model.prompts == []


async def test_a_bug_in_a_route_is_a_500_and_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """An unforeseen exception ends its own request with a problem, and the server goes on."""

    def broken(request: Request) -> Principal:
        if request.url.path.endswith("/chat"):
            raise RuntimeError("a bug")
        return ANYONE

    async with headwater(Scripted([TextDelta("a"), Finish("stop")]), who=broken) as server:
        response = await post_chat(server.client)
        after = await server.client.post("/api/stream/completion", json={"message": "Hi"})

    assert (response.status_code, after.status_code) == (500, 200)
    assert (response.json()["code"], response.json()["detail"]) == (
        "internal",
        "The server failed. Try again; the server's log says why.",
    )
    assert "RuntimeError: a bug" in caplog.text


async def test_a_shutdown_ends_streams_with_an_error() -> None:
    """The error is retryable; no reader is left with a part and no ending."""
    model = Scripted([TextDelta("a"), SILENCE])
    async with headwater(model) as server:
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
            read = frames(response)
            await anext(read)
            await anext(read)
            await server.answers.aclose()
            last = await anext(read)

    assert (last["code"], last["retryable"]) == ("shutdown", True)


@pytest.mark.parametrize("accept", ["text/event-stream", "text/plain"])
async def test_a_draining_server_ends_the_stream_of_a_log_that_another_one_writes(accept: str) -> None:
    """SSE clients see that the ending is missing, and read on elsewhere; bare text has to be cut."""
    store = MemoryStore()
    lease = await store.open("0123456789ab-1", ANYONE, ttl=60)
    events = [Start(lease.log, "elsewhere"), TextDelta("part")]
    await store.append([record(Offset(1, place), 0.0, event) for place, event in enumerate(events, 1)], lease)
    cut = pytest.raises(httpx.RemoteProtocolError) if accept == "text/plain" else nullcontext()
    got = b""
    async with headwater(Scripted([]), store, pace=Pace(spread=0.0)) as server:
        with cut:
            async with server.client.stream("GET", f"/api/streams/{lease.log}", headers={"accept": accept}) as response:
                async for piece in response.aiter_raw():
                    got += piece
                    if b"part" in got:
                        server.answers.drain()

    assert (
        got == b"part" if accept == "text/plain" else [frame["type"] for frame in parse(got)] == ["start", "text-delta"]
    )

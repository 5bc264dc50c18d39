"""Our LangChain models do what LangChain's own do, with streams decoded by us wherever that is possible."""

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.outputs import LLMResult
from langchain_openai import ChatOpenAI, OpenAI, StreamChunkTimeoutError
from twins import TOOL, both, build, fixed, whole
from upstream import Upstream
from ways import HELLO, KEY, answer, texts

from headwater.events import Finish
from headwater.langchain import ChatOpenAIWire, OpenAIWireLLM
from headwater.models.langchain.model import LangChainModel
from headwater.models.openai.model import OpenAIModel
from headwater.models.scripted import Scripted
from headwater.settings import Settings
from headwater.wiring.models import _offer_of  # pyright: ignore[reportPrivateUsage]

SETTINGS = Settings.model_validate({})


async def test_credentials_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key, address, organisation and project, as LangChain and OpenAI read them."""
    async with Upstream() as upstream:
        variables = {"API_KEY": KEY, "BASE_URL": upstream.url, "ORG_ID": "org", "PROJECT_ID": "project"}
        for name, value in variables.items():
            monkeypatch.setenv(f"OPENAI_{name}", value)
        await whole(ChatOpenAIWire(model="gpt-test"))
        headers = upstream.requests[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (headers["openai-organization"], headers["openai-project"]) == ("org", "project")


async def test_a_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of OPENAI_PROXY."""
    async with Upstream() as proxy:
        monkeypatch.setenv("OPENAI_PROXY", proxy.url.removesuffix("/v1"))
        model = ChatOpenAIWire(model="m", base_url="http://provider.invalid/v1", api_key=KEY)  # pyright: ignore[reportArgumentType]
        with pytest.raises(Exception, match="no route"):
            await whole(model)
        assert proxy.requests[0].path == "http://provider.invalid/v1/chat/completions"


class Recorder(AsyncCallbackHandler):
    """Records the callbacks' arguments."""

    run_inline = True

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.end: list[LLMResult] = []
        self.errors: list[BaseException] = []

    async def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.tokens.append(token)

    async def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        self.end.append(response)

    async def on_llm_error(self, error: BaseException, **_: Any) -> None:
        self.errors.append(error)


async def test_callbacks_get_every_token_and_the_end() -> None:
    """Also those of `ainvoke` on a model that streams."""
    async with Upstream(tokens=["a", "b"], pace=0.02) as upstream:
        for ask in ("astream", "ainvoke"):
            recorder = Recorder()
            model = build(ChatOpenAIWire, upstream, streaming=True)
            if ask == "astream":
                await whole(model, config={"callbacks": [recorder]})
            else:
                assert (await model.ainvoke("Hello", {"callbacks": [recorder]})).text == "ab"
            assert [token for token in recorder.tokens if token] == ["a", "b"]
            assert recorder.end[0].generations[0][0].text == "ab"


async def test_callbacks_get_a_failure_and_the_tokens_before_it() -> None:
    """Like LangChain's."""
    async with Upstream(error_after=1) as upstream:
        recorder = Recorder()
        with pytest.raises(Exception, match="no luck"):
            await whole(build(ChatOpenAIWire, upstream), config={"callbacks": [recorder]})
    assert "".join(recorder.tokens) == "Hel"
    assert len(recorder.errors) == 1


async def test_reasoning_is_kept_streamed_or_not() -> None:
    """ChatOpenAI drops it."""
    async with Upstream(reasoning=["Hm", "m"], tokens=["42"]) as upstream:
        assert (await whole(build(ChatOpenAIWire, upstream)))["additional_kwargs"] == {"reasoning_content": "Hmm"}
    message_fields = {"role": "assistant", "content": "42", "reasoning": "Hmm"}
    body = {"choices": [{"index": 0, "finish_reason": "stop", "message": message_fields}]}
    async with fixed(json.dumps(body).encode(), "application/json") as url:
        message = await ChatOpenAIWire(model="m", base_url=url, api_key=KEY).ainvoke("Hello")  # pyright: ignore[reportArgumentType]
    assert message.additional_kwargs["reasoning_content"] == "Hmm"


async def test_the_text_of_one_read_is_one_chunk() -> None:
    """That makes a burst cheap; chunks with anything but text are not merged."""
    body = "".join(
        f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}]})}\n\n"
        for delta, finish in [*(({"content": f"{number} "}, None) for number in range(50)), ({}, "stop")]
    )
    async with fixed(body.encode() + b"data: [DONE]\n\n") as url:
        model: Any = ChatOpenAIWire(model="m", base_url=url, api_key=KEY)  # pyright: ignore[reportArgumentType]
        chunks = [chunk async for chunk in model.astream("Hello")]
    assert [chunk.text for chunk in chunks if chunk.text] == ["".join(f"{number} " for number in range(50))]
    assert [chunk.response_metadata.get("finish_reason") for chunk in chunks if not chunk.text] == ["stop", None]


# ---- Everything else is ChatOpenAI's


async def test_structured_output_and_bound_tools_are_as_with_chat_openai() -> None:
    """One streams over OpenAI's own client, the other over ours."""
    schema = {"title": "A", "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

    async def ask(model: Any) -> Any:
        structured = model.with_structured_output({**schema, "description": "x"}, method="json_schema")
        return [part async for part in structured.astream("Hello")][-1], await structured.ainvoke("Hello")

    async with Upstream(tokens=['{"a"', ": 1}"]) as upstream:
        assert await both(upstream, ask) == (({"a": 1}, {"a": 1}), ({"a": 1}, {"a": 1}))
        assert upstream.requests[0].body == upstream.requests[2].body
    async with Upstream(tool_calls=[("c1", "A", ['{"a": 1}'])], finish="tool_calls") as upstream:
        ours, theirs = await both(upstream, lambda model: whole(model.bind_tools([TOOL], tool_choice="any")))
        assert ours == theirs
        assert ours["tool_calls"][0]["args"] == {"a": 1}


async def test_calls_that_are_not_streamed_or_not_async_are_chat_openais() -> None:
    """Inside a running event loop and outside of it."""

    async def ask(model: Any) -> Any:
        streamed = [chunk.text for chunk in model.stream("Hello")]
        return "".join(streamed), model.invoke("Hello").text, (await model.ainvoke("Hello")).text

    async with Upstream() as upstream:
        assert await asyncio.to_thread(lambda: [chunk.text for chunk in build(ChatOpenAIWire, upstream).stream("x")])
        ours, theirs = await asyncio.to_thread(lambda: asyncio.run(in_thread(upstream.url, ask)))
    assert ours == theirs == ("Hello", "Hello", "Hello")


async def in_thread(url: str, ask: Callable[[Any], Any]) -> tuple[Any, Any]:
    elsewhere = Upstream()
    elsewhere.url = url
    return await both(elsewhere, ask)


async def test_a_client_of_the_users_own_is_used() -> None:
    """It was configured for a reason."""
    import openai

    async with Upstream() as upstream, openai.DefaultAsyncHttpxClient(headers={"X-Mine": "1"}) as client:
        await whole(build(ChatOpenAIWire, upstream, http_async_client=client))
        assert upstream.requests[0].headers["x-mine"] == "1"


@pytest.mark.parametrize("options", [{"n": 2}, {"include_response_headers": True}, {"http_socket_options": []}])
async def test_anything_but_one_plain_stream_is_as_with_chat_openai(options: dict[str, Any]) -> None:
    """Several answers, the headers of an answer, the user's own socket options."""
    async with Upstream() as upstream:
        ours, theirs = await both(upstream, whole, **options)
    for message in (ours, theirs):
        message["response_metadata"].pop("headers", None)
    assert ours == theirs


async def test_a_key_that_changes_is_read_for_each_request() -> None:
    """OpenAI's client accepts a function for it."""
    keys = iter(("one", "two"))
    async with Upstream() as upstream:
        model = build(ChatOpenAIWire, upstream, api_key=lambda: next(keys))
        for key in ("one", "two"):
            await whole(model)
            assert upstream.requests[-1].headers["authorization"] == f"Bearer {key}"


async def test_the_responses_api_is_chat_openais() -> None:
    """Our client is not used."""
    async with Upstream() as upstream:
        with pytest.raises(Exception, match="no route /v1/responses"):
            await whole(build(ChatOpenAIWire, upstream, use_responses_api=True))


def test_a_stored_model_is_read_back_as_chat_openai() -> None:
    """So it can be loaded without Headwater."""
    from langchain_core.load import dumpd

    for ours, theirs in ((ChatOpenAIWire, ChatOpenAI), (OpenAIWireLLM, OpenAI)):
        options: dict[str, Any] = {"model": "m", "api_key": KEY}
        assert dumpd(ours(**options))["id"] == dumpd(theirs(**options))["id"]


# ---- Time and connections


@pytest.mark.parametrize(("status", "calls"), [((500, 200), 2), ((429, 429, 200), 3), ((401, 200), 1)])
async def test_retries_are_the_clients(status: Sequence[int], calls: int) -> None:
    """As many as `max_retries`, of errors that are worth it."""
    async with Upstream(status=status, headers={"retry-after-ms": "1"}) as upstream:
        model = build(ChatOpenAIWire, upstream, max_retries=2)
        if calls == 1:
            with pytest.raises(Exception, match="no luck"):
                await whole(model)
        else:
            assert (await whole(model))["content"] == "Hello"
        assert upstream.calls == calls


async def test_silence_has_langchains_limit_and_ends_the_connection() -> None:
    """Without a timer for every chunk."""
    async with Upstream(silent_after=1) as upstream:
        with pytest.raises(StreamChunkTimeoutError) as failure:
            await whole(build(ChatOpenAIWire, upstream, stream_chunk_timeout=0.2))
        assert failure.value.chunks_received == 2
        await asyncio.wait_for(upstream.requests[0].closed.wait(), 1)


async def test_a_slow_reader_is_not_a_silent_provider() -> None:
    """Only the time within a read counts, so a pause of several limits between two reads is no silence."""
    limit, loop, passed = 0.05, asyncio.get_running_loop(), asyncio.Event()
    async with Upstream(tokens=["a", "b", "c"], gated=True) as upstream:
        stream = build(ChatOpenAIWire, upstream, stream_chunk_timeout=limit).astream("Hello")
        upstream.release()
        while (await anext(stream)).text != "a":
            pass
        loop.call_later(3 * limit, passed.set)
        await passed.wait()
        upstream.release(2)
        assert "".join([chunk.text async for chunk in stream]) == "bc"


async def test_an_abandoned_stream_closes_the_providers_connection() -> None:
    """By cancelling, by closing, by leaving the loop."""
    async with Upstream(silent_after=1) as upstream:
        model = build(ChatOpenAIWire, upstream)

        async def read() -> None:
            async for chunk in model.astream("Hello"):
                if chunk.text == "Hel":
                    break

        await read()
        await asyncio.wait_for(upstream.requests[0].closed.wait(), 1)
        stream = model.astream("Hello")
        while not (await anext(stream)).text:
            pass
        await stream.aclose()
        await asyncio.wait_for(upstream.requests[1].closed.wait(), 1)
        begun = asyncio.Event()

        async def read_on() -> None:
            async for chunk in model.astream("Hello"):
                if chunk.text:
                    begun.set()

        reading = asyncio.create_task(read_on())
        await asyncio.wait_for(begun.wait(), 1)
        reading.cancel()
        await asyncio.wait({reading})
        await asyncio.wait_for(upstream.requests[2].closed.wait(), 1)


def test_nothing_is_left_open_in_one_event_loop_after_another() -> None:
    """A LangChain model has no close hook; its connections end with their loop, without a warning."""
    code = """
import asyncio, sys
sys.path.insert(0, "tests")
from upstream import Upstream
from headwater.langchain import ChatOpenAIWire
models = []
async def once():
    async with Upstream() as upstream:
        model = models[0] if models else ChatOpenAIWire(model="m", base_url=upstream.url, api_key="k")
        models.append(model)
        model.root_async_client.base_url = model.async_client._client.base_url = upstream.url
        model._completions = None
        async for chunk in model.astream("Hello"):
            print(chunk.text, end="")
asyncio.run(once())
asyncio.run(once())
"""
    ran = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout == "HelloHello"
    assert "Unclosed" not in ran.stderr, ran.stderr
    gc.collect()


# ---- In Headwater


async def test_the_server_calls_the_provider_directly() -> None:
    """With all options of the model."""
    async with Upstream() as upstream:
        options = {"temperature": 0.3, "max_tokens": 9, "organization": "org", "extra_body": {"top_k": 4}}
        model = build(ChatOpenAIWire, upstream, **options)
        direct = model.direct(Scripted([]))
        assert isinstance(direct, OpenAIModel)
        events = await answer(direct)
        await whole(model)
        ours, theirs = upstream.requests
    assert isinstance(events[-1], Finish)
    assert "".join(texts(events)) == "Hello"
    assert ours.body == theirs.body
    assert ours.headers["openai-organization"] == "org"
    assert ours.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "options",
    [
        {"callbacks": [Recorder()]},
        {"use_responses_api": True},
        {"default_query": {"v": "1"}},
        {"timeout": 3},
        {"streaming": False},
        {"disable_streaming": True},
        {"include_response_headers": True},
        {"http_socket_options": []},
        {"n": 2},
        {"model_kwargs": {"extra_headers": {"a": "b"}}},
        {"api_key": lambda: "changing"},
    ],
)
async def test_the_server_leaves_to_langchain_what_a_direct_call_would_lose(options: dict[str, Any]) -> None:
    """Callbacks, and everything else around the request itself."""
    async with Upstream() as upstream:
        assert build(ChatOpenAIWire, upstream, **options).direct(Scripted([])) is None


async def test_a_router_calls_it_directly_unless_something_is_bound_to_the_model() -> None:
    """The model within does not have the bound arguments."""
    async with Upstream() as upstream:
        model = build(ChatOpenAIWire, upstream)
        assert isinstance(await _offer_of(SETTINGS, model, None).build(), OpenAIModel)
        assert isinstance(await _offer_of(SETTINGS, model.bind(temperature=0), None).build(), LangChainModel)
        assert isinstance(await _offer_of(SETTINGS, build(ChatOpenAI, upstream), None).build(), LangChainModel)


async def test_the_completion_model_is_called_directly_too() -> None:
    """With its own defaults."""
    async with Upstream() as upstream:
        model = build(OpenAIWireLLM, upstream, temperature=0.1)
        direct = model.direct(Scripted([]))
        await answer(direct, HELLO)
        body = upstream.requests[0].body
    assert (body["temperature"], body["max_tokens"], body["prompt"]) == (0.1, 256, "Human: Hello")

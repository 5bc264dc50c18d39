"""What of a request reaches the provider, and what never does."""

from typing import Any

import msgspec
import pytest
from test_langchain import ASKED, HELLO, KEY, answer, chat, completion, texts
from upstream import Upstream

from headwater.errors import ModelError
from headwater.events import Finish
from headwater.models.langchain import LangChainModel
from headwater.prompt import Parameters


async def test_parameters_become_arguments_of_the_call():
    parameters = Parameters(0.5, 0.9, 77, ["END"], 42, 0.1, 0.2)
    async with Upstream() as upstream:
        await answer(chat(upstream), msgspec.structs.replace(HELLO, parameters=parameters))
        await answer(completion(upstream), msgspec.structs.replace(ASKED, parameters=parameters))
        first, second = (request.body for request in upstream.requests)
    told = {"temperature": 0.5, "top_p": 0.9, "stop": ["END"], "seed": 42}
    told |= {"frequency_penalty": 0.1, "presence_penalty": 0.2}
    assert first.items() >= (told | {"max_completion_tokens": 77}).items()
    assert second.items() >= (told | {"max_tokens": 77}).items()


@pytest.mark.parametrize("build", [chat, completion])
async def test_no_field_of_a_request_changes_where_it_goes_or_with_which_key(build: Any):
    async with Upstream() as upstream, Upstream() as elsewhere:
        extra: dict[str, Any] = {
            "base_url": elsewhere.url,
            "openai_api_base": elsewhere.url,
            "api_key": "sk-a-strangers-key",
            "openai_api_key": "sk-a-strangers-key",
            "extra_headers": {"Authorization": "Bearer stranger"},
            "default_headers": {"Authorization": "Bearer stranger"},
            "http_client": "x",
            "http_async_client": "x",
            "timeout": 0.000001,
            "max_retries": 9,
            "organization": "strangers",
            "config": {"callbacks": "x"},
            "extra_query": {"a": "b"},
            "logit_bias": {"50256": -100},
        }
        events = await answer(build(upstream), msgspec.structs.replace(HELLO, extra=extra))
        assert isinstance(events[-1], Finish)
        assert (upstream.calls, elsewhere.calls) == (1, 0)
        request = upstream.requests[0]
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert "openai-organization" not in request.headers
        assert "?" not in request.path
        assert request.body.items() >= extra.items()  # in the JSON body, and nowhere else


async def test_no_unknown_field_overrules_what_headwater_says_itself():
    extra: dict[str, Any] = {
        "model": "dear",
        "messages": [],
        "stream": False,
        "tools": [{}],
        "max_completion_tokens": 10**6,
        "n": 1,
    }
    prompt = msgspec.structs.replace(HELLO, extra=extra, parameters=Parameters(max_tokens=5))
    async with Upstream() as upstream:
        await answer(chat(upstream), prompt)
        body = upstream.requests[0].body
    assert (body["model"], body["stream"], body["max_completion_tokens"]) == ("gpt-test", True, 5)
    assert body["messages"] == [{"role": "user", "content": "Hello"}]
    assert "tools" not in body
    assert "n" not in body


async def test_several_answers_to_one_request_are_refused():
    async with Upstream() as upstream:
        with pytest.raises(ModelError, match="one request, one answer"):
            await answer(chat(upstream), msgspec.structs.replace(HELLO, extra={"n": 2}))
        assert upstream.calls == 0


async def test_extra_fields_are_ignored_where_there_is_no_body_to_put_them():
    from langchain_core.language_models.fake_chat_models import FakeListChatModel

    model = LangChainModel(FakeListChatModel(responses=["Hi"]), "fake")
    assert texts(await answer(model, msgspec.structs.replace(HELLO, extra={"api_key": "x"}))) == ["H", "i"]

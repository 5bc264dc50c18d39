"""Settings that choose the model."""

from pathlib import Path

import pytest
from servers import serve
from serving import chat, parse, text_of
from upstream import Upstream


@pytest.mark.parametrize("direct", ["false", "true"], ids=["through LangChain", "directly"])
async def test_each_route_reaches_the_model_of_its_setting(direct: str, tmp_path: Path) -> None:
    """Completions use the completion model if one is set; a request may name any allowed model."""
    async with Upstream(tokens=["ok"]) as upstream:
        async with serve(
            tmp_path,
            OPENAI_API_KEY="sk-test",
            OPENAI_BASE_URL=upstream.url,
            HEADWATER_STORE="memory:",
            HEADWATER_OPENAI_WIRE=direct,
            HEADWATER_MODEL="openai:small",
            HEADWATER_COMPLETION_MODEL="openai-completion:old",
            HEADWATER_ALLOWED_MODELS="openai:large",
        ) as server:
            asked = [
                ("/api/stream/completion/chat", chat()),
                ("/api/stream/completion", {"message": "Once"}),
                ("/api/stream/completion/chat", chat(model="openai:large")),
            ]
            for path, body in asked:
                assert text_of(parse((await server.client.post(path, json=body)).content)) == "ok"
            unknown = await server.client.post("/api/stream/completion/chat", json=chat(model="openai:huge"))

    assert [(request.path, request.body["model"]) for request in upstream.requests] == [
        ("/v1/chat/completions", "small"),
        ("/v1/completions", "old"),
        ("/v1/chat/completions", "large"),
    ]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_model")


async def test_any_model_of_the_provider_may_be_allowed(tmp_path: Path) -> None:
    """With `*`; models of other providers are refused."""
    async with Upstream(tokens=["ok"]) as upstream:
        async with serve(
            tmp_path, OPENAI_BASE_URL=upstream.url, HEADWATER_STORE="memory:", HEADWATER_ALLOWED_MODELS="*"
        ) as server:
            allowed = await server.client.post("/api/stream/completion/chat", json=chat(model="openai:anything"))
            refused = await server.client.post("/api/stream/completion/chat", json=chat(model="other:anything"))

    assert text_of(parse(allowed.content)) == "ok"
    assert refused.status_code == 404

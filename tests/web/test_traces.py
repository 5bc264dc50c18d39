"""Traces: the spans of requests, generations and requests to providers, and what must not stand in them."""

import asyncio
import gzip
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from serving import Headwater, headwater, post_chat, serving, until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from upstream import Upstream

from headwater.answers.claim import Caching
from headwater.answers.generation import Timeouts
from headwater.cache.policy import Stale
from headwater.errors import ModelError
from headwater.events import Finish, TextDelta, Usage
from headwater.log.memory import MemoryStore
from headwater.models.scripted import Scripted
from headwater.settings import Settings
from headwater.telemetry.traces import Traces
from headwater.testing import Clock
from headwater.wiring.server import server

USED = Usage(10, 5, cached_tokens=4, reasoning_tokens=2, cost=0.25)
ANSWER = [TextDelta("my canary"), Finish("stop", USED)]


@asynccontextmanager
async def traced(model: Scripted) -> AsyncGenerator[tuple[Headwater, InMemorySpanExporter]]:
    """A server whose spans are kept."""
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    traces = Traces(provider.get_tracer("test"))
    async with headwater(model, observers=[traces], timeouts=Timeouts(retries=1)) as running:
        yield running, kept


async def finished(kept: InMemorySpanExporter, count: int) -> tuple[ReadableSpan, ...]:
    """So many spans, once the last has ended."""
    await until(lambda: len(kept.get_finished_spans()) == count, f"{count} spans have ended")
    return kept.get_finished_spans()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """The attributes of a span."""
    return dict(span.attributes or {})


async def test_a_generation_and_its_request_to_the_provider_are_spans() -> None:
    """With the names of the GenAI conventions; usage stands at the request to the provider alone, to count once."""
    async with traced(Scripted(ANSWER, name="openai:small")) as (running, kept):
        await post_chat(running.client, "my canary")
        chat, generation = await finished(kept, 2)

    assert (chat.name, chat.kind, generation.name) == ("chat small", SpanKind.CLIENT, "generation")
    assert chat.parent is not None
    assert generation.context is not None
    assert chat.parent.span_id == generation.context.span_id
    said = attributes(chat)
    assert said.pop("gen_ai.response.time_to_first_chunk") >= 0
    assert said.pop("headwater.log") == attributes(generation)["headwater.log"]
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "small",
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 2,
    }
    assert attributes(generation)["headwater.state"] == "finished"
    assert attributes(generation)["headwater.cost_usd"] == 0.25
    assert "canary" not in chat.to_json() + generation.to_json()


async def test_a_hit_is_a_span_that_is_linked_to_its_generation() -> None:
    """No request to a provider belongs to it."""
    async with traced(Scripted(ANSWER, name="small")) as (running, kept):
        await post_chat(running.client)
        _, generation = await finished(kept, 2)
        await post_chat(running.client)
        *_, hit = await finished(kept, 3)

    assert hit.name == "cache hit"
    assert [link.context for link in hit.links] == [generation.context]


async def test_a_renewal_that_a_request_waited_for_has_one_span() -> None:
    """It may have ended before the request is attached to it; a span that begins then would never end."""
    kept, provider, clock = InMemorySpanExporter(), TracerProvider(), Clock()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    traces, caching = Traces(provider.get_tracer("test")), Caching(ttl=10, secret=b"secret", stale=Stale(instead=60))
    store = MemoryStore(clock=clock)
    async with headwater(Scripted(ANSWER, name="small"), store, observers=[traces], caching=caching) as running:
        for _ in range(2):
            await post_chat(running.client)
            clock.now += 20
    traces.end()

    assert [span.name for span in kept.get_finished_spans()] == ["chat small", "generation"] * 2


async def test_a_failed_attempt_and_its_retry_are_spans_with_the_error_and_not_its_words() -> None:
    """What a provider says may quote the question."""
    refusing = ModelError("full, my canary", code="rate_limited", retryable=True, retry_after=0.0)
    async with traced(Scripted([refusing], name="small")) as (running, kept):
        await post_chat(running.client)
        spans = await finished(kept, 3)

    assert [span.name for span in spans] == ["chat small", "chat small", "generation"]
    assert {attributes(span)["error.type"] for span in spans} == {"rate_limited"}
    assert [event.name for event in spans[2].events] == ["retried"]
    assert "canary" not in "".join(span.to_json() for span in spans)


@asynccontextmanager
async def collector() -> AsyncGenerator[tuple[str, list[Any]]]:
    """A collector on a socket that speaks OTLP over HTTP, and the resource and the spans that it has got."""
    got: list[Any] = []

    async def take(request: Request) -> Response:
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
            got.extend((sent.resource, span) for scope in sent.scope_spans for span in scope.spans)
        return Response(b"", media_type="application/x-protobuf")

    async with serving(Starlette(routes=[Route("/v1/traces", take, methods=["POST"])])) as client:
        yield str(client.base_url), got


@pytest.mark.parametrize("path", ["/api/stream/completion/chat", "/v1/chat/completions"])
async def test_a_server_sends_its_spans_to_a_collector_in_the_trace_of_its_caller(path: str, tmp_path: Path) -> None:
    """From the request to the provider; probes have no spans."""
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with collector() as (endpoint, got), Upstream(tokens=["a", "b"]) as upstream:
        settings = Settings(
            data_dir=tmp_path,
            store="memory:",
            model="openai:small",
            openai_api_key="sk-test",  # pyright: ignore[reportArgumentType]
            openai_base_url=upstream.url,
            otlp_endpoint=endpoint,
        )
        async with serving(server(settings).asgi, lifespan=True) as client:
            caller = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
            question = {"model": "openai:small", "messages": [{"role": "user", "content": "my canary"}]}
            (await client.post(path, json=question, headers=caller)).raise_for_status()
            await client.get("/readyz")
            stop = await client.post("/api/streams/no-such-log/stop", headers=caller)
            await client.get("/api/conversations/a", headers=caller)  # an id that is a part of the path's other words
        await until(lambda: len(got) == 5, "five spans have come")

    spans = {span.name: span for _, span in got}
    routes = {f"POST {path}", "POST /api/streams/{message_id}/stop", "GET /api/conversations/{id}"}
    assert set(spans) == {*routes, "generation", "chat small"}
    assert {span.trace_id.hex() for span in spans.values()} == {trace_id}
    assert spans["generation"].parent_span_id == spans[f"POST {path}"].span_id
    assert spans["chat small"].parent_span_id == spans["generation"].span_id
    assert stop.status_code == 404
    assert "canary" not in str(got)
    (name,) = {
        each.value.string_value for resource, _ in got for each in resource.attributes if each.key == "service.name"
    }
    assert name == "headwater"


async def test_a_collector_that_is_not_there_harms_no_answer(tmp_path: Path) -> None:
    """Nor the end of the server."""
    settings = Settings(data_dir=tmp_path, store="memory:", model="echo", otlp_endpoint="http://127.0.0.1:9")
    async with asyncio.timeout(20):
        async with serving(server(settings).asgi, lifespan=True) as client:
            assert (await post_chat(client)).status_code == 200

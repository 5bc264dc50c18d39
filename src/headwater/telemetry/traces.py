"""Traces by OpenTelemetry's GenAI conventions: request → generation → each request to a provider, without content.

A hit or a join has a span of its own, with a link to the generation where that ran in this process not long ago. This
module needs the extra `otel`, and is imported only where traces are sent.
"""

import time
from collections import OrderedDict
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headwater.events import Continued, Ending, Error, Finish, state_after
from headwater.observe import Made, Observer, Request
from headwater.telemetry.names import bare, operation, provider

REMEMBERED = 10_000
"""Generations that have ended, to which a hit can still be linked."""
QUIET = ("/healthz", "/readyz", "/metrics", "/assets/")
"""Paths that probes, scrapers and the page call: their requests have no span."""


class Traces(Observer):
    """Makes the spans of generations, of their requests to providers, and of answers that needed none."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._generations: dict[str, Span] = {}
        self._attempts: dict[str, tuple[Span, float]] = {}
        self._known: OrderedDict[str, SpanContext] = OrderedDict()

    def claimed(self, request: Request) -> None:
        said = _of(request)
        trace.get_current_span().set_attributes(said)
        if request.outcome in ("hit", "joined"):
            known = self._known.get(request.log)
            links = [Link(known)] if known else []
            self._tracer.start_span(f"cache {request.outcome}", links=links, attributes=said).end()
        elif request.log not in self._known:  # a renewal has begun before, and may have ended
            self._generation(request)

    def _generation(self, request: Request) -> Span:
        """The span of a generation, begun now if there is none: no request waits for a renewal."""
        if (span := self._generations.get(request.log)) is None:
            # Its parent is the request's span, which the producer's task has inherited.
            span = self._generations[request.log] = self._tracer.start_span("generation", attributes=_of(request))
            self._known[request.log] = span.get_span_context()
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return span

    def attempted(self, request: Request, model: str, way: str) -> None:
        named, parameters = operation(request.prompt.kind), request.prompt.parameters
        said: dict[str, Any] = {
            "gen_ai.operation.name": named,
            "gen_ai.provider.name": provider(model),
            "gen_ai.request.model": bare(model),
            "gen_ai.request.stream": True,
            "gen_ai.request.max_tokens": parameters.max_tokens,
            "gen_ai.request.temperature": parameters.temperature,
            "gen_ai.request.top_p": parameters.top_p,
            "headwater.log": request.log,
            "headwater.continues_by": way or None,
        }
        span = self._tracer.start_span(
            f"{named} {bare(model)}",
            trace.set_span_in_context(self._generation(request)),
            SpanKind.CLIENT,
            {name: value for name, value in said.items() if value is not None},
        )
        self._attempts[request.log] = span, time.monotonic()

    def first_token(self, request: Request, seconds: float) -> None:
        if (found := self._attempts.get(request.log)) is not None:
            span, began = found
            span.set_attribute("gen_ai.response.time_to_first_chunk", time.monotonic() - began)

    def answered(self, request: Request, error: str, made: Ending | None) -> None:
        span, _ = self._attempts.pop(request.log, (None, 0.0))
        if span is None:
            return
        if isinstance(made, Finish):
            span.set_attribute("gen_ai.response.finish_reasons", [made.reason])
            if made.usage is not None:
                usage = made.usage
                counts = {
                    "input_tokens": usage.input_tokens,
                    "output_tokens": usage.output_tokens,
                    "cache_read.input_tokens": usage.cached_tokens,
                    "cache_write.input_tokens": usage.cache_write_tokens,
                    "reasoning.output_tokens": usage.reasoning_tokens,
                }
                always = ("input_tokens", "output_tokens")
                said = {f"gen_ai.usage.{name}": count for name, count in counts.items() if count or name in always}
                span.set_attributes(said)
        if error:
            _fail(span, error)
        span.end()

    def continued(self, request: Request, seam: Continued) -> None:
        if (span := self._generations.get(request.log)) is not None:
            span.add_event("continued", {"headwater.cause": seam.cause, "headwater.way": seam.way})

    def retried(self, request: Request, error: Exception, wait: float) -> None:
        if (span := self._generations.get(request.log)) is not None:
            span.add_event("retried", {"error.type": getattr(error, "code", "internal"), "headwater.wait": wait})

    def made(self, request: Request, made: Made) -> None:
        if (span := self._generations.pop(request.log, None)) is not None:
            span.set_attribute("headwater.state", state_after(made.ending))
            if isinstance(made.ending, Error):
                _fail(span, made.ending.code)
            elif isinstance(made.ending, Finish) and made.ending.usage and made.ending.usage.cost is not None:
                span.set_attribute("headwater.cost_usd", made.ending.usage.cost)
            span.end()

    def end(self) -> None:
        """End the spans of answers that go on elsewhere."""
        for span in (*(span for span, _ in self._attempts.values()), *self._generations.values()):
            span.set_attribute("headwater.state", "released")
            span.end()
        self._attempts.clear()
        self._generations.clear()


class Traced:
    """ASGI middleware that makes a span of each request, in the caller's trace where its `traceparent` names one."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer
        self._context = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(QUIET):
            await self._app(scope, receive, send)
            return
        context = self._context.extract(Headers(scope=scope))
        said = {"http.request.method": scope["method"], "url.scheme": scope["scheme"]}
        with self._tracer.start_as_current_span(
            scope["method"], context, SpanKind.SERVER, said, record_exception=False, set_status_on_exception=False
        ) as span:

            def sending(message: Message) -> Any:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        _fail(span, str(message["status"]))
                return send(message)

            try:
                await self._app(scope, receive, sending)
            finally:
                if route := _route(scope):
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.route", route)


def _of(request: Request) -> dict[str, str]:
    return {
        "headwater.log": request.log,
        "headwater.tenant": request.principal.tenant,
        "headwater.cache": request.outcome,
        "gen_ai.request.model": bare(request.prompt.model),
    }


def _route(scope: Scope) -> str:
    """The path as its route has it; paths themselves hold ids and the tokens of links. Empty without a route."""
    return "" if "path" in scope.get("path_params", {}) else getattr(scope.get("route"), "path", "")


def _fail(span: Span, error: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(Status(StatusCode.ERROR))

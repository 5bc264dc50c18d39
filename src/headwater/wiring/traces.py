"""Where traces go: spans are collected in a thread and sent by OTLP over HTTP. Needs the extra `otel`."""

import asyncio
import threading

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from starlette.types import ASGIApp

from headwater.telemetry.traces import Traced, Traces
from headwater.version import VERSION

LAST_SECONDS = 2.0
"""Time for which the last spans are sent when the server ends."""


class Tracing:
    """The traces of a server, sent to `endpoint`. The standard variables `OTEL_…` decide the rest, such as headers."""

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # OTEL_SERVICE_NAME names none
            resource = resource.merge(Resource({SERVICE_NAME: "headwater"}))
        self._provider = TracerProvider(resource=resource.merge(Resource({SERVICE_VERSION: VERSION})))
        self._exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("headwater", VERSION)
        self.observer = Traces(self._tracer)

    def around(self, app: ASGIApp) -> ASGIApp:
        """The app with a span for each request."""
        return Traced(app, self._tracer)

    async def end(self) -> None:
        """Send what is left; a collector that does not answer is not waited for."""
        self.observer.end()
        give_up = threading.Timer(LAST_SECONDS, self._exporter.shutdown)
        give_up.start()
        await asyncio.to_thread(self._provider.shutdown)
        give_up.cancel()

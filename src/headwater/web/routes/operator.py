"""The operator's routes: metrics, running answers, the cache. The gate asks for the operator's key by their paths."""

import os
import socket
from collections import Counter
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from headwater.access.keys import is_tenant
from headwater.answers.answers import Answers
from headwater.answers.purges import FRESH
from headwater.errors import RequestError
from headwater.principal import Principal
from headwater.telemetry.metrics import Look, Metrics
from headwater.version import VERSION
from headwater.web.accept import field
from headwater.web.audit import note
from headwater.web.problems import ProblemRoute, closed
from headwater.web.routes.native import parameter

METRICS, STREAMS, CACHE = "/metrics", "/api/operator/streams", "/api/operator/cache"
TENANT = parameter("tenant", "query", "Whose cache is purged")
_FRESH = {"Cache-Control": "no-store"}


def operator_routes(answers: Answers, metrics: Metrics) -> APIRouter:
    """What the operator may see and do, of all tenants."""
    router = APIRouter(route_class=ProblemRoute, tags=["operator"])

    @router.get(METRICS, response_class=PlainTextResponse)
    async def scrape(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The metrics of all workers on this port, for Prometheus (docs/operations.md)."""
        body, media_type = await metrics.scrape(field(request, "accept"))
        return Response(body, headers={**_FRESH, "Content-Type": media_type})

    @router.get(STREAMS)
    async def streams() -> Response:  # pyright: ignore[reportUnusedFunction]
        """The answers that this process generates, the oldest first; `server` says which process that is."""
        return JSONResponse({"server": _server(), "streams": running(answers)}, headers=_FRESH)

    @router.get(CACHE)
    async def stats() -> Response:  # pyright: ignore[reportUnusedFunction]
        """How the requests of each tenant met the cache since the server began, in all its workers."""
        return JSONResponse({"server": _server(), "tenants": await metrics.by_tenant()}, headers=_FRESH)

    @router.delete(CACHE, responses={400: {"description": "No tenant"}}, openapi_extra={"parameters": [TENANT]})
    async def purge(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Purge the cache of the `tenant`: its next requests get none of the answers of before.

        This server obeys at once, and others on its store within 10 s. Running answers and conversations stay.
        """
        tenant = request.query_params.get("tenant", "")
        if not is_tenant(tenant):
            raise RequestError("name the tenant whose cache is to be purged, as in ?tenant=acme")
        await answers.purge(tenant)
        note(request.scope, "purge", Principal(tenant, "operator"))
        return JSONResponse({"server": _server(), "tenant": tenant, "within": FRESH}, headers=_FRESH)

    return closed(router)


def look(answers: Answers) -> Look:
    """What the gauges of this process show."""
    generations = answers.generations.values()
    tenants = Counter(each.request.principal.tenant for each in generations)
    return Look(tenants, sum(each.writer.unstored for each in generations))


def running(answers: Answers) -> list[dict[str, Any]]:
    """The answers that are being generated in this process, the oldest first, without anything they say."""
    found = [
        {
            "id": log,
            "tenant": generation.request.principal.tenant,
            "model": generation.request.prompt.model,
            "state": generation.state,
            "age": round(generation.age, 1),
            "entries": len(generation.writer.entries),
            "readers": generation.writer.readers,
        }
        for log, generation in answers.generations.items()
    ]
    return sorted(found, key=lambda each: -each["age"])


def _server() -> dict[str, Any]:
    return {"host": socket.gethostname(), "process": os.getpid(), "version": VERSION}

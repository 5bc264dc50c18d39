"""Pinned answers, for the operator: bound to a question, listed, removed."""

import time

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from headwater.answers.pins import Pin
from headwater.dialects.body import json_object
from headwater.dialects.native import request as native
from headwater.errors import InvalidPrompt
from headwater.principal import ANYONE, Principal
from headwater.prompt import Message
from headwater.web.audit import note
from headwater.web.json_response import json_response
from headwater.web.problems import ProblemRoute, closed
from headwater.web.routes.conversations import route
from headwater.web.routes.native import parameter
from headwater.web.surface import Surface

PINS = "/api/operator/pins"


class NewPin(msgspec.Struct, frozen=True):
    """What the operator binds; `prompt` stands for one message of a user."""

    answer: str
    tenant: str = ANYONE.tenant
    model: str | None = None
    messages: list[Message] = []
    prompt: str | None = None


def pin_routes(surface: Surface) -> APIRouter:
    """The routes of the operator's pins."""
    router, pins = APIRouter(route_class=ProblemRoute, tags=["operator"]), surface.answers.pins

    @router.put(PINS, **route({200: ("The pin", Pin)}, takes=NewPin))
    async def put(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Bind an answer to a question of a tenant, in place of an earlier one; all servers give it within seconds."""
        pin = _pin(surface, await surface.body(request))
        pin = await pins.put(pin)
        note(request.scope, "pin", Principal(pin.tenant, ""), pin.id)
        return await json_response(request, pin)

    @router.get(PINS, **route({200: ("All pins", list[Pin])}))
    async def listed(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """All pins of all tenants."""
        return await json_response(request, await pins.list())

    @router.delete(f"{PINS}/{{id}}", **route({204: ("It is removed", None)}, parameter("id", "path", "The pin's id")))
    async def remove(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Remove a pin: models answer the question again, at once on every server."""
        id: str = request.path_params["id"]
        tenant = (await pins.remove(id)).tenant
        note(request.scope, "unpin", Principal(tenant, ""), id)
        return Response(status_code=204)

    return closed(router)


def _pin(surface: Surface, body: bytes) -> Pin:
    """The pin that a body describes. Raises `InvalidPrompt` or `UnknownModel`."""
    fields = json_object(body)
    answer, tenant = fields.pop("answer", None), fields.pop("tenant", ANYONE.tenant)
    if not isinstance(answer, str) or not answer or not isinstance(tenant, str) or not tenant:
        raise InvalidPrompt('the fields answer and tenant must be texts: send {"tenant": "acme", "answer": "…", …}')
    prompt = (native.chat if "messages" in fields else native.completion)(msgspec.json.encode(fields)).prompt
    model = surface.answers.offer(prompt.model).name if prompt.model else ""
    return Pin(tenant, prompt.messages, answer, model, int(time.time()))

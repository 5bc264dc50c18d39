"""The routes of OpenAI's chat completions, completions and models."""

from collections.abc import Mapping
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from headwater.dialects.openai.dialect import OpenAI
from headwater.dialects.openai.models import model, models
from headwater.dialects.openai_error import refusal
from headwater.web.problems import Endpoint
from headwater.web.surface import Surface

__all__ = ["endpoints", "refusal"]

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"


def endpoints(surface: Surface) -> Mapping[str, Endpoint]:
    async def listed(request: Request) -> Response:
        await surface.principal(request)
        return Response(models(surface.answers.models), media_type="application/json")

    async def one(request: Request) -> Response:
        await surface.principal(request)
        return Response(model(surface.answers.offer(request.path_params["model"]).name), media_type="application/json")

    return {
        f"POST {CHAT}": partial(surface.ask, dialect=OpenAI("chat"), route=CHAT, leaves=True),
        f"POST {COMPLETION}": partial(surface.ask, dialect=OpenAI("completion"), route=COMPLETION, leaves=True),
        "GET /v1/models": listed,
        "GET /v1/models/{model:path}": one,
    }

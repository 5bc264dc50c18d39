"""The routes of Anthropic's Messages API."""

import asyncio
from collections.abc import Mapping
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from headwater.dialects.anthropic.count import counted, estimate
from headwater.dialects.anthropic.dialect import Anthropic, refusal
from headwater.dialects.anthropic.request import read
from headwater.errors import ModelError
from headwater.web.problems import Endpoint
from headwater.web.surface import Surface

__all__ = ["endpoints", "refusal"]

MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
LONGEST = 30.0
"""Seconds that a model may take to count."""


def endpoints(surface: Surface) -> Mapping[str, Endpoint]:
    async def count(request: Request) -> Response:
        prompt = read(await surface.body(request), limited=False).prompt
        await surface.principal(request)
        try:
            tokens = await asyncio.wait_for(surface.answers.count_tokens(prompt), LONGEST)
        except TimeoutError as late:
            raise ModelError("the model took too long to count", code="timeout", status=504, retryable=True) from late
        by = "estimate" if tokens is None else "model"
        body = counted(estimate(prompt) if tokens is None else tokens)
        return Response(body, headers={"Headwater-Counted-By": by}, media_type="application/json")

    messages = partial(surface.ask, dialect=Anthropic(), route=MESSAGES, leaves=True)
    return {f"POST {MESSAGES}": messages, f"POST {COUNT}": count}

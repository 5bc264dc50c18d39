"""The routes of Anthropic's Messages API."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from headwater.dialects.anthropic.dialect import Anthropic, refusal
from headwater.web.problems import Endpoint
from headwater.web.surface import Surface

__all__ = ["endpoints", "refusal"]

MESSAGES = "/v1/messages"


def endpoints(surface: Surface) -> Mapping[str, Endpoint]:
    """What answers each of these routes."""
    dialect = Anthropic()

    async def messages(request: Request) -> Response:
        return await surface.ask(request, dialect, MESSAGES, leaves=True)

    return {f"POST {MESSAGES}": messages}

"""One request to an OpenAI-compatible provider, from its sending to the last event of its answer."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import ModelError
from headwater.events import Event
from headwater.models.openai.connection import Connections, Grace, read
from headwater.models.openai.pacing import PacedRead
from headwater.models.openai.stream import Stream
from headwater.models.scrub import as_model_error

if TYPE_CHECKING:
    import aiohttp


class Refused(Exception):
    """The provider answered with an HTTP error; `scrub` looks for these names."""

    def __init__(self, response: "aiohttp.ClientResponse", body: object, text: str) -> None:
        super().__init__(text or f"HTTP {response.status}")
        self.response, self.status_code = response, response.status
        self.body = body
        self.text = text


async def answered(
    send: Callable[[], "Awaitable[aiohttp.ClientResponse]"], reading: Stream, connections: Connections
) -> AsyncGenerator[Sequence[Event], None]:
    """The events that `reading` finds in the response of a request; see `headwater.models.model.Model.stream`.

    `send` sends the request, and returns the head of a response with status 200.
    """
    response: aiohttp.ClientResponse | None = None
    socket, grace = PacedRead(), Grace()
    try:
        response = await send()
        content, ended = response.content, False
        while not reading.done:
            if not (data := await (grace.read(content) if ended else read(content))):
                break
            batch, ended = reading.feed(data), reading.ended
            if batch or reading.heard:
                yield batch  # an empty one is a sign of life
                if not ended:
                    socket.after(len(batch), response)
            if reading.failure is not None and not ended:
                raise reading.failure
        if ending := reading.finish():
            yield ending
        if reading.failure is not None:
            raise reading.failure
    except ModelError:
        raise
    except Exception as failure:  # the one boundary to foreign code: a client's library may raise anything
        raise as_model_error(failure, secrets=connections.secrets, answering=response is not None) from failure
    finally:
        if response is not None:
            socket.end()
            connections.release(response, reading.told_end)


async def refused(response: "aiohttp.ClientResponse", connections: Connections) -> Refused:
    """The failure that the response of a request is, with the provider's words."""
    async with response:
        refusal = await connections.refusal(response)
    try:
        fields = msgspec.json.decode(refusal, type=dict[str, Any])
    except msgspec.MsgspecError:
        fields = None
    return Refused(response, fields and fields.get("error", fields), refusal.decode(errors="replace"))

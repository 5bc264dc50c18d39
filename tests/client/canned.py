"""A server of canned responses, for what no Headwater server of this version would send."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress


class Canned:
    """Answers each request with the next canned response and closes the connection."""

    def __init__(self, responses: Sequence[bytes]) -> None:
        self.url = ""
        self.requests: list[str] = []
        """The heads of the requests, oldest first."""
        self._responses = list(responses)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request's head and send the next response."""
        with suppress(OSError, asyncio.IncompleteReadError):
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self._responses.pop(0))
            await writer.drain()
        writer.close()


@asynccontextmanager
async def canned(*responses: bytes) -> AsyncGenerator[Canned, None]:
    """Serve these responses on a loopback port, one per connection."""
    peer = Canned(responses)
    listening = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    async with listening:
        peer.url = "http://{}:{}".format(*listening.sockets[0].getsockname())
        yield peer


def response(status: str, body: bytes, **headers: str) -> bytes:
    """A response that ends when its connection closes."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def events(*frames: str, **headers: str) -> bytes:
    """A response with these frames as Server-Sent Events."""
    body = "".join(f"{frame}\n\n" for frame in frames).encode()
    return response("200 OK", body, **{"Content_Type": "text/event-stream", **headers})

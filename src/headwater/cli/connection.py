"""One client's connection: uvicorn's HTTP protocol, completed for HTTP/1.0 and for clients that half-close."""

import socket
import struct
import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_RESET = struct.pack("ii", 1, 0)
_NO_RESET = struct.pack("ii", 0, 0)


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with two corners of HTTP that it leaves out.

    A client of HTTP/1.0 knows no chunks (RFC 9112 §7.1), so a stream ends with its connection instead. A client that
    shuts its sending side down after a whole request still reads (§9.6); asyncio would close the connection. A client
    that closed both sides looks the same until it answers what it is sent with a reset, so the heartbeats find it.

    A client whose leaving ends the answer (`state.leaves`) is taken to have closed both: one that waits for JSON is
    sent nothing meanwhile, and no client of such routes is known to half-close.
    """

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        # uvicorn names its class of a cycle outright; the cycle has not run yet.
        self.cycle.__class__ = UntilClose if self.scope["http_version"] == "1.0" else Streamed

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Keep the connection of a client that waits for a response, until that has ended."""
        waits = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body  # pyright: ignore[reportUnnecessaryComparison]
        if waits:
            self.cycle.keep_alive = False
        return waits and not self.scope.get("state", {}).get("leaves")


class Streamed(RequestResponseCycle):
    """A response in chunks, whose parts `web.response.LogResponse` writes itself: `send` takes as long as the write."""

    @property
    def direct(self) -> "Streamed":
        return self

    @property
    def ready(self) -> bool:
        """Whether a part of the body can be written without waiting."""
        return bool(self.chunked_encoding) and not (
            self.response_complete or self.disconnected or self.flow.write_paused
        )

    def write(self, body: bytes) -> None:
        """Write a part of the body, which is not empty."""
        self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))


class UntilClose(RequestResponseCycle):
    """A response to HTTP/1.0: without a length, its body ends where the connection is closed.

    Until the body is whole, closing means a reset, so that no client takes a part for the whole.
    """

    _unbounded = False

    async def send(self, message: Any) -> None:
        if not self.response_started:
            names = {name.lower() for name, _ in message.get("headers", ())}
            self._unbounded = b"content-length" not in names and message["status"] not in (204, 304)
            if self._unbounded:
                self.chunked_encoding, self.expected_content_length = False, sys.maxsize
                self._linger(_RESET)
        elif self._unbounded and not message.get("more_body", False):
            self.expected_content_length = len(message.get("body", b""))
            self._linger(_NO_RESET)
        await super().send(message)

    def _linger(self, how: bytes) -> None:
        peer: socket.socket | None = self.transport.get_extra_info("socket")
        if peer is not None and not self.transport.is_closing():
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, how)

"""One client's connection: uvicorn's HTTP protocol, completed for HTTP/1.0, half-closed and hostile clients.

A client may be slow for as long as it gets something done. Its request's head must be whole after `within` seconds, and
then a little of the body must arrive in every further `within`. A client that takes none of what it is sent is let go.
Only the timers of such connections run: a request that arrives whole costs a few comparisons. What comes between the
parts of a body, or behind it, is for nobody, and has the limit of a head.
"""

import asyncio
import logging
import socket
import struct
import sys
from itertools import chain
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from headwater.dialects.problem import problem
from headwater.events import Error

logger = logging.getLogger(__name__)

_RESET = struct.pack("ii", 1, 0)
_NO_RESET = struct.pack("ii", 0, 0)


MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers, at most."""
LEAST = 16 * 1024
"""Bytes of a body that must arrive in each `within`: 800 a second, where that is 20 s."""
STALLED = 120.0
"""Seconds in which a client must take a part of what it is sent."""
_REFUSAL = b"HTTP/1.1 %b\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with some corners of HTTP that it leaves out.

    A client of HTTP/1.0 knows no chunks (RFC 9112 §7.1), so a stream ends with its connection instead. A client that
    shuts its sending side down after a whole request still reads (§9.6); asyncio would close the connection. A client
    that closed both sides looks the same until it answers what it is sent with a reset, so the heartbeats find it.

    A client whose leaving ends the answer (`state.leaves`) is taken to have closed both: one that waits for JSON is
    sent nothing meanwhile, and no client of such routes is known to half-close.
    """

    # CPython shares the keys of up to thirty attributes. uvicorn's protocol has nearly as many; with these beside them
    # every connection would have a table of its own, of 1.5 kB.
    __slots__ = ("_framing", "_in_head", "_late", "_partial", "_received", "_stalled", "_stuck", "_unsent", "_within")

    def __init__(self, *args: Any, within: float = 20.0, stalled: float = STALLED, **more: Any) -> None:
        super().__init__(*args, **more)
        self._within = within
        self._stalled = stalled
        self._partial = True  # a request has begun to arrive, or the first one is awaited
        self._in_head = True
        self._received = 0  # bytes of the head so far, or of the body since the last look
        self._framing = 0  # bytes since the last part of a body: of chunks' extensions, and of trailers
        self._late: asyncio.TimerHandle | None = None
        self._unsent = 0  # bytes that the client had not taken at the last look
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._late = self.loop.call_later(self._within, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        self._framing += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._received > MAX_HEAD:
            self.send_400_response("")
        elif not self._partial and not self._is_idle:
            self._in_time()
        elif self._partial and not self._in_head and self._framing > MAX_HEAD:
            self.transport.abort()
        elif self._late is None:
            self._late = self.loop.call_later(self._within, self._look)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._partial = self._in_head = True

    def on_headers_complete(self) -> None:
        if self._received > MAX_HEAD and len(self.url) + sum(map(len, chain(*self.headers))) > MAX_HEAD:
            raise ValueError  # which ends in `send_400_response`
        super().on_headers_complete()
        self._in_head, self._received, self._framing = False, 0, 0
        self.headers = []  # uvicorn would add the trailers to the request's own
        self._in_time()
        # uvicorn names its class of a cycle outright; the cycle has not run yet.
        self.cycle.__class__ = UntilClose if self.scope["http_version"] == "1.0" else Streamed

    def on_body(self, body: bytes) -> None:
        self._framing = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._partial, self._received = False, 0

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or one whose head is too large, and close."""
        if self._in_head and self._received > MAX_HEAD:
            detail = f"The request's headers are larger than {MAX_HEAD} bytes."
            self._refuse(b"431 Request Header Fields Too Large", "headers_too_large", detail)
        else:
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._stuck = self.loop.call_later(self._stalled, self._look_at_writing)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Keep the connection of a client that waits for a response, until that has ended."""
        waits = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body  # pyright: ignore[reportUnnecessaryComparison]
        if waits:
            self.cycle.keep_alive = False
        return waits and not self.scope.get("state", {}).get("leaves")

    @property
    def _is_idle(self) -> bool:
        """Whether nothing is being answered, as far as has arrived."""
        return self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]

    def _in_time(self) -> None:
        """Stop the timer: what was awaited is there."""
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _look(self) -> None:
        """Timer: let a client go whose request does not arrive, or not any more."""
        self._late, idle = None, self._is_idle
        if not idle and (self._in_head or self.flow.read_paused or self._received >= LEAST):
            self._received = self._received if self._in_head else 0
            self._late = self.loop.call_later(self._within, self._look)
        elif self._received > 0 if self._in_head else not self.cycle.response_started:
            self._refuse(b"408 Request Timeout", "request_too_slow", "The request came too slowly.")
        else:
            self.transport.abort()

    def _refuse(self, status: bytes, code: str, detail: str) -> None:
        """Answer what has not become a request, and close."""
        error = Error(code, detail, status=int(status[:3]))
        body = problem(error).body
        self.transport.write(_REFUSAL % (status, len(body), body))
        self.transport.close()

    def _look_at_writing(self) -> None:
        """Timer: let a client go that has taken nothing since the last look."""
        left = self.transport.get_write_buffer_size()
        if left >= self._unsent:
            logger.info("a client took no bytes for %g s; closed", self._stalled)
            self.transport.abort()
        else:
            self._unsent = left
            self._stuck = self.loop.call_later(self._stalled, self._look_at_writing)


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

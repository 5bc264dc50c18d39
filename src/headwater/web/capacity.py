"""The limits on open streams: one that would not fit is refused with a reason, never reset.

A stream needs two files, the client's connection and the provider's. Part of the files is reserved for the store, the
log, and connections that start nothing, such as health checks, stops and refused requests.
"""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headwater.access.attempts import site
from headwater.access.visitor import is_keyless
from headwater.errors import HeadwaterError, OverLimit
from headwater.principal import Principal

RESERVED = 100
"""Files of a process that no stream uses."""


class ServerFull(HeadwaterError):
    """This process has no open files left for another stream."""

    code = "server_full"
    status = 503
    retryable = True
    retry_after = 1.0


class OpenFiles:
    """Tells whether this process may open more files, of which it should have `most` open."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._unchecked = 0

    def fit(self, expected: int = 0) -> bool:
        """Whether another connection fits, which may open one more; `expected` files are to be opened anyway."""
        if self._unchecked <= 0:
            left = self._most - _open_files() - expected
            if left < 1:
                return False
            self._unchecked = left // 4  # so that two files for each of these leave half
        self._unchecked -= 1
        return True


class Capacity:
    """The streams of a process: as many as its open files allow, `streams` at most, `each` of one client; 0: any.

    `files` is the process's limit on open files; without one they are not looked at.
    """

    def __init__(self, files: int | None = None, streams: int = 0, each: int = 0) -> None:
        self._files = None if files is None else OpenFiles(files - _reserved(files))
        self._streams = streams
        self._each = each
        self._is_limited = streams > 0 or each > 0
        self._claiming = 0
        self._open = 0
        self._clients: dict[str, int] = {}

    def within(self, files: int | None) -> "Capacity":
        """The same limits in a process with so many open files."""
        return Capacity(files, self._streams, self._each)

    def check(self, request: Request, principal: Principal) -> None:
        """Return if another stream of a client fits. Raises `ServerFull`, or `OverLimit` for that client."""
        if self._files is not None and not self._files.fit(self._claiming):
            raise ServerFull("this server has no open files left for another stream; ask again in a moment")
        if 0 < self._streams <= self._open:
            raise ServerFull(f"this server has {self._streams} open streams, as many as it may; ask again soon")
        if 0 < self._each <= self._clients.get(_client(request.scope, principal), 0):
            raise OverLimit(f"you have {self._each} open streams, as many as you may; close one", retry_after=1)

    @contextmanager
    def claim(self, request: Request, principal: Principal) -> Generator[None]:
        """Surrounds the claim of an answer; its connection to the provider is opened afterwards. Raises as `check`."""
        self.check(request, principal)
        client = _client(request.scope, principal) if self._is_limited else None
        self._claiming += 1
        self.add(client, 1)
        try:
            yield
        finally:
            self._claiming -= 1
            self.add(client, -1)

    def count(self, response: Response, principal: Principal) -> Response:
        """The response, which counts as an open stream of its client while it is sent."""
        return _Counted(response, self, principal) if self._is_limited else response

    def add(self, client: str | None, streams: int) -> None:
        """Count a client's streams up or down."""
        if client is not None:
            self._open += streams
            self._clients[client] = self._clients.get(client, 0) + streams
            if not self._clients[client]:
                del self._clients[client]


class _Counted(Response):
    """Another response that is counted while it is sent."""

    def __init__(self, response: Response, capacity: Capacity, principal: Principal) -> None:
        self.background = None
        self.status_code = response.status_code
        self._response = response
        self._capacity = capacity
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = _client(scope, self._principal)
        self._capacity.add(client, 1)
        try:
            await self._response(scope, receive, send)
        finally:
            self._capacity.add(client, -1)


def _client(scope: Scope, principal: Principal) -> str:
    """Whose stream it is: the subject's of a tenant; of whom nobody names, the address's. A cookie costs nothing."""
    return site((scope.get("client") or ("",))[0]) if is_keyless(principal) else "\n".join(principal)


def streams(files: int) -> int:
    """The number of streams that a process with so many open files can serve, about: a rush may take a few more."""
    return (files - _reserved(files)) // 2


def connections(files: int) -> OpenFiles:
    """The limit on connections: some of the reserved files are for them, the rest is for the store and the log."""
    return OpenFiles(files - _reserved(files) // 2)


def _reserved(files: int) -> int:
    return min(RESERVED, files // 2)


def _open_files() -> int:
    """The number of open files of this process. Takes 3 µs from Linux 6.2 on; elsewhere 1 µs for each file."""
    try:
        counted = os.stat("/proc/self/fd").st_size if sys.platform == "linux" else 0
        return counted or len(os.listdir("/dev/fd"))
    except OSError:  # to list them takes a file
        return sys.maxsize

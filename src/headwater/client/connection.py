"""HTTP for the client: requests to one server, and a streaming response read as frames."""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

import httpx
import msgspec

from headwater.client.failures import NothingListens, Unreachable, refusal, shown, unexpected
from headwater.client.frames import Frame, Parser
from headwater.client.patience import Patience
from headwater.errors import RequestError
from headwater.version import VERSION

Shape = TypeVar("Shape")

EVENTS = "text/event-stream"
JSON = "application/json"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Connection:
    """One streaming response, read as Server-Sent Events."""

    def __init__(self, response: httpx.Response, silence: float) -> None:
        self._response = response
        self._chunks: AsyncIterator[bytes] = response.aiter_bytes()
        self._parser = Parser()
        self._silence = silence

    @property
    def retry(self) -> float | None:
        """Seconds to wait before reconnecting, if the server sent `retry:`."""
        return None if self._parser.retry is None else self._parser.retry / 1000

    async def read(self) -> list[Frame]:
        """Wait for the next bytes and return the frames that they complete, possibly none.

        Raises `Unreachable` if the connection breaks, closes or stays silent for too long.
        """
        try:
            chunk = await anext(self._chunks, None)
        except httpx.ReadTimeout as error:
            raise Unreachable(f"the server has sent nothing for {self._silence:g} s") from error
        except (httpx.RequestError, httpx.StreamError) as error:
            raise Unreachable("the connection broke") from error
        if chunk is None:
            raise Unreachable("the connection closed before the end of the answer")
        return self._parser.feed(chunk)

    async def aclose(self) -> None:
        """Close the connection. May be called again."""
        await self._response.aclose()


class Server:
    """Makes requests to one server, and raises unsuccessful responses as the errors that they describe."""

    def __init__(self, base_url: str, headers: Mapping[str, str], patience: Patience) -> None:
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise RequestError(f'"{base_url}" is not an address; write it as http://127.0.0.1:8000') from error
        if url.scheme not in ("http", "https") or not url.host:
            raise RequestError(f'"{base_url}" is not an address; write it as http://127.0.0.1:8000')
        self._patience = patience
        local = url.host in _LOOPBACK
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"User-Agent": f"headwater/{VERSION}", **headers},
            timeout=httpx.Timeout(patience.silence, connect=patience.connect, pool=None),
            # Every answer being read holds a connection; with a limit, the next request would wait for one.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            # A proxy named by the environment cannot reach this machine's loopback address.
            trust_env=not local,
            # Without TLS, skip loading the CA certificates: that takes longer than the rest of this constructor.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if local and url.scheme == "http" else True,
        )

    async def open(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> httpx.Response:
        """Send a request and return the response with its body unread; the caller closes it.

        Raises `Unreachable`, `NotHeadwater`, or the error that the server's problem JSON describes.
        """
        request = self._http.build_request(method, path, headers=headers, content=body)
        try:
            response = await self._http.send(request, stream=True)
            if response.is_success:
                return response
            try:
                await response.aread()
            finally:
                await response.aclose()
        except httpx.ConnectError as error:
            raise _unconnected(error, shown(self._http.base_url)) from error
        except httpx.ConnectTimeout as error:
            where = shown(self._http.base_url)
            raise NothingListens(f"no connection to {where} within {self._patience.connect:g} s") from error
        except httpx.RequestError as error:
            raise Unreachable(f"the address {shown(request.url)} did not answer") from error
        raise refusal(response)

    async def stream(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[httpx.Response, Connection | None]:
        """Send a request for Server-Sent Events; the connection is None for an empty response (204).

        Raises as `open` does, and `NotHeadwater` for another content type.
        """
        response = await self.open(method, path, headers={"Accept": EVENTS, **headers}, body=body)
        if response.status_code == 204:
            await response.aclose()
            return response, None
        media_type = response.headers.get("content-type", "none")
        if media_type.partition(";")[0].strip().lower() != EVENTS:
            await response.aclose()
            raise unexpected(response.request, f"answered with the content type {media_type}, not {EVENTS}")
        return response, Connection(response, self._patience.silence)

    async def read(self, method: str, path: str, body: bytes = b"") -> httpx.Response:
        """Send a request and read its response. Raises as `open` does."""
        response = await self.open(method, path, headers={"Accept": JSON, "Content-Type": JSON}, body=body)
        try:
            await response.aread()
        except httpx.RequestError as error:
            raise Unreachable(f"the answer of {shown(response.request.url)} broke off") from error
        finally:
            await response.aclose()
        return response

    async def get(self, method: str, path: str, shape: type[Shape], body: bytes = b"") -> Shape:
        """Send a request and decode its JSON response as `shape`, an empty one as null. Raises as `open` does."""
        response = await self.read(method, path, body)
        try:
            return msgspec.json.decode(response.content or b"null", type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise unexpected(response.request, "answered with unexpected JSON") from error

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()


def written(fields: Mapping[str, Any]) -> bytes:
    """The JSON of a request, without the fields that are None."""
    # ASCII-only, because UTF-8 cannot encode an unpaired surrogate.
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def _unconnected(error: httpx.ConnectError, where: str) -> Unreachable:
    """Why no connection could be opened: the name, the certificate, or that nobody is there."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return NothingListens(f"there is no server of the name in {where}")
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Unreachable(f"no safe connection to {where}: its certificate is not valid or not trusted here")
        if isinstance(cause, ssl.SSLError):
            return Unreachable(f"no safe connection to {where}: it does not speak TLS; try http:// instead")
        cause = cause.__cause__ or cause.__context__
    return NothingListens(f"nothing listens at {where}")

"""OpenAI's client over Headwater's connections: the `async_client` of LangChain's models.

OpenAI's own client still writes the request, signs it, retries it and raises its exceptions. Only the connections
beneath it, and the decoding of the stream, are ours.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

import aiohttp
import httpx2
import msgspec
import openai
from langchain_openai import StreamChunkTimeoutError

from headwater.errors import ModelError
from headwater.models.langchain.mending import Mending, merged
from headwater.models.openai.connection import Account, Connections, Grace, read
from headwater.models.openai.fields import Fields
from headwater.models.openai.lines import ErrorFrame, Lines

_decoder = msgspec.json.Decoder(dict[str, Any])
_BODY = "headwater.body"  # the name among a response's extensions


def has_own_client(model: Any) -> bool:
    """Whether the user of a LangChain model has configured its HTTP client or sockets, which must stay in use then."""
    own = model.http_async_client is not None and not isinstance(model.http_async_client, Client)
    own_http = own and not getattr(model, "openai_proxy", None)
    own_sockets = getattr(model, "http_socket_options", None) is not None
    return own_http or own_sockets or not isinstance(getattr(model.async_client, "_client", None), openai.AsyncOpenAI)


def direct_client(model: Any, last: "Completions | None", silence: float | None = None) -> "Completions | None":
    """The client of a LangChain model over our connections; None where the user's own client must stay in use.

    `last` is reused while client and limit are unchanged.
    """
    if has_own_client(model):
        return None
    if last is not None and last.sdk is model.async_client and last.silence == silence:
        return last
    return Completions(model.async_client, silence, getattr(model, "openai_proxy", None))


class Completions:
    """The client's `chat.completions` or `completions`, as far as LangChain needs it to stream."""

    def __init__(self, sdk: Any, silence: float | None, proxy: str | None) -> None:
        self.sdk = sdk
        self.silence = silence
        client = sdk._client
        if not isinstance(client._client, Client):
            client = client.with_options(http_client=Client(Connections(Account(str(client.base_url), proxy=proxy))))
        self._fields: Fields = client._client.connections.fields
        self._completions = type(sdk)(client)

    async def create(self, **payload: Any) -> "Chunks":
        """Send the request; the chunks of the answer are plain dictionaries."""
        while True:
            sent = self._fields.adapted(payload, chat="messages" in payload)
            request = self._completions.with_streaming_response.create(**sent)
            try:
                response = (await request.__aenter__()).http_response
            except openai.APIStatusError as refusal:
                if self._fields.learn(refusal.status_code, f"{refusal.message} {refusal.body}", sent):
                    continue
                raise
            return Chunks(response, self.silence, payload)


class Chunks:
    """The chunks of one answer, with all text of one read of the socket in one chunk; closed with the context."""

    def __init__(self, response: httpx2.Response, silence: float | None, payload: dict[str, Any]) -> None:
        self._response = response
        self._body: _Body = response.extensions[_BODY]
        self._lines = Lines(_decoder)
        self._mending = Mending(chat="messages" in payload)
        self._model = str(payload.get("model"))
        self._merges = not payload.get("logprobs")
        self._count = 0
        self._silence = silence if silence and silence > 0 else None
        self._since: float | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._silence, self._look) if self._silence else None
        self._late = False
        self._grace = Grace()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        lines = self._lines
        while not lines.done and lines.failure is None:
            data = await self._read()
            chunks = lines.chunks(data) if data else lines.rest(begun=self._count > 0)
            self._count += len(chunks)
            mended = self._mended(chunks)
            for chunk in merged(mended) if self._merges else mended:
                yield chunk
        failure = lines.failure
        if isinstance(failure, ErrorFrame):
            raise openai.APIError(failure.message, self._response.request, body=failure.body)
        if failure is not None and not self._mending.ended:
            raise failure
        for chunk in self._mending.ending(lines.told_end):
            yield chunk

    def _mended(self, chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The chunks as OpenAI would send them, up to a failure."""
        mended: list[dict[str, Any]] = []
        for chunk in chunks:
            # An error also comes bare, from servers that do not wrap it.
            if error := chunk.get("error") or (not chunk.get("choices") and chunk.get("message") and chunk):
                self._lines.failure = ErrorFrame(error)
                break
            try:
                mended += self._mending.chunk(chunk)
            except ModelError as failure:
                self._lines.failure = failure  # after the chunks before it
                break
        return mended

    async def aclose(self) -> None:
        """Release the provider's connection, which is kept only after a whole answer."""
        if self._timer is not None:
            self._timer.cancel()
        self._body.done = self._lines.told_end
        await self._response.aclose()

    async def _read(self) -> bytes:
        content = self._body.response.content
        if self._mending.ended:
            return await self._grace.read(content)
        self._since = self._loop.time() if self._silence else None
        try:
            return await read(content)
        except (aiohttp.ClientError, OSError) as failure:
            if self._late and self._silence:
                raise StreamChunkTimeoutError(
                    self._silence, model_name=self._model, chunks_received=self._count
                ) from failure
            if isinstance(failure, TimeoutError):
                raise openai.APITimeoutError(self._response.request) from failure
            raise openai.APIConnectionError(request=self._response.request) from failure
        finally:
            self._since = None

    def _look(self) -> None:
        """Close the response if the current read has waited too long; one timer serves all chunks."""
        assert self._silence is not None
        waited = 0.0 if self._since is None else self._loop.time() - self._since
        if waited >= self._silence:
            self._late = True
            self._body.response.close()
        else:
            self._timer = self._loop.call_later(self._silence - waited, self._look)


class Client(openai.DefaultAsyncHttpxClient):
    """OpenAI's HTTP client over our connections, which it closes with itself."""

    def __init__(self, connections: Connections, timeout: openai.Timeout | None = None) -> None:
        limits: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        super().__init__(transport=_Transport(connections), **limits)
        self.connections = connections


class _Body(httpx2.AsyncByteStream):
    """The body of a response, after its head."""

    def __init__(self, response: aiohttp.ClientResponse, connections: Connections) -> None:
        self.response = response
        self.done = False
        self._connections = connections

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await read(self.response.content):
            yield data

    async def aclose(self) -> None:
        self._connections.release(self.response, self.done)


class _Transport(httpx2.AsyncBaseTransport):
    """Carries the client's requests over our connections."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def aclose(self) -> None:
        await self._connections.aclose()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        limits: dict[str, float | None] = request.extensions.get("timeout") or {}
        timeout = aiohttp.ClientTimeout(None, sock_connect=limits.get("connect"), sock_read=limits.get("read"))
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
        headers["accept-encoding"] = "identity"  # a compressor on the way would hold tokens back
        try:
            response = await self._connections.request(
                request.method, str(request.url), data=await request.aread(), headers=headers, timeout=timeout
            )
        except aiohttp.ServerTimeoutError as failure:
            raise httpx2.ReadTimeout(str(failure), request=request) from failure
        # `Content-Encoding` describes the body before aiohttp decoded it.
        kept = [(name, value) for name, value in response.headers.items() if name.lower() != "content-encoding"]
        body = _Body(response, self._connections)
        return httpx2.Response(response.status, headers=kept, stream=body, extensions={_BODY: body})

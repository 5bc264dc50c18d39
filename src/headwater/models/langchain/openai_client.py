"""OpenAI's client with its streams read by Headwater's wire: what LangChain's models hold as their `async_client`.

The client itself writes the request, signs it, retries it and names what goes wrong, so that all of that stays as it
is; the connections beneath it are ours, and so is the reading of what comes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Self

import aiohttp
import httpx2
import msgspec
import openai
from langchain_openai import StreamChunkTimeoutError

from headwater.models.openai.connection import Account, Connections, let_go, read
from headwater.models.openai.lines import ErrorFrame, Lines

_decoder = msgspec.json.Decoder(dict[str, Any])
_TEXTS = ("content", "reasoning_content", "reasoning")
_NO_TEXT = ("tool_calls", "function_call", "refusal")


def has_own_client(model: Any) -> bool:
    """Whether a LangChain model's user decides how it connects, so that the wire is not to take over."""
    own_http = model.http_async_client is not None and not getattr(model, "openai_proxy", None)
    own_sockets = getattr(model, "http_socket_options", None) is not None
    return own_http or own_sockets or not isinstance(getattr(model.async_client, "_client", None), openai.AsyncOpenAI)


def over_wire(model: Any, made: "Completions | None", silence: float | None = None) -> "Completions | None":
    """The client of a LangChain model, over the wire, where it can be.

    `made` is the one that was made before, for as long as it is of the same client and limit.
    """
    if has_own_client(model):
        return None
    if made is not None and made.sdk is model.async_client and made.silence == silence:
        return made
    return Completions(model.async_client, silence, getattr(model, "openai_proxy", None))


class Completions:
    """The client's `chat.completions` or `completions`, as much of it as LangChain needs to stream, over the wire."""

    def __init__(self, sdk: Any, silence: float | None, proxy: str | None) -> None:
        self.sdk = sdk
        self.silence = silence
        client = sdk._client
        transport = _Transport(Connections(Account(str(client.base_url), proxy=proxy)))
        wired = client.with_options(http_client=openai.DefaultAsyncHttpxClient(transport=transport))
        self._wired = type(sdk)(wired)

    async def create(self, **payload: Any) -> "Chunks":
        """Ask; the chunks come as plain dictionaries."""
        asking = self._wired.with_streaming_response.create(**payload)
        response = (await asking.__aenter__()).http_response
        return Chunks(response, self.silence, payload)


class Chunks:
    """The chunks of one answer, the text of one read of the socket in one of them; ends with the context."""

    def __init__(self, response: httpx2.Response, silence: float | None, payload: dict[str, Any]) -> None:
        self._response = response
        self._body: _Body = response.extensions["wire"]
        self._lines = Lines(_decoder)
        self._ready: deque[dict[str, Any]] = deque()
        self._model = str(payload.get("model"))
        self._merges = not payload.get("logprobs")
        self._told = 0
        self._silence = silence if silence and silence > 0 else None
        self._since: float | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._silence, self._look) if self._silence else None
        self._late = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        while not self._ready:
            if isinstance(self._lines.failure, ErrorFrame):
                raise self._failed(self._lines.failure)
            if self._lines.failure is not None:
                raise self._lines.failure
            if self._lines.done:
                raise StopAsyncIteration
            data = await self._read()
            chunks = self._lines.chunks(data) if data else self._lines.rest(begun=self._told > 0)
            self._ready.extend(_merged(chunks) if self._merges else chunks)
        chunk = self._ready.popleft()
        self._told += 1
        if chunk.get("error"):
            raise self._failed(ErrorFrame(chunk["error"]))
        if chunk.get("message") and not chunk.get("choices"):  # an error of servers that do not wrap it
            raise self._failed(ErrorFrame(chunk))
        return chunk

    def _failed(self, error: ErrorFrame) -> openai.APIError:
        return openai.APIError(error.message, self._response.request, body=error.body)

    async def aclose(self) -> None:
        """Let the provider go: its connection is kept only when the answer is whole."""
        if self._timer is not None:
            self._timer.cancel()
        self._body.done = self._lines.done
        await self._response.aclose()

    async def _read(self) -> bytes:
        self._since = self._loop.time() if self._silence else None
        try:
            return await read(self._body.response.content)
        except (aiohttp.ClientError, OSError) as failure:
            if self._late and self._silence:
                raise StreamChunkTimeoutError(
                    self._silence, model_name=self._model, chunks_received=self._told
                ) from failure
            if isinstance(failure, TimeoutError):
                raise openai.APITimeoutError(self._response.request) from failure
            raise openai.APIConnectionError(request=self._response.request) from failure
        finally:
            self._since = None

    def _look(self) -> None:
        """Break a read off that has waited for too long; one timer, not one for each chunk."""
        assert self._silence is not None
        waited = 0.0 if self._since is None else self._loop.time() - self._since
        if waited >= self._silence:
            self._late = True
            self._body.response.close()
        else:
            self._timer = self._loop.call_later(self._silence - waited, self._look)


def _merged(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same chunks, runs of nothing but text made one."""
    merged: list[dict[str, Any]] = []
    kind, said = "", [""]
    for chunk in [*chunks, {}]:
        name, text = _text(chunk)
        if name != kind:
            if kind:
                merged.append(_chunk(kind, "".join(said)))
            kind, said = name, []
        if name:
            said.append(text)
        elif chunk:
            merged.append(chunk)
    return merged


def _text(chunk: dict[str, Any]) -> tuple[str, str]:
    """The one text that a chunk says and under which name; no name where there is more to it."""
    choices = chunk.get("choices")
    if not choices or chunk.get("usage") or chunk.get("error") or (choice := choices[0]).get("finish_reason"):
        return "", ""
    delta = choice.get("delta")
    if delta is None:
        text = choice.get("text")
        return ("text", text) if text and not choice.get("logprobs") else ("", "")
    found = [(name, value) for name in _TEXTS if (value := delta.get(name))]
    if len(found) != 1 or not isinstance(found[0][1], str) or any(delta.get(name) for name in _NO_TEXT):
        return "", ""
    return found[0]


def _chunk(kind: str, said: str) -> dict[str, Any]:
    if kind == "text":
        return {"choices": [{"index": 0, "text": said}]}
    chunk: dict[str, Any] = {"choices": [{"index": 0, "delta": {"role": "assistant", kind: said}}]}
    return {**chunk, "only_text": said} if kind == "content" else chunk


class _Body(httpx2.AsyncByteStream):
    """What follows the head of an answer."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.done = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await read(self.response.content):
            yield data

    async def aclose(self) -> None:
        let_go(self.response, self.done)


class _Transport(httpx2.AsyncBaseTransport):
    """Carries the client's requests over our connections."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        limits: dict[str, float | None] = request.extensions.get("timeout") or {}
        timeout = aiohttp.ClientTimeout(None, sock_connect=limits.get("connect"), sock_read=limits.get("read"))
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
        headers["accept-encoding"] = "identity"  # a compressor on the way would hold tokens back
        try:
            response = await self._connections.carry(
                request.method, str(request.url), await request.aread(), headers, timeout
            )
        except aiohttp.ServerTimeoutError as failure:
            raise httpx2.ReadTimeout(str(failure), request=request) from failure
        except aiohttp.ClientConnectorError as failure:
            raise httpx2.ConnectError(str(failure), request=request) from failure
        except (aiohttp.ClientError, OSError) as failure:
            raise httpx2.ReadError(str(failure), request=request) from failure
        # What is left of them describes the body as it came, not as it is handed on.
        kept = [(name, value) for name, value in response.headers.items() if name.lower() != "content-encoding"]
        body = _Body(response)
        return httpx2.Response(response.status, headers=kept, stream=body, extensions={"wire": body})

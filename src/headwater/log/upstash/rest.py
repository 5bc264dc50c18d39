"""Redis commands over Upstash's REST API: HTTP requests with a time limit, and errors that never show the token.

Requests are JSON text, so bytes among the arguments are text in UTF-8; the caller encodes others. Replies are requested
in base64, so they arrive as the bytes they are. A command whose reply was lost may have been applied and is sent again,
so every command must be safe to repeat.
"""

import asyncio
import base64
import binascii
import random
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import httpx
import msgspec

from headwater.errors import StoreError

Argument = bytes | str | int | float
Reply: TypeAlias = "bytes | int | list[Reply] | None"

MAX_REQUEST = 1_000_000
"""Bytes in a request, which every plan of Upstash takes; larger requests are refused before they are sent."""
ATTEMPTS = 2
"""Attempts to send a request."""
RETRY_PAUSE = 0.1
"""Seconds before the second attempt, plus up to as many more at random, so that requests do not retry all at once."""
CONNECTIONS = 100
"""Requests under way at once; further ones wait."""
LONGEST_RETRY_AFTER = 1.0
"""Seconds of a `Retry-After` header that are waited for here; a longer one is left to the caller."""

_REFUSED = "Upstash refused the token: check UPSTASH_REDIS_REST_TOKEN, which must be the one that may also write"


class TooLarge(StoreError):
    """A request or its reply is larger than Upstash permits."""


class _Passing(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, why: str, pause: float = RETRY_PAUSE) -> None:
        super().__init__(why)
        self.pause = pause


class UpstashRest:
    """One database at its REST address. Use it from one event loop; nothing is opened before the first command.

    `timeout` is in seconds without a sign of life; an attempt that makes progress gets twice as long. `commands` counts
    what was sent and may be billed, the commands of a pipeline singly and second attempts included.
    """

    def __init__(self, url: str, token: str, *, timeout: float = 2.0) -> None:
        self.commands = 0
        self._url = url.strip().rstrip("/")
        self._token = token.strip()
        self._timeout = timeout
        self._client: httpx.AsyncClient | None = None
        self._closed = False
        if not self._url.startswith(("https://", "http://")):
            raise StoreError("UPSTASH_REDIS_REST_URL must be the https:// address that Upstash calls the REST URL")
        if not self._token:
            raise StoreError("UPSTASH_REDIS_REST_TOKEN is empty")

    async def execute(self, *command: Argument) -> Reply:
        """Send one command. Raises `StoreError`, also for what Redis calls an error."""
        return self._result(await self._send("", _written(command), 1))

    async def eval(self, script: str, keys: Sequence[Argument], args: Sequence[Argument]) -> Reply:
        """Run a script, sent in full: trying its digest first would cost a second command whenever it is unknown."""
        return await self.execute("EVAL", script, len(keys), *keys, *args)

    async def pipeline(self, commands: Sequence[Sequence[Argument]]) -> "list[Reply | StoreError]":
        """Send several commands in order, in as few requests as their size allows; each has its own result or error.

        They are not one atomic step. Raises `StoreError` when a whole request failed.
        """
        answers: list[Reply | StoreError] = []
        for batch in _batches([_written(command) for command in commands]):
            found = await self._send("/pipeline", b"[" + b",".join(batch) + b"]", len(batch))
            results = cast("list[Any]", found) if isinstance(found, list) else [found]
            if len(results) != len(batch):
                self._result(found)  # raises the error of the whole request
                raise StoreError(f"the store at Upstash answered {len(batch)} commands with {len(results)} results")
            answers.extend(self._outcome(each) for each in results)
        return answers

    async def aclose(self) -> None:
        """Close the connections; later commands are refused. May be called again."""
        self._closed = True
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def _send(self, path: str, body: bytes, commands: int) -> Any:
        if len(body) > MAX_REQUEST:
            raise TooLarge(f"a request of {len(body)} bytes is more than the {MAX_REQUEST} that Upstash takes")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(path, body, commands)
            except _Passing as failure:
                if attempt == ATTEMPTS or failure.pause > LONGEST_RETRY_AFTER:
                    final = StoreError(f"the store at Upstash failed: {self._scrub(str(failure))}")
                    final.retry_after = failure.pause if failure.pause > RETRY_PAUSE else None
                    raise final from failure.__cause__
                await asyncio.sleep(failure.pause * random.uniform(1, 2))  # noqa: S311 - not a secret
        raise AssertionError

    async def _attempt(self, path: str, body: bytes, commands: int) -> Any:
        if self._closed:
            raise StoreError.closed()
        if self._client is None:
            self._client = self._connect()
        self.commands += commands
        try:
            async with asyncio.timeout(2 * self._timeout):
                response = await self._client.post(self._url + path, content=body)
        except (TimeoutError, httpx.TimeoutException) as late:
            raise _Passing(f"no answer within {self._timeout:g} s") from late
        except httpx.TransportError as error:
            raise _Passing(f"it cannot be reached ({type(error).__name__}: {error})") from error
        except (httpx.InvalidURL, httpx.HTTPError, RuntimeError) as error:
            # RuntimeError: the client was closed while this request was on its way.
            raise StoreError(f"the store at Upstash failed: {self._scrub(str(error))}") from error
        return self._body(response)

    def _connect(self) -> httpx.AsyncClient:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Upstash-Encoding": "base64",
            "User-Agent": "headwater",
        }
        return httpx.AsyncClient(
            headers=headers,
            timeout=self._timeout,
            # Longer than polls and writers pause, because a new connection takes three round trips.
            limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=30),
            # A plain http:// address, of a test or a proxy, has no certificate to check, and loading ours takes 20 ms.
            verify=self._url.startswith("https:"),
        )

    def _body(self, response: httpx.Response) -> Any:
        status = response.status_code
        if status in (401, 403):
            raise StoreError(f"{_REFUSED} ({status}: {self._complaint(response)})")
        if status == 429 or status >= 500:
            raise _Passing(f"it answered {status}: {self._complaint(response)}", _retry_after(response))
        if status == 413:
            raise TooLarge(f"the store at Upstash refused: 413 {self._complaint(response)}")
        if status not in (200, 400):
            raise StoreError(f"the store at Upstash refused: {status} {self._complaint(response)}")
        try:
            return msgspec.json.decode(response.content)
        except msgspec.MsgspecError as broken:
            if status == 400:
                raise StoreError(f"the store at Upstash refused: 400 {self._complaint(response)}") from broken
            raise StoreError("what answers at UPSTASH_REDIS_REST_URL does not speak Upstash's REST API") from broken

    def _complaint(self, response: httpx.Response) -> str:
        """The error message in the body, as one line."""
        try:
            found = msgspec.json.decode(response.content, type=dict[str, Any]).get("error", "")
        except msgspec.MsgspecError:
            found = response.text
        return self._scrub(" ".join(str(found).split()))[:200]

    def _result(self, found: Any) -> Reply:
        outcome = self._outcome(found)
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome

    def _outcome(self, found: Any) -> "Reply | StoreError":
        match found:
            case {"error": str(why)}:
                kind = TooLarge if "max request size" in why else StoreError
                return kind(f"the store at Upstash refused: {self._scrub(why)[:300]}")
            case {"result": result}:
                return _decoded(result)
            case _:
                return StoreError("what answers at UPSTASH_REDIS_REST_URL does not speak Upstash's REST API")

    def _scrub(self, words: str) -> str:
        return words.replace(self._token, "…")


def _written(command: Sequence[Argument]) -> bytes:
    # Numbers as text, as Redis takes them: as JSON they could be written in another notation. Half of a surrogate pair,
    # from a client's URL, is part of no id that exists, and cannot be sent.
    return msgspec.json.encode(
        [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in command]
    )


def _batches(written: Sequence[bytes]) -> list[list[bytes]]:
    """The commands in groups that each fit into a request; `_send` refuses one that fits into none."""
    groups: list[list[bytes]] = []
    room = 0
    for command in written:
        if not groups or len(command) + 1 > room:
            groups.append([])
            room = MAX_REQUEST - 2
        groups[-1].append(command)
        room -= len(command) + 1
    return groups


def _decoded(result: Any) -> Reply:
    match result:
        case None | int():
            return result
        case "OK":  # the only string that is not encoded; no base64 has two characters
            return b"OK"
        case str():
            try:
                return base64.b64decode(result, validate=True)
            except binascii.Error as broken:
                raise StoreError("the store at Upstash answered with something that is not base64") from broken
        case list():
            return [_decoded(each) for each in result]  # pyright: ignore[reportUnknownVariableType]
        case _:
            raise StoreError(f"the store at Upstash answered with {type(result).__name__}, which Redis does not know")


def _retry_after(response: httpx.Response) -> float:
    try:
        return max(float(response.headers.get("Retry-After", RETRY_PAUSE)), RETRY_PAUSE)
    except ValueError:
        return RETRY_PAUSE

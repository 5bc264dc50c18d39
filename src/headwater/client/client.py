"""Asks a Headwater server, and gives answers that resume by themselves."""

import json
import secrets
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import msgspec

from headwater.client.answer import Answer, Persistence
from headwater.client.connection import Server
from headwater.client.failures import unexpected
from headwater.client.patience import Attempts, Notice, Patience
from headwater.offsets import ORIGIN, Offset, parse


class About(msgspec.Struct, frozen=True):
    """What a server says of itself."""

    version: str
    model: str
    demo: bool = False
    """Whether the model only shows that everything works, and its answers are worth nothing."""
    notice: str | None = None


class Client:
    """A client of one server, named by its address, with a path if the routes are mounted under one.

    `headers` go with every request (an `Authorization`, say). `on_retry` is called before each new attempt with the
    reason and the seconds until then. Use it as a context manager: it owns the connections of its answers.
    Raises `RequestError` for a `base_url` that is none.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        headers: Mapping[str, str] | None = None,
        patience: Patience = Patience(),  # noqa: B008 - immutable
        on_retry: Notice | None = None,
    ) -> None:
        self._server = Server(base_url, headers or {}, patience)
        self._persistence = Persistence(patience, on_retry)

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        temperature: float | None = None,
        no_cache: bool = False,
        **fields: Any,
    ) -> Answer:
        """Ask for the next turn of a chat, `[{"role": …, "content": …}, …]`; `fields` go along as they are.

        Returns when the server knows whether there will be an answer: at its first token, or after 2 s. Raises what
        the server refuses with (`InvalidPrompt`, `UnknownModel`, `ModelError`, …), `Unreachable` or `NotHeadwater`.
        """
        asked = {"messages": [dict(message) for message in messages], "model": model, "temperature": temperature}
        return await self._ask("/api/stream/completion/chat", asked | fields, no_cache)

    async def complete(
        self,
        text: str,
        *,
        model: str | None = None,
        temperature: float | None = None,
        no_cache: bool = False,
        **fields: Any,
    ) -> Answer:
        """Ask for the continuation of a text; otherwise like `chat`."""
        asked = {"message": text, "model": model, "temperature": temperature}
        return await self._ask("/api/stream/completion", asked | fields, no_cache)

    async def attach(self, location: str, after: Offset | str | None = None) -> Answer:
        """Read an answer that was asked for before: by its location or id, from its beginning or after an offset.

        A log that failed is told as such by its events. Raises `NoSuchLog`, `Expired`, `RequestError` for what is not
        an offset, `Unreachable` or `NotHeadwater`.
        """
        begin = parse(after) if isinstance(after, str) else after or ORIGIN
        answer = Answer(self._server, location, self._persistence, after=begin)
        await answer.connect()
        return answer

    async def about(self) -> About:
        """What the server says of itself. One attempt; raises `NothingListens`, `Unreachable` or `NotHeadwater`."""
        return await self._server.get("GET", "/api/about", About)

    async def aclose(self) -> None:
        """Close every connection; answers that are being written go on."""
        await self._server.aclose()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.aclose()

    async def _ask(self, path: str, asked: dict[str, Any], no_cache: bool) -> Answer:
        # ASCII, because half of a surrogate pair cannot be told in UTF-8 and must not break the client.
        body = json.dumps({name: value for name, value in asked.items() if value is not None}).encode()
        # The key makes it safe to send the same request again when no answer came: it joins the first run.
        headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(16)}
        if no_cache:
            headers["Cache-Control"] = "no-cache"
        patience, notice = self._persistence
        attempts = Attempts(patience, patience.requests, notice)
        response, connection = await attempts.persist(lambda: self._server.stream("POST", path, headers, body))
        location = response.headers.get("location")
        if location is None or connection is None:
            await response.aclose()
            raise unexpected(response.request, "answered without saying where the answer can be read again")
        return Answer(self._server, location, self._persistence, opened=(response, connection))

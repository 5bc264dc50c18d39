"""`Client`: asks a Headwater server and returns answers that reconnect by themselves."""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headwater.client.answer import Answer
from headwater.client.connection import Server
from headwater.client.conversations import Conversations
from headwater.client.patience import Notice, Patience, Persistence
from headwater.client.reader import Reader
from headwater.errors import Expired, RequestError
from headwater.offsets import ORIGIN, Offset, parse_with_run, run_of


class About(msgspec.Struct, frozen=True):
    """A server's description of itself, from `GET /api/about`."""

    version: str
    model: str
    demo: bool = False
    """Whether the model is only a demonstration, whose answers are worthless."""
    notice: str | None = None
    problem: str | None = None
    """Why the server cannot answer at the moment, and what to do; None if it can."""


class Client:
    """A client of the server at `base_url`, which includes the path under which the routes are mounted, if any.

    `api_key` is for a server that needs one. `headers` are sent with every request. `on_retry` is called before each
    retry with the reason and the seconds until the retry. The client is a context manager; closing it closes the
    connections of its answers. Raises `RequestError` for a `base_url` that is no HTTP address, or a malformed key.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        patience: Patience = Patience(),  # noqa: B008 - immutable
        on_retry: Notice | None = None,
    ) -> None:
        self._server = Server(base_url, {**_bearer(api_key), **(headers or {})}, patience)
        self._persistence = Persistence(patience, on_retry)
        self.conversations = Conversations(self._server, self._persistence)

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]] | str,
        *,
        model: str | None = None,
        temperature: float | None = None,
        no_cache: bool = False,
        **fields: Any,
    ) -> Answer:
        """Ask for the next turn of a chat, `[{"role": …, "content": …}, …]` or one question as text.

        `fields` are sent unchanged. Returns at the first token or after 2 s, whichever is first. Raises the server's
        refusal (`InvalidPrompt`, `UnknownModel`, `ModelError`, …), `Unreachable` or `NotHeadwater`.
        """
        turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        body = {"messages": [dict(message) for message in turns], "model": model, "temperature": temperature}
        return await self._ask("/api/stream/completion/chat", body | fields, no_cache)

    async def complete(
        self,
        text: str,
        *,
        model: str | None = None,
        temperature: float | None = None,
        no_cache: bool = False,
        **fields: Any,
    ) -> Answer:
        """Ask for the continuation of a text. Otherwise the same as `chat`."""
        body = {"message": text, "model": model, "temperature": temperature}
        return await self._ask("/api/stream/completion", body | fields, no_cache)

    async def attach(self, location: str, after: Offset | str | None = None) -> Answer:
        """Read an existing answer, by its location or id, from its beginning or after an offset.

        The offset is the `id` of an event of this log, from a stream in any dialect. An answer that failed ends with an
        `Error` event and raises nothing here. Raises `NoSuchLog`, `Expired` also for an offset of another log,
        `RequestError` for a malformed one, `Unreachable` or `NotHeadwater`.
        """
        begin, run = parse_with_run(after) if isinstance(after, str) else (after or ORIGIN, "")
        reader = Reader(self._server, location, self._persistence, after=begin)
        if run not in ("", run_of(reader.id)):
            raise Expired(f"offset {after} is of another log than {reader.id}; read this one from the beginning")
        await reader.connect()
        return Answer(reader)

    async def about(self) -> About:
        """Describe the server, in one attempt. Raises `NothingListens`, `Unreachable` or `NotHeadwater`."""
        return await self._server.get("GET", "/api/about", About)

    async def aclose(self) -> None:
        """Close every connection. The server goes on writing its answers."""
        await self._server.aclose()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _ask(self, path: str, fields: dict[str, Any], no_cache: bool) -> Answer:
        # The key makes the POST safe to repeat: a second one joins the generation that the first one started.
        headers = {"Idempotency-Key": secrets.token_hex(16), **({"Cache-Control": "no-cache"} if no_cache else {})}
        return Answer(await Reader.ask(self._server, path, fields, headers, self._persistence))


def _bearer(api_key: str | None) -> dict[str, str]:
    if api_key is None:
        return {}
    # Checked here, since the HTTP library would quote the key in its error.
    if not re.fullmatch(r"[!-~]+", api_key.strip()):
        raise RequestError("the API key is empty, or has a blank or another character that no key has; copy it anew")
    return {"Authorization": f"Bearer {api_key.strip()}"}

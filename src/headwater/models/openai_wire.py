"""Models behind OpenAI's chat and completion APIs, spoken directly: a tenth of what the same costs through LangChain.

OpenAI's client builds a validated object of every chunk, and LangChain a message of every object, which together cost
more than everything else a token goes through here. What this wire does not speak, `covers` says, and a fallback
answers: OpenAI's Responses API, and prompts that LangChain would rewrite.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headwater.errors import ModelError
from headwater.events import Event
from headwater.models import openai
from headwater.models.model import Model
from headwater.models.openai import CONNECT_TIMEOUT
from headwater.models.openai_request import Kind, body, is_plain
from headwater.models.openai_stream import CompletionStream, Stream
from headwater.models.scrub import as_model_error
from headwater.prompt import Prompt
from headwater.version import VERSION

if TYPE_CHECKING:
    import aiohttp

OPENAI = "https://api.openai.com/v1"

MAX_REFUSAL = 64 * 1024
"""Bytes of an error's body that are read."""

DRAINING = 1.0
"""Seconds a provider may take to end its response after `[DONE]`, so that its connection can be used again."""

# Those that OpenAI serves through its Responses API only, or with tools only there.
_RESPONSES_ONLY = re.compile(
    r"gpt-5(\.\d+)?-pro|gpt-5\.6-sol|gpt-[6-9]|.*codex|.*deep-research|computer-use", re.IGNORECASE
)


def covers(name: str, base_url: str | None = None) -> bool:
    """Whether a LangChain name is of a model that this wire can speak to; all others are LangChain's.

    At another address than OpenAI's the names are that server's own, and a chat API is what it serves.
    """
    provider, colon, model = name.partition(":")
    if not colon:
        provider, model = "openai", name
        if not re.match(r"gpt-|chatgpt-|o\d", name):
            return False
    if provider not in ("openai", "openai-completion"):
        return False
    return base_url is not None or provider == "openai-completion" or not _RESPONSES_ONLY.match(model)


def from_name(
    name: str, *, api_key: str | None = None, base_url: str | None = None, max_tokens: int | None = None
) -> Model:
    """The model of a LangChain name: spoken to directly where that is possible, through LangChain where not."""
    through = openai.from_name(name, api_key=api_key, base_url=base_url, max_tokens=max_tokens)
    if not covers(name, base_url):
        return through
    # Only the first colon separates: names of fine-tuned models hold more of them.
    provider, _, model = name.partition(":") if name.startswith("openai") else ("openai", "", name)
    kind: Kind = "completion" if provider == "openai-completion" else "chat"
    return OpenAIWire(model, kind, api_key=api_key, base_url=base_url, max_tokens=max_tokens, fallback=through)


class _Answer(NamedTuple):
    """The provider's status and headers, as `scrub` looks for them."""

    status_code: int
    headers: Mapping[str, str]


class _Refused(Exception):
    """The provider answered with an HTTP error."""

    def __init__(self, response: _Answer, body: object, text: str) -> None:
        super().__init__(text or f"HTTP {response.status_code}")
        self.response = response
        self.body = body


class OpenAIWire:
    """A model at an OpenAI-compatible address, by its own connections; chat or completion.

    `fallback` answers the prompts that are not plain (`openai_request.is_plain`); without one they are refused.
    `max_tokens` is what an answer may have where the request says nothing. Nothing here retries or limits how long the
    provider may think: the generation does. One event loop at a time; in another one it connects anew.
    """

    def __init__(
        self,
        model: str,
        kind: Kind = "chat",
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        max_tokens: int | None = None,
        fallback: Model | None = None,
    ) -> None:
        self.name = f"openai:{model}" if kind == "chat" else f"openai-completion:{model}"
        self._model = model
        self._kind: Kind = kind
        self._key = api_key
        self._address = (base_url or OPENAI).rstrip("/") + ("/chat/completions" if kind == "chat" else "/completions")
        self._max_tokens = max_tokens
        self._fallback = fallback
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: set[asyncio.Task[None]] = set()

    async def prepare(self) -> None:
        """Import what the first request needs, so that it does not wait for it. Raises `ModelError`."""
        self._connected()

    async def aclose(self) -> None:
        """Close the connections to the provider; a later use opens new ones."""
        session, self._session = self._session, None
        if session is not None and self._loop is asyncio.get_running_loop():
            for task in self._draining:
                task.cancel()
            await session.close()
        close = getattr(self._fallback, "aclose", None)
        if close is not None:
            await close()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """The events of one answer; see `headwater.models.model.Model.stream`."""
        if not is_plain(prompt, self._kind):
            if self._fallback is None:
                raise ModelError("the messages cannot be read by this API", code="invalid_prompt", status=422)
            async with aclosing(self._fallback.stream(prompt)) as batches:
                async for batch in batches:
                    yield batch
            return
        reading = Stream() if self._kind == "chat" else CompletionStream()
        response: aiohttp.ClientResponse | None = None
        try:
            response = await self._ask(prompt)
            content = response.content
            while not reading.done and (data := await _read(content, reading)):
                if batch := reading.feed(data):
                    yield batch
                if reading.failure is not None:
                    raise reading.failure
            if ending := reading.finish():
                yield ending
        except ModelError:
            raise
        except Exception as failure:  # the one boundary to foreign code: a client's library may raise anything
            answering = response is not None or _was_connected(failure)
            raise as_model_error(failure, secrets=[self._key] if self._key else [], answering=answering) from failure
        finally:
            if response is not None:
                self._let_go(response, reading.done)

    async def _ask(self, prompt: Prompt) -> "aiohttp.ClientResponse":
        asked = msgspec.json.encode(body(prompt, self._kind, self._model, self._max_tokens))
        response = await self._connected().post(self._address, data=asked)
        if response.status == 200:
            return response
        async with response:
            said = await response.content.read(MAX_REFUSAL)
        text = said.decode(errors="replace")
        try:
            told = msgspec.json.decode(said, type=dict[str, Any])
        except msgspec.MsgspecError:
            told = None
        raise _Refused(_Answer(response.status, response.headers), told and told.get("error", told), text)

    def _connected(self) -> "aiohttp.ClientSession":
        loop = asyncio.get_running_loop()
        if self._session is not None and self._loop is loop:
            return self._session
        if self._key is None and self._address.startswith(OPENAI):
            raise ModelError(
                f"the model {self.name} cannot be used: OPENAI_API_KEY is not set", code="model_unavailable", status=503
            )
        import aiohttp

        headers = {
            "Authorization": f"Bearer {self._key or 'none'}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a compressor on the way would hold tokens back
            "User-Agent": f"headwater/{VERSION}",
        }
        # No limit on connections: each open answer holds one, and a queue for them would look like a silent model.
        tls: Any = _trust() if self._address.startswith("https") else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,  # proxies, as OpenAI's own client takes them
        )
        self._loop = loop
        return self._session

    def _let_go(self, response: "aiohttp.ClientResponse", done: bool) -> None:
        """Give the connection back when the answer is whole; close it at once when not, so that nobody pays for it."""
        if response.content.at_eof():
            response.release()
        elif done:
            task = asyncio.create_task(_drain(response))
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)
        else:
            response.close()


async def _read(content: "aiohttp.StreamReader", reading: Stream) -> bytes:
    """All that has come since the last look; empty at the end."""
    try:
        return await content.readany()
    except Exception:
        # What came before the connection broke is waiting behind the exception; it was said, so it is passed on, and
        # the next look raises.
        held: Any = getattr(content, "_buffer", None)
        if not held:
            raise
        data = b"".join(held)
        held.clear()
        return data


async def _drain(response: "aiohttp.ClientResponse") -> None:
    try:
        async with asyncio.timeout(DRAINING):
            while await response.content.readany():
                pass
        response.release()
    except Exception:  # noqa: BLE001 - the answer is whole; whatever happens to the connection now is no failure
        response.close()
    finally:
        if not response.closed and not response.content.at_eof():
            response.close()


def _was_connected(failure: Exception) -> bool:
    """Whether the provider had been reached when this happened."""
    names = {base.__name__ for base in type(failure).__mro__}
    return "ClientConnectorError" not in names and "ClientOSError" in names


def _trust() -> ssl.SSLContext:
    """The system's certificates; those of certifi where a Python has none of its own."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        import certifi

        context.load_verify_locations(certifi.where())
    return context

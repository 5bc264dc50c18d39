"""Models behind OpenAI's chat and completion APIs, called directly, at a fraction of the cost of calling LangChain.

OpenAI's client builds a validated object of every chunk, and LangChain a message of every object; together they cost
more than all other work on a token. `names.covers` and `request.is_plain` say what this model cannot do: OpenAI's
Responses API, and prompts that LangChain would rewrite. A fallback answers those. `models/langchain/openai_classes.py`
reads streams in the same way inside a LangChain chat model and a LangChain LLM.
"""

from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import ModelError
from headwater.models.continuation import Continuation, Events
from headwater.models.model import Closes, Model, Shown
from headwater.models.openai.answering import answered, refused
from headwater.models.openai.connection import Account, Connections
from headwater.models.openai.names import Kind
from headwater.models.openai.request import LIMIT, body, is_plain
from headwater.models.openai.stream import CompletionStream, Stream
from headwater.models.prefill import COMPLETION, at, of_setting
from headwater.models.scrub import missing
from headwater.prompt import Prompt

if TYPE_CHECKING:
    import aiohttp

PATHS: dict[Kind, str] = {"chat": "/chat/completions", "completion": "/completions"}
"""The path of each API at a provider's address."""


class OpenAIModel:
    """A model at an OpenAI-compatible address, over its own connections; chat or completion.

    `defaults` are fields of the request's body where the prompt leaves them open. `fallback` answers the prompts that
    are not plain (`request.is_plain`); without one they are refused. Nothing here retries or limits how long the
    provider may think: the generation does. Every event loop has its own connections. `connections` that are passed in
    may serve other models of the account too, and stay open.
    """

    def __init__(
        self,
        model: str,
        kind: Kind = "chat",
        account: Account = Account(),  # noqa: B008 - immutable
        *,
        defaults: Mapping[str, Any] | None = None,
        fallback: Model | None = None,
        connections: Connections | None = None,
    ) -> None:
        self.name = f"openai:{model}" if kind == "chat" else f"openai-completion:{model}"
        self._model = model
        self._kind: Kind = kind
        self._account = account
        self._defaults = defaults or {}
        self._fallback = fallback
        self._shared = connections is not None
        self._connections = connections or Connections(account)
        setting = of_setting(account.prefill, self.name)
        self._prefill = at(account.address, setting) if kind == "chat" or setting == "off" else COMPLETION
        self._continuation = Continuation(self.stream)

    async def prepare(self) -> None:
        """Import what the first request needs, so that it does not wait for that. Raises `ModelError`."""
        if self._account.key is None and self._account.is_openai:
            raise ModelError(missing(self.name, "OPENAI_API_KEY"), code="model_unavailable", status=503)
        await self._connections.session()

    async def aclose(self) -> None:
        """Close the model's own connections to the provider; a later use opens new ones."""
        if not self._shared:
            await self._connections.aclose()
        if isinstance(self._fallback, Closes):
            await self._fallback.aclose()

    def continues(self, prompt: Prompt) -> bool:
        """Whether the provider goes on with answers; see `headwater.models.model.Continues`."""
        return is_plain(prompt, self._kind) and self._continuation.can(self._prefill, prompt, self._defaults)

    def go_on(self, prompt: Prompt, shown: Shown) -> Events:
        """The events that follow what was shown; see `headwater.models.model.Continues`."""
        default = self._defaults.get("max_tokens", LIMIT if self._kind == "completion" else None)
        return self._continuation.go_on(self._prefill, prompt, shown, prompt.parameters.max_tokens or default)

    def stream(self, prompt: Prompt) -> Events:
        """The events of one answer; see `headwater.models.model.Model.stream`."""
        if not is_plain(prompt, self._kind):
            return self._passed_on(prompt)
        reading = Stream() if self._kind == "chat" else CompletionStream()
        if prompt.extra.get("logprobs"):
            reading.leave_out("logprobs")
        return answered(partial(self._post, prompt), reading, self._connections)

    async def _passed_on(self, prompt: Prompt) -> Events:
        if self._fallback is None:
            reason = "the messages cannot be read by this model's API; send plain text"
            raise ModelError(reason, code="invalid_prompt", status=422)
        async with aclosing(self._fallback.stream(prompt)) as batches:
            async for batch in batches:
                yield batch

    async def _post(self, prompt: Prompt) -> "aiohttp.ClientResponse":
        await self.prepare()
        wanted = body(prompt, self._kind, self._model, self._defaults, at_openai=self._account.is_openai)
        fields = self._connections.fields
        while True:
            sent = fields.adapted(wanted, chat=self._kind == "chat")
            response = await self._connections.post(PATHS[self._kind], msgspec.json.encode(sent))
            if response.status == 200:
                return response
            refusal = await refused(response, self._connections)
            if not fields.learn(response.status, refusal.text, sent):
                raise refusal

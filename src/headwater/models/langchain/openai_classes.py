"""LangChain's own classes for OpenAI's chat and completion APIs, with streams read by Headwater.

    from headwater.langchain import ChatOpenAIWire

    async for chunk in ChatOpenAIWire(model="gpt-4o-mini").astream("Hello"):
        print(chunk.text, end="")

They differ from `ChatOpenAI` and `OpenAI` only in reading a stream: msgspec decodes it, and the text of one read of the
socket becomes one chunk. Everything else is inherited: the Responses API, `response_format`, calls that are not
streamed or not async, an HTTP client of the user's own.

Failures raise the parents' exceptions, after the parents' retries. The chat model raises `OpenAIAuthenticationError`
(401), `OpenAIRateLimitError` (429), `OpenAIAPIError` (5xx), `OpenAIConnectionError` (unreachable, or cut off) and
`StreamChunkTimeoutError` (silence); the LLM raises OpenAI's own. Both raise `openai.APIError` for an error within a
stream. As in the parents, a stream that ends without a finish reason raises nothing.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult, GenerationChunk
from langchain_openai import ChatOpenAI, OpenAI
from langsmith import utils as langsmith
from pydantic import PrivateAttr

from headwater.models.langchain.openai_client import Completions, direct_client, has_own_client
from headwater.models.model import Model
from headwater.models.openai.connection import Account
from headwater.models.openai.model import OpenAIModel
from headwater.models.openai.names import Kind, covers
from headwater.models.reading import FIELDS


class ChatOpenAIWire(ChatOpenAI):
    """`ChatOpenAI` with streams at a fraction of the cost: same parameters, same messages, same exceptions.

    Three things differ. All text of one read of the socket is one chunk, so a burst comes in fewer, larger chunks. And
    `additional_kwargs` has `"reasoning_content"`, which ChatOpenAI drops, and the `"refusal"` of a stream: without them
    a model that thinks for a minute would look silent, and a refusal like an empty answer. Servers at other addresses
    than OpenAI's get the limit of tokens as `max_tokens`, and no field that they have refused as unknown.
    """

    _completions: Completions | None = PrivateAttr(None)

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialised as plain ChatOpenAI, so that a stored model can be loaded without Headwater."""
        return ChatOpenAI.lc_id()

    def _get_request_payload(self, input_: Any, *, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        write: Any = super()._get_request_payload  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        payload: dict[str, Any] = write(input_, stop=stop, **kwargs)
        messages: list[dict[str, Any]] = payload.get("messages") or []
        turns = self._convert_input(input_).to_messages()  # pyright: ignore[reportUnknownMemberType]
        for turn, fields in zip(turns, messages, strict=False):
            if own := turn.additional_kwargs.get(FIELDS):
                _give_back(fields, own)
        return payload

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> Any:
        text = chunk.get("only_text")
        if text is not None and default_chunk_class is AIMessageChunk and self.output_version != "v1":
            message = AIMessageChunk(content=text, response_metadata={"model_provider": "openai"})
            return ChatGenerationChunk(message=message, generation_info=base_generation_info or None)
        convert: Any = super()._convert_chunk_to_generation_chunk  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        converted = convert(chunk, default_chunk_class, base_generation_info)
        if converted is not None:
            delta: Mapping[str, Any] = next((choice["delta"] for choice in chunk.get("choices") or ()), None) or {}
            kept = {"reasoning_content": _reasoning(delta), "refusal": delta.get("refusal"), FIELDS: chunk.get(FIELDS)}
            converted.message.additional_kwargs.update({name: value for name, value in kept.items() if value})
        return converted

    def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> ChatResult:
        create: Any = super()._create_chat_result  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        result: ChatResult = create(response, generation_info)
        for generation, choice in zip(result.generations, _plain(response)["choices"], strict=False):
            if reasoning := _reasoning(choice["message"]):
                generation.message.additional_kwargs["reasoning_content"] = reasoning
        return result

    def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        self._completions = direct_client(self, self._completions, self.stream_chunk_timeout)
        if self._completions is None or not self._is_plain({**self.model_kwargs, **kwargs}):
            return super()._astream(*args, **kwargs)
        # Our client limits silence with one timer; LangChain would start a task for every chunk.
        model = self.model_copy(update={"async_client": self._completions, "stream_chunk_timeout": None})
        return super(ChatOpenAIWire, model)._astream(*args, **kwargs)

    def _is_plain(self, options: dict[str, Any]) -> bool:
        """Whether the answer is a plain stream of one chat completion."""
        if self._use_responses_api(options) or self.include_response_headers or getattr(self, "_uses_gateway", False):  # pyright: ignore[reportUnknownMemberType]
            return False
        several = options.get("n", self.n) not in (None, 1)
        return not several and not options.get("functions") and "response_format" not in options

    def direct(self, fallback: Model) -> OpenAIModel | None:
        """The same model without LangChain around it, for Headwater's own use; see `_direct`."""
        streams = self.streaming if "streaming" in self.model_fields_set else not self.disable_streaming
        if not streams or not self._is_plain(self.model_kwargs) or not covers("chat", self.model_name):
            return None
        return _direct(self, "chat", fallback)


def _give_back(fields: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Put what a provider needs back into a message: beside its fields, and beside those of its tool calls."""
    calls: Mapping[str, Any] = own.get("tool_calls", {})
    for call in fields.get("tool_calls") or ():
        call |= {name: value for name, value in calls.get(call.get("id"), {}).items() if name not in call}
    fields |= {name: value for name, value in own.items() if name not in fields and name != "tool_calls"}


def _plain(answer: Any) -> dict[str, Any]:
    """An answer or a chunk as plain data: OpenAI's client makes objects of it, ours does not."""
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else answer.model_dump(warnings=False)


def _reasoning(message: Mapping[str, Any]) -> str | None:
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    return reasoning if isinstance(reasoning, str) else None


class OpenAIWireLLM(OpenAI):
    """`OpenAI` with streams at a fraction of the cost: same parameters, same text, same exceptions.

    All text of one read of the socket is one chunk, and the last chunk's `generation_info` has `token_usage`. A stream
    that is abandoned is closed at once. LangChain's class leaves the connection of a stream that is closed between two
    tokens to the garbage collector, because the client's stream object refers to itself. Until then the provider goes
    on generating.
    """

    _completions: Completions | None = PrivateAttr(None)

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialised as plain OpenAI, so that a stored model can be loaded without Headwater."""
        return OpenAI.lc_id()

    async def _astream(
        self, prompt: str, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[GenerationChunk]:
        self._completions = direct_client(self, self._completions)
        several = kwargs.get("n", self.n) != 1 or self.best_of != 1
        client = self.async_client if self._completions is None or several else self._completions
        request = {**self._invocation_params, **kwargs, "stream": True, "stream_options": {"include_usage": True}}
        self.get_sub_prompts(request, [prompt], stop)  # puts `stop` and the longest `max_tokens` in
        async with await client.create(prompt=prompt, **request) as stream:
            async for piece in stream:
                fields = _plain(piece)
                choices: list[dict[str, Any]] = fields.get("choices") or [{}]
                info = {name: choices[0].get(name) for name in ("finish_reason", "logprobs")}
                if usage := fields.get("usage"):
                    info["token_usage"] = {name: count for name, count in usage.items() if count is not None}
                chunk = GenerationChunk(text=choices[0].get("text") or "", generation_info=info)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk, logprobs=info["logprobs"])
                yield chunk

    def direct(self, fallback: Model) -> OpenAIModel | None:
        """The same model without LangChain around it, for Headwater's own use; see `_direct`."""
        return None if self.max_tokens == -1 else _direct(self, "completion", fallback)


_NO_BODY = ("extra_headers", "extra_query", "timeout")


def _direct(model: Any, kind: Kind, fallback: Model) -> OpenAIModel | None:
    """The direct model behind a LangChain one, without a message per token; None where that would lose something.

    Lost would be all that LangChain does around a call (callbacks, tracing, a rate limiter), and some of what OpenAI's
    client does around a request: its own transport, a query, a timeout, keys that change.
    """
    limited = getattr(model, "rate_limiter", None) or model.request_timeout is not None or model.default_query
    watched = model.callbacks or model.verbose or langsmith.tracing_is_enabled()  # pyright: ignore[reportUnknownMemberType]
    if limited or watched or callable(model.openai_api_key) or has_own_client(model):
        return None
    client = model.async_client._client
    defaults: dict[str, Any] = {name: value for name, value in model._default_params.items() if value is not None}
    one = defaults.pop("n", 1) == 1 and defaults.get("best_of", 1) == 1
    if not client.api_key or not one or any(name in defaults for name in _NO_BODY):
        return None
    if "max_completion_tokens" in defaults:
        defaults["max_tokens"] = defaults.pop("max_completion_tokens")
    for ours in ("model", "stream"):
        defaults.pop(ours, None)
    headers = {name: value for name, value in client.default_headers.items() if isinstance(value, str)}
    account = Account(str(client.base_url), client.api_key, headers, getattr(model, "openai_proxy", None) or None)
    account = account._replace(prefill=[getattr(fallback, "prefill", "auto")])
    return OpenAIModel(model.model_name, kind, account, defaults=defaults, fallback=fallback)

"""LangChain's own classes for OpenAI's chat and completion APIs, streaming over Headwater's wire.

    from headwater.langchain import ChatOpenAIWire

    async for chunk in ChatOpenAIWire(model="gpt-4o-mini").astream("Hello"):
        print(chunk.text, end="")

They are `ChatOpenAI` and `OpenAI` in everything but how a stream's bytes are read: the text of one read of the socket
becomes one chunk, decoded by msgspec. What the wire does not speak is theirs without any doing: the Responses API,
`response_format`, everything that is not streamed, everything that is not async, a client of the user's own.

What goes wrong raises what theirs raise, after the same retries: of the chat model `OpenAIAuthenticationError` (401),
`OpenAIRateLimitError` (429), `OpenAIAPIError` (5xx), `OpenAIConnectionError` (nobody there, or a cut) and
`StreamChunkTimeoutError` (silence), of the LLM OpenAI's own; of both `openai.APIError` for an error within a stream. As
with theirs, a stream that ends without a reason raises nothing.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult, GenerationChunk
from langchain_openai import ChatOpenAI, OpenAI
from langsmith import utils as langsmith
from pydantic import PrivateAttr

from headwater.models.langchain.openai_client import Completions, has_own_client, over_wire
from headwater.models.model import Model
from headwater.models.openai.connection import Account
from headwater.models.openai.model import OpenAIModel
from headwater.models.openai.names import Kind, covers


class CompatibleChat(ChatOpenAI):
    """ChatOpenAI drops what this keeps: the reasoning that compatible servers tell, and a refusal that is streamed.

    They are in `additional_kwargs`, as `"reasoning_content"` and, where ChatOpenAI puts that of an answer that is not
    streamed, `"refusal"`. Otherwise a model that thinks for a minute would look silent for a minute, and be given up;
    and one that refuses would look as if it had answered nothing.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """Stored models are read back as plain ChatOpenAI, wherever that is."""
        return ChatOpenAI.lc_id()

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> Any:
        text = chunk.get("only_text")
        if text is not None and default_chunk_class is AIMessageChunk and self.output_version != "v1":
            message = AIMessageChunk(content=text, response_metadata={"model_provider": "openai"})
            return ChatGenerationChunk(message=message, generation_info=base_generation_info or None)
        convert: Any = super()._convert_chunk_to_generation_chunk  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        converted = convert(chunk, default_chunk_class, base_generation_info)
        delta: Mapping[str, Any] = next((choice["delta"] for choice in chunk.get("choices") or ()), None) or {}
        if converted is not None and (thought := _thought(delta)):
            converted.message.additional_kwargs["reasoning_content"] = thought
        if converted is not None and (refusal := delta.get("refusal")):
            converted.message.additional_kwargs["refusal"] = refusal
        return converted

    def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> ChatResult:
        create: Any = super()._create_chat_result  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        result: ChatResult = create(response, generation_info)
        for generation, choice in zip(result.generations, _plain(response)["choices"], strict=False):
            if thought := _thought(choice["message"]):
                generation.message.additional_kwargs["reasoning_content"] = thought
        return result


def _plain(answer: Any) -> dict[str, Any]:
    """What OpenAI's client gave, or the wire, which makes no objects of it."""
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else answer.model_dump(warnings=False)


def _thought(said: Mapping[str, Any]) -> str | None:
    thought = said.get("reasoning_content") or said.get("reasoning")
    return thought if isinstance(thought, str) else None


class CompatibleCompletion(OpenAI):
    """LangChain's class leaves the stream open when it is broken off, and drops the token counts.

    Closed between two tokens, its connection would last until the next garbage collection, with the provider
    generating all the while: the client's stream object refers to itself.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """Stored models are read back as plain OpenAI, wherever that is."""
        return OpenAI.lc_id()

    async def _astream(
        self, prompt: str, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[GenerationChunk]:
        request = {**self._invocation_params, **kwargs, "stream": True, "stream_options": {"include_usage": True}}
        self.get_sub_prompts(request, [prompt], stop)  # puts `stop` and the longest `max_tokens` in
        async with await self.async_client.create(prompt=prompt, **request) as stream:
            async for piece in stream:
                told = _plain(piece)
                choices: list[dict[str, Any]] = told.get("choices") or [{}]
                info = {name: choices[0].get(name) for name in ("finish_reason", "logprobs")}
                if usage := told.get("usage"):
                    info["token_usage"] = {name: count for name, count in usage.items() if count is not None}
                chunk = GenerationChunk(text=choices[0].get("text") or "", generation_info=info)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk, logprobs=info["logprobs"])
                yield chunk


class ChatOpenAIWire(CompatibleChat):
    """`ChatOpenAI`, its streams at a fraction of the cost: same parameters, same messages, same exceptions.

    Two things differ. Text that came in one read of the socket is one chunk, so under a burst there are fewer, larger
    ones. And `additional_kwargs["reasoning_content"]` holds the reasoning that ChatOpenAI drops.
    """

    _wire: Completions | None = PrivateAttr(None)

    def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        self._wire = over_wire(self, self._wire, self.stream_chunk_timeout)
        if self._wire is None or not self._speaks({**self.model_kwargs, **kwargs}):
            return super()._astream(*args, **kwargs)
        # The wire keeps the limit on silence with one timer; LangChain would start a task for every chunk.
        model = self.model_copy(update={"async_client": self._wire, "stream_chunk_timeout": None})
        return super(ChatOpenAIWire, model)._astream(*args, **kwargs)

    def _speaks(self, asked: dict[str, Any]) -> bool:
        """Whether the answer is a plain stream of one chat completion."""
        if self._use_responses_api(asked) or self.include_response_headers or getattr(self, "_uses_gateway", False):  # pyright: ignore[reportUnknownMemberType]
            return False
        return asked.get("n", self.n) in (None, 1) and not asked.get("functions") and "response_format" not in asked

    def direct(self, fallback: Model) -> OpenAIModel | None:
        """The same model without LangChain around it, for Headwater's own use; see `_direct`."""
        streams = self.streaming if "streaming" in self.model_fields_set else not self.disable_streaming
        if not streams or not self._speaks(self.model_kwargs) or not covers("chat", self.model_name):
            return None
        return _direct(self, "chat", fallback)


class OpenAIWireLLM(CompatibleCompletion):
    """`OpenAI`, its streams at a fraction of the cost: same parameters, same text, same exceptions.

    Text that came in one read of the socket is one chunk, and the last chunk's `generation_info` tells `token_usage`.
    """

    _wire: Completions | None = PrivateAttr(None)

    def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[GenerationChunk]:
        self._wire = over_wire(self, self._wire)
        several = kwargs.get("n", self.n) != 1 or self.best_of != 1
        model = self if self._wire is None or several else self.model_copy(update={"async_client": self._wire})
        return super(OpenAIWireLLM, model)._astream(*args, **kwargs)

    def direct(self, fallback: Model) -> OpenAIModel | None:
        """The same model without LangChain around it, for Headwater's own use; see `_direct`."""
        return None if self.max_tokens == -1 else _direct(self, "completion", fallback)


_NO_BODY = ("extra_headers", "extra_query", "timeout")


def _direct(model: Any, kind: Kind, fallback: Model) -> OpenAIModel | None:
    """The wire beneath a LangChain model, so that no message is built of every token; None where that loses something.

    That is whatever LangChain does around a call (callbacks, tracing, a rate limiter), and what a client does around a
    request that the wire does not: its own transport, a query, a timeout, keys that change.
    """
    limited = getattr(model, "rate_limiter", None) or model.request_timeout is not None or model.default_query
    watched = model.callbacks or model.verbose or langsmith.tracing_is_enabled()  # pyright: ignore[reportUnknownMemberType]
    if limited or watched or callable(model.openai_api_key) or has_own_client(model):
        return None
    client = model.async_client._client
    told: dict[str, Any] = {name: value for name, value in model._default_params.items() if value is not None}
    one = told.pop("n", 1) == 1 and told.get("best_of", 1) == 1
    if not client.api_key or not one or any(name in told for name in _NO_BODY):
        return None
    if "max_completion_tokens" in told:
        told["max_tokens"] = told.pop("max_completion_tokens")
    for ours in ("model", "stream"):
        told.pop(ours, None)
    headers = {name: value for name, value in client.default_headers.items() if isinstance(value, str)}
    account = Account(str(client.base_url), client.api_key, headers, getattr(model, "openai_proxy", None) or None)
    return OpenAIModel(model.model_name, kind, account, defaults=told, fallback=fallback)

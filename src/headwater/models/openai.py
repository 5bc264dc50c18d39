"""Models by their LangChain names, and those of OpenAI and of whoever speaks its API.

Connections belong to the model that opened them, not to the process: langchain-openai's own client is shared by all
models of a process, and fails in a second event loop. Nothing here retries; the generation does. Nor does anything here
limit how long a provider may think; the generation does that too. Only connecting has a limit.
"""

import functools
import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from headwater.models.langchain import LangChainModel, Opened

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI, OpenAI

CONNECT_TIMEOUT = 10.0
"""Seconds for reaching a provider: far more than any healthy one takes, and short enough for a person to wait."""

# Servers that run without a key still want the header, and the environment's key is not for another address.
_NO_KEY = "none"


def from_name(
    name: str, *, api_key: str | None = None, base_url: str | None = None, max_tokens: int | None = None
) -> LangChainModel:
    """The model of a LangChain name.

    `openai:gpt-4o-mini` and bare names of OpenAI's models become chat models, `openai-completion:…` completion models,
    both at `base_url`; every other name is given to `init_chat_model`, and its provider's package reads its own key
    from the environment. Nothing is imported or built before the model is first used.
    """
    provider, colon, model = name.partition(":")
    if provider == "openai" and colon:
        return openai_chat(model, api_key=api_key, base_url=base_url, max_tokens=max_tokens, name=name)
    if provider == "openai-completion" and colon:
        return openai_completion(model, api_key=api_key, base_url=base_url, max_tokens=max_tokens, name=name)
    if not colon and re.match(r"gpt-|chatgpt-|o\d", name):
        return openai_chat(name, api_key=api_key, base_url=base_url, max_tokens=max_tokens)

    def opener() -> Opened:
        from langchain.chat_models import init_chat_model

        options: dict[str, Any] = {"cache": False} | ({} if max_tokens is None else {"max_tokens": max_tokens})
        try:
            return Opened(init_chat_model(name, max_retries=0, **options), None)
        except ValueError as refused:
            if "max_retries" not in str(refused):
                raise
            return Opened(init_chat_model(name, **options), None)  # one without retries, that says so

    return LangChainModel(opener, name, secrets=[api_key] if api_key else [])


def openai_chat(
    model: str,
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    max_tokens: int | None = None,
    name: str | None = None,
) -> LangChainModel:
    """A chat model of OpenAI, or of a compatible server at `base_url`, as `openai:<model>`.

    `max_tokens` is what an answer may have where the request says nothing. Without `base_url` and `api_key` the client
    takes its own defaults, which are OpenAI's address and `OPENAI_API_KEY`.
    """

    def opener() -> Opened:
        options = _options(model, api_key, base_url, max_tokens)
        # The generation keeps the one limit on silence; this one would cost a timer per token besides. Usage is
        # left out by default wherever the address is not OpenAI's.
        chat = _chat_class()(stream_chunk_timeout=None, stream_usage=True, **options)
        return Opened(chat, options["http_async_client"].aclose)

    return LangChainModel(opener, name or f"openai:{model}", secrets=[api_key] if api_key else [])


def openai_completion(
    model: str,
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    max_tokens: int | None = None,
    name: str | None = None,
) -> LangChainModel:
    """A completion model behind OpenAI's older API, as vLLM and llama.cpp serve it, as `openai-completion:<model>`.

    Where nobody says `max_tokens`, LangChain asks for 256.
    """

    def opener() -> Opened:
        options = _options(model, api_key, base_url, max_tokens)
        return Opened(_completion_class()(**options), options["http_async_client"].aclose)

    return LangChainModel(opener, name or f"openai-completion:{model}", secrets=[api_key] if api_key else [])


def _options(model: str, api_key: str | None, base_url: str | None, max_tokens: int | None) -> dict[str, Any]:
    import openai

    timeout = openai.Timeout(None, connect=CONNECT_TIMEOUT)
    options: dict[str, Any] = {
        "model": model,
        "base_url": base_url,
        "api_key": api_key or (_NO_KEY if base_url else None),
        "max_tokens": max_tokens,
        "max_retries": 0,
        # LangChain's cache is beneath ours: it does nothing for streams, and tenants share it.
        "cache": False,
        "timeout": timeout,
        "http_async_client": openai.DefaultAsyncHttpxClient(timeout=timeout),
    }
    return {option: value for option, value in options.items() if value is not None}


@functools.cache
def _chat_class() -> "type[ChatOpenAI]":
    from langchain_openai import ChatOpenAI

    class CompatibleChat(ChatOpenAI):
        """ChatOpenAI drops what is not in OpenAI's own API; this keeps the reasoning that compatible servers stream.

        Otherwise a model that thinks for a minute would look silent for a minute, and be given up.
        """

        def _convert_chunk_to_generation_chunk(
            self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
        ) -> Any:
            convert: Any = super()._convert_chunk_to_generation_chunk  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            converted = convert(chunk, default_chunk_class, base_generation_info)
            delta: Mapping[str, Any] = next((choice["delta"] for choice in chunk.get("choices") or ()), None) or {}
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            if converted is not None and isinstance(thought, str):
                converted.message.additional_kwargs["reasoning_content"] = thought
            return converted

    return CompatibleChat


@functools.cache
def _completion_class() -> "type[OpenAI]":
    from langchain_core.outputs import GenerationChunk
    from langchain_openai import OpenAI

    class CompatibleCompletion(OpenAI):
        """LangChain's class leaves the stream open when it is broken off, and drops the token counts.

        Closed between two tokens, its connection would last until the next garbage collection, with the provider
        generating all the while: the client's stream object refers to itself.
        """

        async def _astream(
            self, prompt: str, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
        ) -> AsyncIterator[GenerationChunk]:
            request = {**self._invocation_params, **kwargs, "stream": True, "stream_options": {"include_usage": True}}
            if stop is not None:
                request["stop"] = stop
            async with await self.async_client.create(prompt=prompt, **request) as stream:
                async for piece in stream:
                    choice = piece.choices[0] if piece.choices else None
                    info = {"finish_reason": choice and choice.finish_reason}
                    if piece.usage:
                        info["token_usage"] = piece.usage.model_dump(exclude_none=True)
                    chunk = GenerationChunk(text=(choice and choice.text) or "", generation_info=info)
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    return CompatibleCompletion

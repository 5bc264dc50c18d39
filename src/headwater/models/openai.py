"""Models by their LangChain names, and those of OpenAI and of whoever speaks its API.

Connections belong to the model that opened them, not to the process: langchain-openai's own client is shared by all
models of a process, and fails in a second event loop. Nothing here retries; the generation does. Nor does anything here
limit how long a provider may think; the generation does that too. Only connecting has a limit.
"""

import re
from typing import Any

from headwater.models.langchain import LangChainModel, Opened
from headwater.models.openai_connection import CONNECT_TIMEOUT, Account
from headwater.models.openai_request import Kind

_KINDS: dict[str, Kind] = {"openai": "chat", "openai-completion": "completion"}

# Servers that run without a key still want the header, and the environment's key is not for another address.
_NO_KEY = "none"


def from_name(name: str, account: Account, *, max_tokens: int | None = None) -> LangChainModel:
    """The model of a LangChain name.

    `openai:gpt-4o-mini` and bare names of OpenAI's models become chat models, `openai-completion:…` completion models,
    both of `account`; every other name is given to `init_chat_model`, and its provider's package reads its own key
    from the environment. Nothing is imported or built before the model is first used. `max_tokens` is what an answer
    may have where the request says nothing.
    """
    meant = meaning(name)
    if meant is not None:
        kind, model = meant
        if kind == "completion":
            return _completion(model, account, name, max_tokens)
        return _chat(model, account, f"openai:{model}", max_tokens)

    def opener() -> Opened:
        from langchain.chat_models import init_chat_model

        options: dict[str, Any] = {"cache": False} | ({} if max_tokens is None else {"max_tokens": max_tokens})
        try:
            return Opened(init_chat_model(name, max_retries=0, **options), None)
        except ValueError as refused:
            if "max_retries" not in str(refused):
                raise
            return Opened(init_chat_model(name, **options), None)  # one without retries, that says so

    return LangChainModel(opener, name, secrets=account.secrets)


def meaning(name: str) -> tuple[Kind, str] | None:
    """The API that a LangChain name speaks of, and the model's own name there; None for other providers'."""
    # Only the first colon separates: names of fine-tuned models hold more of them.
    provider, colon, model = name.partition(":")
    if not colon:
        return ("chat", name) if re.match(r"gpt-|chatgpt-|o\d", name) else None
    kind = _KINDS.get(provider)
    return None if kind is None else (kind, model)


def openai_chat(model: str, *, api_key: str | None = None, base_url: str | None = None) -> LangChainModel:
    """A chat model of OpenAI, or of a compatible server at `base_url`, as `openai:<model>`.

    Without `base_url` and `api_key` the client takes its own defaults, which are OpenAI's address and `OPENAI_API_KEY`.
    """
    return _chat(model, Account(base_url, api_key), f"openai:{model}", None)


def openai_completion(model: str, *, api_key: str | None = None, base_url: str | None = None) -> LangChainModel:
    """A completion model behind OpenAI's older API, as vLLM and llama.cpp serve it, as `openai-completion:<model>`.

    Where nobody says `max_tokens`, LangChain asks for 256.
    """
    return _completion(model, Account(base_url, api_key), f"openai-completion:{model}", None)


def _chat(model: str, account: Account, name: str, max_tokens: int | None) -> LangChainModel:
    def opener() -> Opened:
        from headwater.models.openai_chat import CompatibleChat

        options = _options(model, account, max_tokens)
        # The generation keeps the one limit on silence; this one would cost a timer per token besides. Usage is
        # left out by default wherever the address is not OpenAI's.
        chat = CompatibleChat(stream_chunk_timeout=None, stream_usage=True, **options)
        return Opened(chat, options["http_async_client"].aclose)

    return LangChainModel(opener, name, secrets=account.secrets)


def _completion(model: str, account: Account, name: str, max_tokens: int | None) -> LangChainModel:
    def opener() -> Opened:
        from headwater.models.openai_chat import CompatibleCompletion

        options = _options(model, account, max_tokens)
        return Opened(CompatibleCompletion(**options), options["http_async_client"].aclose)

    return LangChainModel(opener, name, secrets=account.secrets)


def _options(model: str, account: Account, max_tokens: int | None) -> dict[str, Any]:
    import openai

    timeout = openai.Timeout(None, connect=CONNECT_TIMEOUT)
    options: dict[str, Any] = {
        "model": model,
        "base_url": account.base_url,
        "api_key": account.api_key or (_NO_KEY if account.base_url else None),
        "default_headers": account.headers or None,
        "max_tokens": max_tokens,
        "max_retries": 0,
        # LangChain's cache is beneath ours: it does nothing for streams, and tenants share it.
        "cache": False,
        "timeout": timeout,
        "http_async_client": openai.DefaultAsyncHttpxClient(timeout=timeout, proxy=account.proxy),
    }
    # The proxy is the client's above; LangChain refuses to be told of one besides, also by the environment.
    return {option: value for option, value in options.items() if value is not None} | {"openai_proxy": None}

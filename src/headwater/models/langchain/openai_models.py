"""LangChain's chat and completion models of OpenAI, and of every server that speaks OpenAI's API, for one account.

Each model has its own connections: langchain-openai's own client is shared by all models of a process, and fails in a
second event loop. Nothing here retries, and nothing here limits how long a provider may think; the generation does
both. Only connecting has a limit.
"""

from typing import Any

from headwater.models.langchain.model import LangChainModel, Opened
from headwater.models.openai.connection import CONNECT_TIMEOUT, Account

# Servers that run without a key still want the header, and the environment's key is not for another address.
_NO_KEY = "none"


def chat(model: str, account: Account, max_tokens: int | None = None) -> LangChainModel:
    """A chat model of the account, named `openai:<model>`.

    An account without address and key takes the client's own defaults, which are OpenAI's address and
    `OPENAI_API_KEY`. `max_tokens` is the limit of an answer where the request says nothing.
    """

    def opener() -> Opened:
        from headwater.models.langchain.openai_classes import CompatibleChat

        options = _options(model, account, max_tokens)
        # The generation keeps the one limit on silence; this one would cost a timer per token besides. Usage is
        # left out by default wherever the address is not OpenAI's.
        made = CompatibleChat(stream_chunk_timeout=None, stream_usage=True, **options)
        return Opened(made, options["http_async_client"].aclose)

    return LangChainModel(opener, f"openai:{model}", secrets=account.secrets)


def completion(model: str, account: Account, max_tokens: int | None = None) -> LangChainModel:
    """A completion model behind OpenAI's older API, as vLLM and llama.cpp serve it, as `openai-completion:<model>`.

    Where nobody says `max_tokens`, LangChain asks for 256.
    """

    def opener() -> Opened:
        from headwater.models.langchain.openai_classes import CompatibleCompletion

        options = _options(model, account, max_tokens)
        return Opened(CompatibleCompletion(**options), options["http_async_client"].aclose)

    return LangChainModel(opener, f"openai-completion:{model}", secrets=account.secrets)


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

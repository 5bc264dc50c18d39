"""LangChain's chat and completion models of OpenAI, and of every server that speaks OpenAI's API, for one account.

Headwater decodes the streams, as in a direct call, so that both ways give the same events. Each model has its own
connections: langchain-openai's own client is shared by all models of a process, and fails in a second event loop. The
generation retries and limits how long a provider may think; here only connecting has a limit.
"""

from collections.abc import Callable
from typing import Any

from headwater.models.langchain.model import LangChainModel, Opened
from headwater.models.openai.connection import DEADLINES, Account, Connections
from headwater.models.prefill import of_setting

# Servers without keys still expect the header, and the environment's key is not meant for another address.
_NO_KEY = "none"


def chat(model: str, account: Account) -> LangChainModel:
    """A chat model of the account, named `openai:<model>`.

    Without an address and a key the client's own defaults hold: OpenAI's address and `OPENAI_API_KEY`.
    """

    def opener() -> Opened:
        from headwater.models.langchain.openai_classes import ChatOpenAIWire

        options = _options(model, account)
        # The generation limits silence; LangChain's own limit would cost a timer for every token. By default usage is
        # left out at every address but OpenAI's.
        model_object = ChatOpenAIWire(stream_chunk_timeout=None, stream_usage=True, **options)
        return Opened(model_object, options["http_async_client"].aclose)

    return _model(opener, f"openai:{model}", account)


def completion(model: str, account: Account) -> LangChainModel:
    """A completion model behind OpenAI's older API, which vLLM and llama.cpp serve too: `openai-completion:<model>`.

    LangChain's default for `max_tokens` is 256.
    """

    def opener() -> Opened:
        from headwater.models.langchain.openai_classes import OpenAIWireLLM

        options = _options(model, account)
        return Opened(OpenAIWireLLM(**options), options["http_async_client"].aclose)

    return _model(opener, f"openai-completion:{model}", account)


def _model(opener: Callable[[], Opened], name: str, account: Account) -> LangChainModel:
    prefill = of_setting(account.prefill, name)
    return LangChainModel(opener, name, secrets=account.secrets, leave_out=account.leave_out, prefill=prefill)


def _options(model: str, account: Account) -> dict[str, Any]:
    import openai

    from headwater.models.langchain.openai_client import Client

    account.check()
    timeout = openai.Timeout(None, connect=DEADLINES.connect)
    options: dict[str, Any] = {
        "model": model,
        "base_url": account.base_url and account.address,
        "api_key": account.key or (_NO_KEY if account.base_url else None),
        "default_headers": account.headers or None,
        "max_retries": 0,
        # LangChain's cache would lie beneath ours: it does not work for streams, and tenants share it.
        "cache": False,
        "timeout": timeout,
        "http_async_client": Client(Connections(account), timeout),
    }
    # The connections above have the proxy; LangChain refuses a second one, also from the environment.
    return {option: value for option, value in options.items() if value is not None} | {"openai_proxy": None}

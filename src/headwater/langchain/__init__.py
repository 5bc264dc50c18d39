"""For LangChain users: a cache that streams, chains that stream from a log, and OpenAI's models for less CPU.

from headwater.langchain import Cached

model = Cached(ChatOpenAI(model="gpt-4o-mini"), store="redis://localhost")
async for chunk in model.astream("Hello"):
    print(chunk.text, end="")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.langchain.cache import HeadwaterCache as HeadwaterCache
    from headwater.langchain.cached import Cached as Cached
    from headwater.langchain.callback import StreamCallback as StreamCallback
    from headwater.models.langchain.openai_classes import ChatOpenAIWire as ChatOpenAIWire
    from headwater.models.langchain.openai_classes import OpenAIWireLLM as OpenAIWireLLM

__all__ = ["Cached", "ChatOpenAIWire", "HeadwaterCache", "OpenAIWireLLM", "StreamCallback"]

_MODULES = {
    "Cached": "headwater.langchain.cached",
    "ChatOpenAIWire": "headwater.models.langchain.openai_classes",
    "HeadwaterCache": "headwater.langchain.cache",
    "OpenAIWireLLM": "headwater.models.langchain.openai_classes",
    "StreamCallback": "headwater.langchain.callback",
}


def __getattr__(name: str) -> Any:
    # On first use: a user of one should not wait for OpenAI's package or FastAPI, which another needs.
    if name not in _MODULES:
        raise AttributeError(f"module 'headwater.langchain' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)

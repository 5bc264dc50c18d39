"""For LangChain users: a cache that streams, and OpenAI's models with streams at a fraction of the cost.

from headwater.langchain import Cached

model = Cached(ChatOpenAI(model="gpt-4o-mini"), store="redis://localhost")
async for chunk in model.astream("Hello"):
    print(chunk.text, end="")
"""

from headwater.langchain.cache import HeadwaterCache
from headwater.langchain.cached import Cached
from headwater.models.langchain.openai_classes import ChatOpenAIWire, OpenAIWireLLM

__all__ = ["Cached", "ChatOpenAIWire", "HeadwaterCache", "OpenAIWireLLM"]

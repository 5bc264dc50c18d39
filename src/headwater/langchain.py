"""For LangChain users: LangChain's OpenAI models with streams at a fraction of the cost.

from headwater.langchain import ChatOpenAIWire

async for chunk in ChatOpenAIWire(model="gpt-4o-mini").astream("Hello"):
    print(chunk.text, end="")
"""

from headwater.models.langchain.openai_classes import ChatOpenAIWire, OpenAIWireLLM

__all__ = ["ChatOpenAIWire", "OpenAIWireLLM"]

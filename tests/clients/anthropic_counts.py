"""LangChain's ChatAnthropic against a provider that speaks Anthropic's API; prints its chunks as one line of JSON."""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

import asyncio
import json
import sys

from langchain_anthropic import ChatAnthropic


async def main() -> None:
    """Two answers to each question, one streamed and one whole."""
    model = ChatAnthropic(model_name="claude-sonnet-4-5", base_url=sys.argv[1], api_key="none", max_retries=0)
    told = {
        question: [
            [chunk.model_dump(mode="json") async for chunk in model.astream(question)],
            [(await model.ainvoke(question)).model_dump(mode="json")],
        ]
        for question in sys.argv[2:]
    }
    print(json.dumps(told))


asyncio.run(main())

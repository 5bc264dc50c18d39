"""LangChain's ChatAnthropic against a server; prints what it saw, as one line of JSON."""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

import asyncio
import json
import sys
from typing import Any

from anthropic import APIError
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from pydantic import BaseModel


class Person(BaseModel):
    """What a structured answer is read into."""

    name: str


def chat(**fields: Any) -> Any:
    """LangChain's model."""
    return ChatAnthropic(
        model_name="openai:gpt-4o-mini", base_url=sys.argv[1], api_key="none", max_tokens_to_sample=99, **fields
    )


async def streamed(word: str, **fields: Any) -> dict[str, Any]:
    """What LangChain makes of a stream, and how it ends."""
    told: dict[str, Any] = {"text": ""}
    try:
        whole = None
        async for chunk in chat(**fields).astream(word):
            told["text"] += chunk.text
            whole = chunk if whole is None else whole + chunk
        assert whole is not None
        told |= {"finish": whole.response_metadata.get("stop_reason"), "usage": whole.usage_metadata["total_tokens"]}
        told["kinds"] = [block["type"] for block in whole.content_blocks]
    except APIError as error:
        told["error"] = type(error).__name__
    return told


async def tools() -> dict[str, Any]:
    """The calls of an answer, and the answer to their results."""
    able = chat().bind_tools([{"name": "weather", "description": "The weather", "input_schema": {"type": "object"}}])
    asked = HumanMessage("tools of LangChain")
    answer = await able.ainvoke([asked])
    results = [ToolMessage("Sunny", tool_call_id=call["id"]) for call in answer.tool_calls]
    return {
        "inputs": [call["args"] for call in answer.tool_calls],
        "text": (await able.ainvoke([asked, answer, *results])).text,
    }


async def main() -> dict[str, Any]:
    """Everything, by name."""
    structured = await chat().with_structured_output(Person, method="json_schema").ainvoke("person")
    return {
        "live": await streamed("langchain"),
        "cached": await streamed("langchain"),
        "thinking": await streamed("thoughtful", thinking={"type": "enabled", "budget_tokens": 1024}),
        "length": await streamed("length"),
        "cut": await streamed("cut"),
        "refused": await streamed("refused"),
        "tools": await tools(),
        "parsed": structured.name,
        "counted": chat().get_num_tokens_from_messages([HumanMessage("live")]),
    }


print(json.dumps(asyncio.run(main())))

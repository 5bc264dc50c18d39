"""LangChain's ChatOpenAI and OpenAI's Agents SDK against a server; prints what they saw, as one line of JSON."""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportArgumentType=false, reportUntypedFunctionDecorator=false

import asyncio
import json
import sys
from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    RunConfig,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic import BaseModel

BASE = f"{sys.argv[1]}/v1"
set_tracing_disabled(True)


class Person(BaseModel):
    """What a structured answer is read into."""

    name: str


@function_tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"fine in {city}"


def chat(**fields: Any) -> ChatOpenAI:
    """LangChain's model."""
    return ChatOpenAI(model="openai:gpt-4o-mini", base_url=BASE, api_key="none", **fields)


async def streamed(word: str, **fields: Any) -> dict[str, Any]:
    """What LangChain makes of a stream, and how it ends."""
    told: dict[str, Any] = {"text": ""}
    try:
        whole = None
        async for chunk in chat(**fields).astream(word):
            told["text"] += str(chunk.content)
            whole = chunk if whole is None else whole + chunk
        assert whole is not None
        told |= {"finish": whole.response_metadata.get("finish_reason"), "usage": whole.usage_metadata}
    except Exception as error:  # noqa: BLE001 - whatever the user of the class would see
        told["error"] = type(error).__name__
    return told


async def called() -> list[Any]:
    """The tool calls of an answer."""
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    answer = await chat().bind_tools([tool]).ainvoke("tools")
    return [(call["name"], call["args"]) for call in answer.tool_calls]


async def agent(word: str) -> dict[str, Any]:
    """A run of an agent that may call a tool, streamed."""
    model = OpenAIChatCompletionsModel("openai:gpt-4o-mini", AsyncOpenAI(base_url=BASE, api_key="none"))
    one = Agent(name="a", tools=[weather], model=model, model_settings=ModelSettings(include_usage=True))
    try:
        run = Runner.run_streamed(one, word, run_config=RunConfig(tracing_disabled=True))
        kinds = [event.type async for event in run.stream_events()]
        return {"text": run.final_output, "kinds": sorted(set(kinds))}
    except Exception as error:  # noqa: BLE001 - whatever the user of the class would see
        return {"error": type(error).__name__}


async def main() -> dict[str, Any]:
    """Everything, by name."""
    structured: Any = await chat().with_structured_output(Person).ainvoke("person")
    return {
        "live": await streamed("langchain"),
        "cached": await streamed("langchain"),
        "counted": await streamed("langchain", stream_usage=True),
        "length": await streamed("length"),
        "cut": await streamed("cut"),
        "refused": await streamed("refused"),
        "calls": await called(),
        "parsed": structured.name,
        "agent": await agent("agent"),
        "agent tools": await agent("tools agent"),
        "agent cut": await agent("cut agent"),
    }


print(json.dumps(asyncio.run(main())))

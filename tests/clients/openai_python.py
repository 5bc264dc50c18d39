"""OpenAI's Python SDK against a server, as its users call it; prints what it saw, as one line of JSON."""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportArgumentType=false, reportUntypedFunctionDecorator=false

import asyncio
import json
import sys
from typing import Any

import httpx
from openai import APIError, AsyncOpenAI, LengthFinishReasonError, OpenAI
from pydantic import BaseModel

URL = sys.argv[1]
client = OpenAI(base_url=f"{URL}/v1", api_key="none")
asynchronous = AsyncOpenAI(base_url=f"{URL}/v1", api_key="none")
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


class Person(BaseModel):
    """What a structured answer is read into."""

    name: str


def ask(word: str, **fields: Any) -> dict[str, Any]:
    """The arguments of a question with this word, which no other driver asks."""
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"{word} python"}], **fields}


def iterated(word: str, **fields: Any) -> dict[str, Any]:
    """What a loop over a stream sees, and how it ends."""
    told: dict[str, Any] = {"text": "", "finish": None}
    try:
        stream = client.chat.completions.create(**ask(word, stream=True, **fields))
        headers = stream.response.headers
        told |= {"id": headers["x-request-id"], "at": headers["location"], "cache": headers["cache-status"]}
        for chunk in stream:
            told["usage"] = chunk.usage and chunk.usage.total_tokens
            told["ids"] = chunk.id
            for choice in chunk.choices:
                told["text"] += choice.delta.content or ""
                told["finish"] = choice.finish_reason
            if word == "silent" and told["text"]:  # somebody else stops it
                httpx.post(URL + told["at"] + "/stop").raise_for_status()
    except APIError as error:
        told |= {"error": type(error).__name__, "code": error.code}
    return told


def helped(word: str, **fields: Any) -> dict[str, Any]:
    """What the SDK's own helper makes of a stream."""
    told: dict[str, Any] = {}
    try:
        with client.chat.completions.stream(**ask(word, **fields)) as stream:
            told["events"] = sorted({event.type for event in stream})
            message = stream.get_final_completion().choices[0].message
        told |= {"text": message.content, "calls": [call.function.arguments for call in message.tool_calls or ()]}
    except (APIError, LengthFinishReasonError) as error:
        told["error"] = type(error).__name__
    return told


def whole(word: str) -> dict[str, Any]:
    """One object, or what it raises."""
    try:
        answer = client.chat.completions.create(**ask(word))
        return {"text": answer.choices[0].message.content, "usage": answer.usage and answer.usage.total_tokens}
    except APIError as error:
        return {"error": type(error).__name__, "code": error.code}


def resumed() -> str:
    """The text of a stream that is left in the middle, and of the rest of its log."""
    text = id = ""
    with client.chat.completions.with_streaming_response.create(**ask("slow", stream=True)) as response:
        for line in response.iter_lines():
            if line.startswith("id: ") and text:
                id = line[4:]
                break
            if line.startswith("data: "):
                text += json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
    rest = httpx.get(URL + response.headers["location"], headers={"last-event-id": id}).text
    frames = [json.loads(line[6:]) for line in rest.splitlines() if line.startswith("data: ")]
    assert frames[-1]["type"] == "finish"
    return text + "".join(frame.get("text", "") for frame in frames)


async def collapsed() -> list[str]:
    """Two questions at once."""

    async def one() -> str:
        stream = await asynchronous.chat.completions.create(**ask("together", stream=True))
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    return list(await asyncio.gather(one(), one()))


def left() -> None:
    """A stream that its reader closes after the first word."""
    stream = client.chat.completions.create(**ask("endless", stream=True))
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    stream.close()


left()
parsed = client.chat.completions.parse(**ask("person", response_format=Person)).choices[0].message.parsed
completion = client.completions.create(model="gpt-4o-mini", prompt="Once", stream=True)
counted = iterated("counted", stream_options={"include_usage": True})
print(
    json.dumps(
        {
            "live": iterated("live"),
            "cached": iterated("live"),
            "whole": whole("live"),
            "counted": counted,
            "helper": helped("live"),
            "tools": helped("tools", tools=[TOOL]),
            "parsed": parsed and parsed.name,
            "completion": "".join(chunk.choices[0].text for chunk in completion),
            "length": iterated("length"),
            "length helped": helped("length"),
            "cut": iterated("cut"),
            "cut helped": helped("cut"),
            "cut whole": whole("cut"),
            "failed": iterated("failed"),
            "refused": iterated("refused"),
            "retried": iterated("retried"),
            "stopped": iterated("silent"),
            "resumed": resumed(),
            "collapsed": asyncio.run(collapsed()),
            "models": [model.id for model in client.models.list()],
            "model": client.models.retrieve("openai:gpt-4o-mini").id,
        }
    )
)

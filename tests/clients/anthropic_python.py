"""Anthropic's Python SDK against a server, as its users call it; prints what it saw, as one line of JSON."""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportPrivateUsage=false

import asyncio
import json
import sys
from typing import Any

import httpx
from anthropic import Anthropic, APIError, APIStatusError, AsyncAnthropic

URL = sys.argv[1]
client = Anthropic(base_url=URL, api_key="none")
asynchronous = AsyncAnthropic(base_url=URL, auth_token="none")
TOOL: Any = {"name": "weather", "description": "The weather", "input_schema": {"type": "object"}}


def ask(word: str, **fields: Any) -> dict[str, Any]:
    """The arguments of a question with this word."""
    return {"model": "gpt-4o-mini", "max_tokens": 99, "messages": [{"role": "user", "content": word}], **fields}


def failure(error: APIError) -> dict[str, Any]:
    """What an application sees of an error."""
    body: Any = error.body
    status = error.status_code if isinstance(error, APIStatusError) else None
    return {"error": type(error).__name__, "status": status, "kind": body["error"]["type"]}


def iterated(word: str, **fields: Any) -> dict[str, Any]:
    """What a loop over a stream sees, and how it ends."""
    told: dict[str, Any] = {"text": "", "finish": None}
    try:
        stream = client.messages.create(**ask(word, stream=True, **fields))
        headers = stream.response.headers
        told |= {"id": headers["request-id"], "at": headers["location"], "cache": headers["cache-status"]}
        for event in stream:
            if event.type == "message_start":
                told["ids"] = event.message.id
            elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                told["text"] += event.delta.text
            elif event.type == "message_delta":
                told |= {"finish": event.delta.stop_reason, "usage": event.usage.output_tokens}
            if word == "silent" and told["text"]:  # somebody else stops it
                httpx.post(URL + told["at"] + "/stop").raise_for_status()
    except APIError as error:
        told |= failure(error)
    return told


def helped(word: str, **fields: Any) -> dict[str, Any]:
    """What the SDK's own helper makes of a stream."""
    try:
        with client.messages.stream(**ask(word, **fields)) as stream:
            text = "".join(stream.text_stream)
            message = stream.get_final_message()
    except APIError as error:
        return failure(error)
    return {"text": text, "kinds": [block.type for block in message.content], "usage": message.usage.input_tokens}


def whole(word: str) -> dict[str, Any]:
    """One object and its headers, or what it raises."""
    try:
        raw = client.messages.with_raw_response.create(**ask(word))
        message = raw.parse()
    except APIError as error:
        return failure(error)
    found = {"text": message.content[0].text, "finish": message.stop_reason, "usage": message.usage.output_tokens}
    return {**found, "same": raw.headers["request-id"] == message.id == message._request_id}


def tools() -> dict[str, Any]:
    """Two calls, streamed and then as one object, and an answer to their results with our own words before it."""
    asked = ask("tools", tools=[TOOL])
    with client.messages.stream(**asked) as stream:
        live = stream.get_final_message()
    again = client.messages.create(**asked)
    told: dict[str, Any] = {"ids": [block.id for message in (live, again) for block in message.content[1:]]}
    told["inputs"] = [block.input for message in (live, again) for block in message.content[1:]]
    told["finish"] = [live.stop_reason, again.stop_reason]
    results: Any = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "Sunny", "is_error": False}
        for block in live.content[1:]
    ]
    follow_up = [
        *asked["messages"],
        {"role": "assistant", "content": live.content},
        {"role": "user", "content": results},
    ]
    told["text"] = client.messages.create(**{**asked, "messages": follow_up}).content[0].text
    return told


def resumed() -> str:
    """The text of a stream that is left in the middle, and of the rest of its log."""
    text = id = ""
    with client.messages.with_streaming_response.create(**ask("slow", stream=True)) as response:
        for line in response.iter_lines():
            if line.startswith("id: ") and text:
                id = line[4:]
                break
            if line.startswith("data: "):
                text += json.loads(line[6:]).get("delta", {}).get("text") or ""
    rest = httpx.get(URL + response.headers["location"], headers={"last-event-id": id}).text
    frames = [json.loads(line[6:]) for line in rest.splitlines() if line.startswith("data: ")]
    assert frames[-1]["type"] == "finish"
    return text + "".join(frame.get("text", "") for frame in frames)


async def collapsed() -> list[str]:
    """Two questions at once."""

    async def one() -> str:
        async with asynchronous.messages.stream(**ask("together")) as stream:
            return await stream.get_final_text()

    return list(await asyncio.gather(one(), one()))


def left() -> None:
    """A stream that its reader closes after the first word."""
    with client.messages.stream(**ask("endless python")) as stream:
        next(iter(stream.text_stream))


if sys.argv[2:] == ["tools"]:
    print(json.dumps({"tools": tools()}))
    sys.exit()
left()
print(
    json.dumps(
        {
            "live": iterated("live"),
            "cached": iterated("live"),
            "whole": whole("live"),
            "helper": helped("live"),
            "thinking": helped("thoughtful", thinking={"type": "enabled", "budget_tokens": 1024}),
            "length": iterated("length"),
            "cut": iterated("cut"),
            "cut helped": helped("cut"),
            "cut whole": whole("cut"),
            "refused": iterated("refused"),
            "retried": iterated("retried"),
            "stopped": iterated("silent"),
            "resumed": resumed(),
            "collapsed": asyncio.run(collapsed()),
            "counted": client.messages.count_tokens(model="", messages=ask("live")["messages"]).input_tokens,
            "models": [model.id for model in client.models.list()],
            "model": client.models.retrieve("openai:gpt-4o-mini").display_name,
        }
    )
)

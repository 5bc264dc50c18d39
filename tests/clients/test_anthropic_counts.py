"""Token counts of Anthropic's API through LangChain's own class, fed over a socket.

Anthropic counts what its cache had or took beside `input_tokens`. Headwater's input is the whole, its caches included.
"""

import asyncio
import json

from clients.conftest import python
from langchain_core.messages import AIMessage, AIMessageChunk
from upstream import JSON, Received, Upstream, head, respond

from headwater.events import Finish, Usage
from headwater.models.reading import Reading, Watch

READ, WRITTEN = {"cache_read_input_tokens": 100}, {"cache_creation_input_tokens": 20}
TIMES = {"cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5}}
THOUGHT = {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 3}}

USAGES: dict[str, tuple[JSON, tuple[int, ...]]] = {
    "nothing was cached": ({"input_tokens": 10, **THOUGHT}, (10, 0, 0, 7, 3)),
    "a cache was read": ({"input_tokens": 10, **READ, **THOUGHT}, (110, 100, 0, 7, 3)),
    "a cache was written": ({"input_tokens": 10, **WRITTEN, **THOUGHT}, (30, 0, 20, 7, 3)),
    "both": ({"input_tokens": 10, **READ, **WRITTEN, **THOUGHT}, (130, 100, 20, 7, 3)),
    "both, for two times": ({"input_tokens": 10, **READ, **WRITTEN, **TIMES, **THOUGHT}, (130, 100, 20, 7, 3)),
}


class Anthropic(Upstream):
    """A provider that says `Hi`, and counts as the question tells it."""

    async def _answer(self, request: Received, number: int, writer: asyncio.StreamWriter) -> None:
        counted, _ = USAGES[request.body["messages"][0]["content"]]
        message: JSON = {"id": "m", "type": "message", "role": "assistant", "model": "claude", "content": []}
        message |= {"stop_reason": None, "stop_sequence": None, "usage": {**counted, "output_tokens": 1}}
        ending = {"stop_reason": "end_turn", "stop_sequence": None}
        if not request.body.get("stream"):
            content = [{"type": "text", "text": "Hi"}]
            await respond(writer, 200, {**message, "content": content, **ending, "usage": counted}, {})
            return
        writer.write(head(200, {"Content-Type": "text/event-stream"}))
        for event in (
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ending, "usage": counted},
            {"type": "message_stop"},
        ):
            writer.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        await writer.drain()


def counts(kind: type[AIMessage], chunks: list[JSON]) -> tuple[int, ...]:
    """Input, of which read from the cache and written to it; output, of which thinking."""
    reading = Reading()
    for chunk in chunks:
        list(reading.events(kind.model_validate(chunk)))
    ending = reading.end("chat", Watch())[-1]
    assert isinstance(ending, Finish)
    usage = ending.usage or Usage()
    finer = usage.cached_tokens, usage.cache_write_tokens, usage.output_tokens, usage.reasoning_tokens
    return usage.input_tokens, *finer


async def test_every_token_is_counted_once() -> None:
    """Streamed or not."""
    async with Anthropic() as upstream:
        told = await python("anthropic_counts.py", upstream.url, *USAGES)

    expected = {question: (counted, counted) for question, (_, counted) in USAGES.items()}
    assert {
        question: (counts(AIMessageChunk, streamed), counts(AIMessage, whole))
        for question, (streamed, whole) in told.items()
    } == expected

"""What is fuzzed: functions of bytes. Each raises only what its contract names, and keeps the invariants below."""

import json
from collections.abc import Callable
from typing import Any

from headwater.access import visitor
from headwater.access.forwarded import in_body
from headwater.access.keys import Keyring, generate
from headwater.cache import policy
from headwater.cache.key import fingerprint
from headwater.client.frames import Parser
from headwater.dialects.agui import request as agui
from headwater.dialects.anthropic import request as anthropic
from headwater.dialects.dialect import Ask
from headwater.dialects.native import request as native
from headwater.dialects.openai.dialect import OpenAI
from headwater.dialects.responses import request as responses
from headwater.dialects.vercel import request as vercel
from headwater.errors import ModelError, RequestError
from headwater.models.openai.lines import ErrorFrame
from headwater.models.openai.responses_stream import ResponsesStream
from headwater.models.openai.stream import Stream
from headwater.offsets import parse_with_run, write
from headwater.prompt import Prompt
from headwater.web.accept import preferred

Target = Callable[[bytes], bool]
"""Returns whether the bytes were taken; they are refused otherwise."""


def _prompt(read: Callable[[bytes], Prompt]) -> Target:
    """A request's body: refused with words, or a prompt that has the same fingerprint each time."""

    def target(data: bytes) -> bool:
        try:
            first, again = read(data), read(data)
        except RequestError as error:
            refusal = error
        else:
            names = {fingerprint(each, tenant="a", upstream="u", secret=b"s", salt="") for each in (first, again)}
            assert len(names) == 1
            return True
        assert 400 <= refusal.status < 500
        assert refusal.told
        return False

    return target


def _asked(read: Callable[[bytes], Ask]) -> Target:
    return _prompt(lambda data: read(data).prompt)


def _responses(data: bytes) -> Prompt:
    return responses.read(data).ask([]).prompt


def _frames(data: bytes) -> bool:
    """The client's parser: however the bytes are cut, the same frames."""
    assert _parsed(data) == _parsed(*(data[i : i + 1] for i in range(len(data))))
    return True


def _parsed(*pieces: bytes) -> Any:
    parser = Parser()
    return [frame for piece in pieces for frame in parser.feed(piece)], parser.retry


def _provider(make: Callable[[], Any]) -> Target:
    """A provider's stream, whole and in two reads: text, and an end or one of the failures that have words."""

    def target(data: bytes) -> bool:
        half = len(data) // 2
        assert _ends(make(), data)
        assert _ends(make(), data[:half], data[half:])
        return True

    return target


def _ends(stream: Any, *pieces: bytes) -> bool:
    for piece in pieces:
        if piece and stream.failure is None and not stream.done:
            stream.feed(piece)
    if stream.failure is None:
        stream.finish()
    return stream.failure is None or isinstance(stream.failure, ModelError | ErrorFrame | ValueError)


def _offset(data: bytes) -> bool:
    """An offset as it comes back: refused, or written again as it came."""
    written = data.decode("latin-1")
    try:
        offset, run = parse_with_run(written)
    except RequestError:
        return False
    assert write(offset, f"log-{run}") == written if run else str(offset) == written
    return True


def _headers(data: bytes) -> bool:
    """Header fields of a request: read, or refused with words; a credential that nobody made lets nobody in."""
    text = data.decode("latin-1")
    try:
        policy.parse(text)
    except RequestError:
        return False
    assert preferred(text, "text/event-stream", "application/json") in ("text/event-stream", "application/json")
    assert visitor.holder(text, b"secret") is None
    assert _RING.find(text) is None
    assert isinstance(in_body(data), str)
    return True


_RING = Keyring([generate("acme")[0]])

TARGETS: dict[str, Target] = {
    "native chat": _asked(native.chat),
    "native completion": _asked(native.completion),
    "openai chat": _asked(OpenAI("chat").ask),
    "openai completion": _asked(OpenAI("completion").ask),
    "responses": _prompt(_responses),
    "anthropic": _asked(anthropic.read),
    "vercel chat": _asked(lambda data: vercel.chat(data).ask),
    "vercel completion": _asked(lambda data: vercel.completion(data).ask),
    "ag-ui": _asked(lambda data: agui.run(data).ask),
    "frames of a client": _frames,
    "stream of a provider": _provider(Stream),
    "responses of a provider": _provider(ResponsesStream),
    "offset": _offset,
    "headers": _headers,
}

_SAID = [{"role": "user", "content": "Hi"}]
_PARTS = [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def _json(*values: Any) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


SEEDS: dict[str, list[bytes]] = {
    "native chat": _json(
        {"messages": _SAID, "model": "m", "temperature": 0.5, "stream": False, "conversation_id": "c"},
        {"messages": [{"role": "user", "content": _PARTS}, {"role": "assistant", "tool_calls": [_CALL]}]},
    ),
    "native completion": _json({"message": "Hi"}, {"prompt": "Hi", "max_tokens": 3}),
    "openai chat": _json(
        {"model": "m", "messages": _SAID, "stream": True, "stream_options": {"include_usage": True}, "n": 1},
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": _PARTS},
                {"role": "assistant", "content": None, "tool_calls": [_CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "x"},
            ],
            "tools": [_TOOL],
            "tool_choice": "auto",
            "response_format": {"type": "json_object"},
        },
    ),
    "openai completion": _json({"model": "m", "prompt": "Hi", "stream": True}, {"model": "m", "prompt": ["a"]}),
    "responses": _json(
        {"model": "m", "input": "Hi", "stream": True, "background": True, "store": True},
        {
            "model": "m",
            "instructions": "s",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        },
        {"model": "m", "input": [{"type": "function_call_output", "call_id": "c1", "output": "x"}], "reasoning": {}},
    ),
    "anthropic": _json(
        {"model": "m", "max_tokens": 9, "messages": _SAID, "system": [{"type": "text", "text": "s"}], "stream": True},
        {
            "model": "m",
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]},
            ],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        },
    ),
    "vercel chat": _json(
        {"id": "c", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}]},
        {
            "id": "c",
            "trigger": "regenerate-message",
            "messageId": "m",
            "messages": [{"id": "m", "role": "assistant", "parts": [{"type": "text", "text": "Hi"}]}],
        },
    ),
    "vercel completion": _json({"prompt": "Hi"}),
    "ag-ui": _json(
        {
            "threadId": "t",
            "runId": "r",
            "state": {},
            "messages": [{"id": "m", "role": "user", "content": "Hi"}],
            "tools": [{"name": "f", "description": "", "parameters": {}}],
            "context": [{"description": "d", "value": "v"}],
            "forwardedProps": {},
        }
    ),
    "frames of a client": [b"retry: 2000\n\nid: 1-2.ab\r\ndata: {}\r\rdata: a\ndata: b\n\n: hush\nevent: x\ndata:\n\n"],
    "stream of a provider": [
        b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi \\ud83d"}}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ude00","reasoning_content":"so"}}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f",'
        b'"arguments":"{"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
        b"data: [DONE]\n\n",
        b'event: error\ndata: {"error":{"message":"busy","code":529}}\n\n',
        b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}',
    ],
    "responses of a provider": [
        b'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n'
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Hi"}\n\n'
        b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"r","status":"completed",'
        b'"usage":{"input_tokens":3,"output_tokens":2}}}\n\n'
    ],
    "offset": [b"1-12.ab12", b"0-0", b"2-7"],
    "headers": [
        b"no-cache, max-age=60, only-if-cached",
        b"text/event-stream;q=0.5, application/json",
        b'{"user":"ann"}',
    ],
}
"""Valid bytes of each target, from which a fuzzer begins."""

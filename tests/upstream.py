"""A provider for tests: a real OpenAI-compatible server on a loopback socket, which can also misbehave.

    async with Upstream(tokens=["Hel", "lo"]) as upstream:
        ...                                 # point a client at upstream.url
        assert upstream.requests[0].body["stream"]

It serves `POST /v1/chat/completions` and `POST /v1/completions`, streamed or not. Its fields decide how it answers; a
test may change them between two requests. Raw asyncio, because a web framework cannot reset a connection in mid-answer
and does not report when exactly the peer left.
"""

import asyncio
import contextlib
import copy
import dataclasses
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, Self

JSON = dict[str, Any]


@dataclasses.dataclass
class Received:
    """A request, and whether its sender left before the end of the answer."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: JSON
    raw: bytes
    """The body as it came."""
    closed: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    """Set when the peer closed the connection early."""
    closed_at: float | None = None
    """The time of that, by `time.monotonic()`."""


@dataclasses.dataclass(kw_only=True)
class Upstream:
    """The server; an async context manager. Counts below are of text tokens sent."""

    tokens: Sequence[str] = ("Hel", "lo")
    reasoning: Sequence[str] = ()
    """Sent before the text, as `reasoning_content`, like vLLM, llama.cpp and DeepSeek."""
    tool_calls: Sequence[tuple[str, str, Sequence[str]]] = ()
    """Sent after the text: (id, name, pieces of the arguments)."""
    finish: str | None = "stop"
    """The finish reason; with None the stream ends cleanly without a reason and without `[DONE]`."""
    usage: tuple[int, int] | None = (3, 2)
    """Prompt and completion tokens; sent in a stream if the request has `include_usage`."""
    pace: float = 0.0
    """Seconds before each token."""
    gated: bool = False
    """Each token waits until the test calls `release`."""
    status: int | Sequence[int] = 200
    """The status of every answer, or of the first, second, … with the last for all that follow."""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    error: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"message": "no luck", "type": "test"})
    """The `error` object in the body of an answer whose status is not 200."""
    cut_after: int | None = None
    cut: Literal["rst", "eof", "end"] = "rst"
    """The kind of cut: a reset, an orderly close before the body's end, or the body's end."""
    silent_after: int | None = None
    """Send nothing more after so many tokens, and keep the connection."""
    error_after: int | None = None
    """Send `data: {"error": …}` after so many tokens, and end."""
    garbled_after: int | None = None
    """Send a line that is not JSON after so many tokens."""
    continues: Literal["flags", "prefix", "partial", "trailing"] | None = None
    """How a request must say that the last message is the beginning of the answer. Otherwise it begins anew, as with
    None; so does a prompt of completions, which always continues with any of them."""
    trap: Literal["echoes", "trims", "rewords"] | None = None
    """What it does wrong where it continues: sends the beginning too, drops white space at its end, or says it anew in
    other words."""
    faulty: int | None = None
    """The answers that are cut, silent or failed as above, counted from the first; the later ones are whole."""
    moods: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict[str, Mapping[str, Any]])
    """Other fields for the answers to requests whose last message has a word in it, by that word."""

    url: str = dataclasses.field(default="", init=False)
    """The address to point a client at, with `/v1`."""
    requests: list[Received] = dataclasses.field(default_factory=list[Received], init=False)

    @property
    def calls(self) -> int:
        """The number of requests so far."""
        return len(self.requests)

    def release(self, tokens: int = 1) -> None:
        """Let this many more tokens through the gate."""
        for _ in range(tokens):
            self._gate.release()

    async def received(self, count: int = 1) -> Received:
        """Wait for this many requests; returns the last of them."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: self.calls >= count)
        return self.requests[count - 1]

    async def __aenter__(self) -> Self:
        self._gate = asyncio.Semaphore(0)
        self._arrival = asyncio.Condition()
        self._serving: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Registered, so that leaving the context ends the task also in mid-answer.
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        # asyncio's own stream callback logs an error for a cancelled task.
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            try:
                await self._serve(reader, writer)
            finally:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _read(reader)
        async with self._arrival:
            self.requests.append(request)
            self._arrival.notify_all()
        answer = asyncio.create_task(self._in_mood(request)(request, self.calls, writer))
        # One request per connection, so a read that returns now means that the peer has left.
        left = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                request.closed_at = time.monotonic()
                request.closed.set()
        finally:
            answer.cancel()
            left.cancel()
            await asyncio.gather(answer, left, return_exceptions=True)

    def _in_mood(self, request: Received) -> Callable[..., Coroutine[Any, Any, None]]:
        said = str(request.body.get("messages", [request.body.get("prompt")])[-1])
        word = next((word for word in self.moods if word in said), None)
        if word is None:
            return self._answer
        moody = copy.copy(self)
        vars(moody).update(self.moods[word], requests=[each for each in self.requests if each.body == request.body])

        async def answer(request: Received, _: int, writer: asyncio.StreamWriter) -> None:
            await moody._answer(request, moody.calls, writer)

        return answer

    async def _answer(self, request: Received, number: int, writer: asyncio.StreamWriter) -> None:
        status = self.status if isinstance(self.status, int) else self.status[min(number, len(self.status)) - 1]
        if status != 200:
            await respond(writer, status, {"error": dict(self.error)}, self.headers)
            return
        if request.path not in ("/v1/chat/completions", "/v1/completions"):
            await respond(writer, 404, {"error": {"message": f"no route {request.path}"}}, {})
            return
        chat = request.path == "/v1/chat/completions"
        if not request.body.get("stream"):
            await respond(writer, 200, self._whole(chat), self.headers)
            return
        fields = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **self.headers}
        writer.write(head(200, fields))
        with_usage = bool(request.body.get("stream_options", {}).get("include_usage"))
        tokens, whole = self._text(request.body), self.faulty is not None and number > self.faulty
        async for line in self._lines(chat, with_usage, tokens, whole=whole):
            if line is None:
                if self.cut == "end":
                    break
                if self.cut == "rst":
                    reset(writer)
                return
            data = f"data: {line}\n\n".encode()
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    def _text(self, body: JSON) -> Sequence[str]:
        """The tokens of the answer, or those that follow where the answer was begun and this is said properly."""
        said: JSON = body["messages"][-1] if body.get("messages") else {"content": body.get("prompt")}
        flags = body.get("continue_final_message") is True and body.get("add_generation_prompt") is False
        asked = {"flags": flags, "trailing": True}.get(str(self.continues), said.get(str(self.continues)) is True)
        if self.continues is None or said.get("role") == "user" or not ("prompt" in body or asked):
            return self.tokens
        begun, text = str(said["content"]), "".join(self.tokens)
        if "prompt" in body:
            begun = max((text[:end] for end in range(len(text) + 1) if begun.endswith(text[:end])), key=len)
        if self.trap == "trims":
            begun = begun.rstrip()
        if begun.endswith(" 6, 7"):
            return [",", " 8", ",", " 9"]
        if self.trap == "echoes":
            return [begun, *following(self.tokens, begun)]
        if self.trap == "rewords":
            return [" In", " other", " words", ":", *self.tokens]
        return following(self.tokens, begun)

    async def _lines(
        self, chat: bool, with_usage: bool, tokens: Sequence[str], *, whole: bool
    ) -> AsyncIterator[str | None]:
        """The payload of each `data: ` line; None means cut the connection."""
        if chat:
            yield _chunk(chat, delta={"role": "assistant", "content": ""})
            for piece in self.reasoning:
                yield _chunk(chat, delta={"reasoning_content": piece})
        for sent in range(len(tokens) + 1):
            fault = None if whole else sent
            if fault == self.cut_after is not None:
                yield None
                return
            if fault == self.error_after is not None:
                yield json.dumps({"error": dict(self.error)})
                return
            if sent == self.garbled_after:
                yield '{"choices": [{'
            if fault == self.silent_after is not None:
                await asyncio.Event().wait()
            if sent < len(tokens):
                await self._hold()
                token = tokens[sent]
                yield _chunk(chat, delta={"content": token}, text=token)
        for index, (id, name, pieces) in enumerate(self.tool_calls):
            first = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
            yield _chunk(chat, delta={"tool_calls": [first]})
            for piece in pieces:
                yield _chunk(chat, delta={"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        if self.finish is None:
            return
        yield _chunk(chat, delta={}, finish=self.finish)
        if with_usage and self.usage:
            yield json.dumps({**_envelope(chat), "choices": [], "usage": _usage(self.usage)})
        yield "[DONE]"

    async def _hold(self) -> None:
        if self.gated:
            await self._gate.acquire()
        if self.pace:
            await asyncio.sleep(self.pace)

    def _whole(self, chat: bool) -> JSON:
        text = "".join(self.tokens)
        content = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        answer = {
            **_envelope(chat),
            "choices": [{"index": 0, "finish_reason": self.finish, "logprobs": None, **content}],
        }
        return answer | ({"usage": _usage(self.usage)} if self.usage else {})


def following(tokens: Sequence[str], begun: str) -> list[str]:
    """The tokens that follow the beginning of their text; the first of them may be the rest of one."""
    rest = list[str]()
    at = 0
    for token in tokens:
        rest += [token[max(0, len(begun) - at) :]] if at + len(token) > len(begun) else []
        at += len(token)
    return rest


def reset(writer: asyncio.StreamWriter) -> None:
    """Break the connection off, which the peer sees as a reset."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Received:
    start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = start.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, json.loads(body or b"{}"), body)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """The head of a response, after which the connection closes."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Scripted\r\nConnection: close\r\n{lines}\r\n".encode()


async def respond(writer: asyncio.StreamWriter, status: int, content: JSON, headers: Mapping[str, str]) -> None:
    """Send a whole response."""
    data = json.dumps(content).encode()
    writer.write(head(status, {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}) + data)
    await writer.drain()


def _envelope(chat: bool) -> JSON:
    kind = "chat.completion.chunk" if chat else "text_completion"
    return {"id": "up-1", "object": kind, "created": 1, "model": "scripted"}


def _chunk(chat: bool, *, delta: JSON, text: str = "", finish: str | None = None) -> str:
    content: JSON = {"delta": delta} if chat else {"text": text, "logprobs": None}
    return json.dumps({**_envelope(chat), "choices": [{"index": 0, "finish_reason": finish, **content}]})


def _usage(counts: tuple[int, int]) -> JSON:
    return {"prompt_tokens": counts[0], "completion_tokens": counts[1], "total_tokens": sum(counts)}

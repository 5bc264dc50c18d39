"""A provider for tests that speaks OpenAI's Responses API over a socket, with runs that outlive their connections.

    async with ResponsesUpstream(tokens=["Hel", "lo"]) as upstream:
        ...                                 # point a client at upstream.url

It serves `POST /v1/responses`, `GET /v1/responses/{id}` (streamed or whole) and `POST /v1/responses/{id}/cancel`.
"""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Sequence

from upstream import JSON, Received, Upstream, head, reset, respond


@dataclasses.dataclass(eq=False)
class Run:
    """One response: its events, and how many of them have happened."""

    id: str
    kept: bool
    events: list[JSON]
    happened: int = 0
    cancelled: bool = False
    changed: asyncio.Condition = dataclasses.field(default_factory=asyncio.Condition)

    @property
    def over(self) -> bool:
        """Whether nothing more happens."""
        return self.cancelled or self.happened == len(self.events)

    @property
    def response(self) -> JSON:
        """The response object as of now."""
        told = [event["response"] for event in self.events[: self.happened] if "response" in event]
        return {**told[-1], **({"status": "cancelled"} if self.cancelled else {})}


@dataclasses.dataclass(kw_only=True)
class ResponsesUpstream(Upstream):
    """The server; its fields beside those of `Upstream` that make the content."""

    refusal: str = ""
    """Said in place of a text."""
    reason: str | None = None
    """Why the response is incomplete."""
    failure: JSON | None = None
    """The error with which the response fails, after its text."""
    keeps: bool = True
    """Whether it takes `background`."""
    cuts: Sequence[int | None] = ()
    """Events after which the first, second, … stream is cut; None and those that follow are whole."""
    stalls: Sequence[int | None] = ()
    """Events after which the first, second, … stream falls silent, while its run goes on."""
    gone: int | None = None
    """The status of every later request for a run."""
    streams_again: bool = True
    """Whether a run can be streamed a second time."""
    other_words: Sequence[str] = ()
    """Tokens that replace the run's when it is streamed again."""

    runs: list[Run] = dataclasses.field(default_factory=list[Run], init=False)
    _streams: int = dataclasses.field(default=0, init=False)

    async def _answer(self, request: Received, number: int, writer: asyncio.StreamWriter) -> None:
        path, _, query = request.path.partition("?")
        match [request.method, *path.split("/")[2:]]:
            case ["POST", "responses"]:
                await self._begin(request, number, writer)
            case ["GET", "responses", id]:
                run = next((run for run in self.runs if run.id == id and run.kept), None)
                if run is None or self.gone is not None:
                    error = {"message": f"Response with id '{id}' not found.", "type": "invalid_request_error"}
                    await respond(writer, self.gone or 404, {"error": error}, {})
                elif query != "stream=true":
                    await respond(writer, 200, run.response, {})
                elif not self.streams_again:
                    message = "This response can no longer be streamed because it is more than 5 minutes old"
                    await respond(writer, 400, {"error": {"message": message}}, {})
                else:
                    if self.other_words:
                        run.events = self.events(run.id, run.kept, self.other_words)
                    await self._stream(run, writer)
            case ["POST", "responses", id, "cancel"]:
                run = next(run for run in self.runs if run.id == id)
                async with run.changed:
                    run.cancelled = True
                    run.changed.notify_all()
                await respond(writer, 200, run.response, {})
            case _:
                await respond(writer, 404, {"error": {"message": f"no route {request.path}"}}, {})

    async def _begin(self, request: Received, number: int, writer: asyncio.StreamWriter) -> None:
        status = self.status if isinstance(self.status, int) else self.status[min(number, len(self.status)) - 1]
        if status != 200:
            await respond(writer, status, {"error": dict(self.error)}, self.headers)
            return
        kept = request.body.get("background") is True
        if kept and not self.keeps:
            error = {"message": "Unsupported parameter: 'background'.", "param": "background"}
            await respond(writer, 400, {"error": error}, {})
            return
        id = f"resp_{len(self.runs) + 1}"
        run = Run(id, kept, self.events(id, kept, self.tokens))
        self.runs.append(run)
        work = asyncio.create_task(self._happen(run))
        self._serving.add(work)
        await self._stream(run, writer)
        if not kept:
            work.cancel()

    async def _happen(self, run: Run) -> None:
        """Let the events happen, each token when the pace or the gate lets it."""
        for event in run.events:
            if event["type"] == "response.output_text.delta":
                await self._hold()
            async with run.changed:
                if run.cancelled:
                    return
                run.happened += 1
                run.changed.notify_all()

    async def _stream(self, run: Run, writer: asyncio.StreamWriter) -> None:
        cut, stall = (each[self._streams] if self._streams < len(each) else None for each in (self.cuts, self.stalls))
        self._streams += 1
        writer.write(head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}))
        async for event in self._told(run, stall if cut is None else cut):
            data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
        if stall is not None:
            await asyncio.Event().wait()
        if cut is None:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        elif self.cut == "rst":
            await asyncio.sleep(0.02)  # a reset would also take away what the peer has not read yet
            reset(writer)

    async def _told(self, run: Run, cut: int | None) -> AsyncIterator[JSON]:
        for number, event in enumerate(run.events[:cut]):
            async with run.changed:
                while run.happened <= number and not run.over:
                    await run.changed.wait()
            if run.happened <= number:
                return  # the run was cancelled
            yield event

    def events(self, id: str, kept: bool, tokens: Sequence[str]) -> list[JSON]:
        """All events of a response, in the shapes of OpenAI's own."""
        began = _response(id, kept, "in_progress")
        events: list[JSON] = [{"type": "response.created", "response": began}]
        events.append({"type": "response.in_progress", "response": began})
        output: list[JSON] = []
        if self.reasoning:
            events += _reasoning(output, self.reasoning)
        if tokens or self.refusal:
            events += _message(output, [self.refusal] if self.refusal else tokens, "refusal" if self.refusal else "")
        for call, name, pieces in self.tool_calls:
            events += _function_call(output, call, name, pieces)
        status = "failed" if self.failure else "incomplete" if self.reason else "completed"
        ended = _response(id, kept, status) | {"output": output, "error": self.failure}
        if self.reason:
            ended["incomplete_details"] = {"reason": self.reason}
        if self.usage and not self.failure:
            ended["usage"] = _usage(*self.usage)
        events.append({"type": f"response.{status}", "response": ended})
        return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _response(id: str, kept: bool, status: str) -> JSON:
    fields: JSON = {"id": id, "object": "response", "created_at": 1, "status": status, "model": "scripted"}
    fields |= {"output": [], "tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "usage": None}
    return fields | {"background": kept, "store": kept, "error": None, "incomplete_details": None}


def _usage(inputs: int, outputs: int) -> JSON:
    details = {"cached_tokens": 1, "cache_write_tokens": 0}
    return {
        "input_tokens": inputs,
        "input_tokens_details": details,
        "output_tokens": outputs,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": inputs + outputs,
    }


def _item(output: list[JSON], item: JSON, done: JSON, between: list[JSON]) -> list[JSON]:
    """The events of one item of the output."""
    at: JSON = {"output_index": len(output)}
    output.append({**item, **done})
    within = [{"item_id": item["id"], **at, **event} for event in between]
    added: JSON = {"type": "response.output_item.added", **at, "item": item}
    return [added, *within, {"type": "response.output_item.done", **at, "item": output[-1]}]


def _reasoning(output: list[JSON], pieces: Sequence[str]) -> list[JSON]:
    """A summary; each of its pieces is a part of its own."""
    events: list[JSON] = []
    for number, piece in enumerate(pieces):
        kind, place = "response.reasoning_summary", {"summary_index": number}
        whole = {"type": "summary_text", "text": piece}
        events += [
            {"type": f"{kind}_part.added", **place, "part": {**whole, "text": ""}},
            {"type": f"{kind}_text.delta", **place, "delta": piece},
            {"type": f"{kind}_text.done", **place, "text": piece},
            {"type": f"{kind}_part.done", **place, "part": whole},
        ]
    item: JSON = {"id": f"rs_{len(output)}", "type": "reasoning", "summary": []}
    return _item(output, item, {"summary": [{"type": "summary_text", "text": piece} for piece in pieces]}, events)


def _message(output: list[JSON], tokens: Sequence[str], refusal: str) -> list[JSON]:
    name = "refusal" if refusal else "text"
    kind, place = f"response.{refusal or 'output_text'}", {"content_index": 0}
    beside: JSON = {} if refusal else {"logprobs": []}
    part: JSON = {"type": refusal or "output_text", name: "".join(tokens)}
    part |= {} if refusal else {"annotations": [], "logprobs": []}
    events: list[JSON] = [
        {"type": "response.content_part.added", **place, "part": {**part, name: ""}},
        *({"type": f"{kind}.delta", **place, "delta": token, **beside} for token in tokens),
        {"type": f"{kind}.done", **place, name: part[name], **beside},
        {"type": "response.content_part.done", **place, "part": part},
    ]
    item: JSON = {"id": f"msg_{len(output)}", "type": "message", "role": "assistant"}
    return _item(
        output, {**item, "status": "in_progress", "content": []}, {"status": "completed", "content": [part]}, events
    )


def _function_call(output: list[JSON], call: str, name: str, pieces: Sequence[str]) -> list[JSON]:
    kind, whole = "response.function_call_arguments", "".join(pieces)
    events: list[JSON] = [
        *({"type": f"{kind}.delta", "delta": piece} for piece in pieces),
        {"type": f"{kind}.done", "name": name, "arguments": whole},
    ]
    item: JSON = {"id": f"fc_{len(output)}", "type": "function_call", "call_id": call, "name": name, "arguments": ""}
    return _item(output, {**item, "status": "in_progress"}, {"status": "completed", "arguments": whole}, events)


def words(count: int) -> list[str]:
    """Tokens of which no two are alike."""
    return [f"word{number} " for number in range(count)]

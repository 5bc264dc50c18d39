"""The AG-UI dialect: events over SSE, for one run of a thread."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headwater.answer import Answer, fold
from headwater.dialects import sse
from headwater.dialects.agui.encoder import RUN, THREAD, AguiEncoder
from headwater.dialects.agui.request import run
from headwater.dialects.dialect import BEGINNING, Ask, Cursor, Refusal
from headwater.dialects.fold import FoldReader
from headwater.dialects.problem import problem
from headwater.entries import Entry
from headwater.events import Error


class Agui:
    """AG-UI for one request: its events carry the client's own ids of the thread and the run."""

    name = "ag-ui"
    media_type = sse.MEDIA_TYPE
    heartbeat = sse.HEARTBEAT
    delimited = False

    def __init__(self, thread: str = "", run: str = "", messages: Sequence[Mapping[str, Any]] = ()) -> None:
        self.thread = thread
        self.run = run
        self.messages = messages
        """What the thread had said before this run, as the client sent it."""

    def ask(self, body: bytes) -> Ask:
        asked = run(body)
        return asked.ask._replace(dialect=Agui(asked.thread, asked.run, asked.messages))

    def cursor(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Cursor:
        offset = query.get("offset", "-1")
        return sse.cursor(headers, {"after": "" if offset == "-1" else offset})

    def reader(self, message_id: str, cursor: Cursor = BEGINNING) -> FoldReader:
        return agui_reader(message_id, cursor, self.thread, self.run or message_id)

    def whole(self, message_id: str, entries: Sequence[Entry]) -> bytes:
        return msgspec.json.encode(messages(fold(entries, message_id)))

    def refusal(self, error: Error) -> Refusal:
        return refusal(error)

    def headers(self, message_id: str) -> Mapping[str, str]:
        return {"X-Request-Id": message_id}


class AguiReader(FoldReader):
    """One client's view of a log. TanStack's takes an id for the data after it."""

    id_first = True


def agui_reader(message_id: str, cursor: Cursor, thread: str, run: str) -> AguiReader:
    """A reader whose events carry these ids of the thread and the run."""
    gaps = {THREAD: sse.ascii(sse.encode(thread))[1:-1], RUN: sse.ascii(sse.encode(run))[1:-1]}
    return AguiReader(AguiEncoder(), message_id, cursor, gaps=gaps)


def refusal(error: Error) -> Refusal:
    """A failure as problem JSON, under a media type that AG-UI's clients read as JSON."""
    return problem(error)._replace(media_type="application/json")


def messages(answer: Answer) -> list[dict[str, Any]]:
    """The answer as messages of a thread: its reasoning, the assistant's message, and the results of tools."""
    again = (answer.id or "").partition("~")[2]
    ids = [f"{call.id}_{again}" if again else call.id for call in answer.tools]
    calls = [
        {"id": id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for id, call in zip(ids, answer.tools, strict=True)
    ]
    said: dict[str, Any] = {"id": answer.id, "role": "assistant", "content": answer.text}
    thought = {"id": f"{answer.id}-r", "role": "reasoning", "content": answer.reasoning}
    results = [
        {"id": f"{answer.id}-t{number}", "role": "tool", "toolCallId": id, "content": call.output}
        for number, (id, call) in enumerate(zip(ids, answer.tools, strict=True), 1)
        if call.output is not None
    ]
    return [*([thought] if answer.reasoning else ()), {**said, "toolCalls": calls} if calls else said, *results]

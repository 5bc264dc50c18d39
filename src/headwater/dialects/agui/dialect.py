"""The AG-UI dialect: events over SSE, for one run of a thread."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.answer import Answer
from headwater.dialects import sse
from headwater.dialects.agui import request
from headwater.dialects.agui.encoder import RUN, THREAD, AguiEncoder
from headwater.dialects.dialect import BEGINNING, Ask, Cursor, Refusal
from headwater.dialects.fold import FoldReader
from headwater.dialects.problem import problem
from headwater.events import Error


class Agui(sse.EventStream):
    """AG-UI for one request: its events carry the client's own ids of the thread and the run."""

    name = "ag-ui"

    def __init__(self, thread: str = "", run: str = "", messages: Sequence[Mapping[str, Any]] = ()) -> None:
        self.thread = thread
        self.run = run
        self.messages = messages
        """What the thread had said before this run, as the client sent it."""

    def ask(self, body: bytes) -> Ask:
        asked = request.run(body)
        return asked.ask._replace(dialect=Agui(asked.thread, asked.run, asked.messages))

    def cursor(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Cursor:
        offset = query.get("offset", "-1")
        return sse.cursor(headers, {"after": "" if offset == "-1" else offset})

    def reader(self, message_id: str, cursor: Cursor = BEGINNING) -> FoldReader:
        run = self.run or message_id
        gaps = {THREAD: sse.ascii(sse.encode(self.thread))[1:-1], RUN: sse.ascii(sse.encode(run))[1:-1]}
        return FoldReader(AguiEncoder(), message_id, cursor, gaps=gaps, id_first=True)

    def refusal(self, error: Error) -> Refusal:
        return refusal(error)


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

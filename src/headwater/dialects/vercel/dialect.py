"""The dialect of the Vercel AI SDK: one stateless object for a route, and a small one for each answer."""

from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring_ascii

from headwater.dialects import sse
from headwater.dialects.dialect import BEGINNING, Ask, Cursor, Refusal, Unspeakable
from headwater.dialects.fold import ID, FoldReader
from headwater.dialects.problem import problem
from headwater.dialects.vercel import request
from headwater.dialects.vercel.encoder import VercelEncoder
from headwater.dialects.vercel.request import Asked
from headwater.dialects.vercel.told import Told, run_id
from headwater.entries import Entry
from headwater.errors import RequestError
from headwater.events import Error, Finish, Stop

RUN = "x-workflow-run-id"
FRAMES = "startIndex"
_ENDED = Error("ended", "The answer has ended, and nothing follows what this client has received.", status=410)


class Vercel(sse.EventStream):
    """The UI message stream. `told` and `chat` belong to one answer; `body` reads a request."""

    name = "vercel"

    def __init__(
        self,
        body: Callable[[bytes], Asked] = request.chat,
        told: Told = Told(),  # noqa: B008 - immutable
        chat: str = "",
    ) -> None:
        self._body = body
        self.told = told
        self.chat = chat

    def ask(self, body: bytes) -> Ask:
        asked = self._body(body)
        return asked.ask._replace(dialect=Vercel(self._body, asked.told, asked.chat))

    def cursor(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Cursor:
        written = query.get(FRAMES)
        if written is None:
            return sse.cursor(headers, query)
        if not written.isascii() or not written.isdigit():
            raise RequestError(f"{FRAMES}={written[:40]} is not a number of parts received; 0 asks for all of them")
        return Cursor(frames=int(written[:9]))

    def reader(self, message_id: str, cursor: Cursor = BEGINNING) -> FoldReader:
        # As it stands between quotation marks, since the gap has those already.
        own = encode_basestring_ascii(self.told.own or message_id)[1:-1].encode()
        return _Reader(VercelEncoder(self.told), message_id, cursor, gaps={ID: own})

    def refusal(self, error: Error) -> Refusal:
        return plain(error)

    def headers(self, message_id: str) -> Mapping[str, str]:
        return {"x-vercel-ai-ui-message-stream": "v1", RUN: run_id(message_id, self.told)}


class _Reader(FoldReader):
    """Refuses a count of parts at the end of a log: `WorkflowChatTransport` repeats a request that says nothing."""

    def feed(self, page: Sequence[Entry]) -> bytes:
        body = super().feed(page)
        if b"data: {" not in body and page and isinstance(page[-1].event, Finish | Stop | Error):
            raise Unspeakable(instead=_ENDED)
        return body


def plain(error: Error) -> Refusal:
    """A failure as one sentence: clients show the whole body to their users."""
    return problem(error)._replace(body=error.message.encode(), media_type="text/plain; charset=utf-8")

"""The routes of the Vercel AI SDK: `useChat` with resume and stop, `WorkflowChatTransport`, `useCompletion`."""

from collections.abc import Mapping
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headwater.answers.answers import Answers
from headwater.answers.attachment import Attachment
from headwater.dialects.dialect import BEGINNING, Ask, Refusal
from headwater.dialects.text.dialect import Text
from headwater.dialects.vercel import request as vercel
from headwater.dialects.vercel.dialect import FRAMES, Vercel, plain
from headwater.dialects.vercel.told import Told, read_run_id, run_id
from headwater.errors import Expired, NoSuchLog, RequestError
from headwater.events import Error
from headwater.principal import Principal
from headwater.web.accept import wants
from headwater.web.audit import note
from headwater.web.pointers import pointer
from headwater.web.problems import Endpoint
from headwater.web.surface import Surface

CHAT, STREAM, STOP = "/api/chat", "/api/chat/{id}/stream", "/api/chat/{id}/stop"
COMPLETION = "/api/completion"
refusal = plain
_PROTOCOLS = ("text/event-stream", "text/plain")


class Chats:
    """Which run each chat has, in the store, so that every server can follow it. A chat has one run at a time.

    A chat belongs to its subject: its id is the client's own, and might be guessed or taken twice. A run id cannot be
    guessed, and is for all subjects of its tenant, as its log is.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def attached(self, ask: Ask, principal: Principal, attachment: Attachment) -> None:
        """Point the chat to the run that answers it now, and stop the run before. Raises `StoreError`."""
        dialect = ask.dialect
        if not isinstance(dialect, Vercel) or not dialect.chat:
            return
        run = run_id(attachment.message_id, dialect.told).encode()
        name, ttl = pointer("chat-", "chat", *principal, dialect.chat), self._answers.kept_for
        before = await self._answers.documents.put(name, run, ttl=ttl)
        replaced = read_run_id(before.value.decode())[0] if before else attachment.log
        if replaced.partition("~")[0] == attachment.log:
            return
        try:
            found = await self._answers.find(replaced, principal)
        except (NoSuchLog, Expired):
            return
        if found.state == "open":
            await self._answers.stop(found, principal)

    async def run(self, id: str, principal: Principal) -> tuple[str, Told]:
        """The run of the chat with this id, or the run with this id. Raises `NoSuchLog` or `StoreError`."""
        found = await self._answers.documents.get(pointer("chat-", "chat", *principal, id))
        return read_run_id(id if found is None else found.value.decode())


class _Bare(Text):
    def refusal(self, error: Error) -> Refusal:
        return plain(error)


def endpoints(surface: Surface) -> Mapping[str, Endpoint]:
    chats, answers = Chats(surface.answers), surface.answers
    completions = Vercel(vercel.completion)
    bare = _Bare(lambda body: vercel.completion(body).ask)

    async def stream(request: Request) -> Response:
        principal, dialect = await surface.principal(request), Vercel()
        counts = FRAMES in request.query_params or dialect.cursor(request.headers, request.query_params) != BEGINNING
        try:
            message_id, dialect.told = await chats.run(request.path_params["id"], principal)
            # `useChat` asks whenever a page opens: it wants a run that goes on, and nothing else.
            if counts or (await answers.find(message_id, principal)).state == "open":
                return await surface.resume(request, dialect, STREAM, message_id)
        except (NoSuchLog, Expired):
            if counts:
                raise
        return Response(status_code=204)

    async def stop(request: Request) -> Response:
        principal = await surface.principal(request)
        id = request.path_params["id"]
        try:
            found = await answers.find((await chats.run(id, principal))[0], principal)
        except NoSuchLog as error:
            words = f"there is no chat {id[:100]} of yours, and no run; nothing was stopped"
            raise RequestError(words, "no_such_chat", 404) from error
        note(request.scope, "stop", principal, found.log)
        ended = found.state != "open" or await answers.stop(found, principal)
        state = (await answers.find(found.log, principal)).state
        return JSONResponse({"state": state}, 200 if ended else 202, {"Cache-Control": "no-store"})

    async def completion(request: Request) -> Response:
        # `useCompletion` says nowhere which protocol it reads.
        text = request.query_params.get("protocol") == "text" or wants(request, *_PROTOCOLS) == _PROTOCOLS[1]
        return await surface.ask(request, bare if text else completions, COMPLETION)

    return {
        f"POST {CHAT}": partial(surface.ask, dialect=Vercel(), route=CHAT, attached=chats.attached),
        f"GET {STREAM}": stream,
        f"POST {STOP}": stop,
        f"POST {COMPLETION}": completion,
    }

"""Five tenants on one server: what each of them has, and how a test calls the server as one of them.

The server is called in the test's own task, without a socket. So a context variable can tell, in the store, for whom
it is called.
"""

import asyncio
import itertools
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from fastapi import FastAPI
from starlette.routing import BaseRoute

from headwater.access.forwarded import NAMED, by_header
from headwater.access.keyfile import KeyFile, Keys
from headwater.access.keys import parse
from headwater.answers.answers import Answers, Policy
from headwater.answers.claim import Caching
from headwater.answers.generation import Timeouts
from headwater.events import Event, Finish, TextDelta, Usage
from headwater.log.memory import MemoryStore
from headwater.log.store import Store
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import Model
from headwater.observe import Observers
from headwater.prompt import Prompt
from headwater.telemetry.metrics import Metrics
from headwater.web.app import create_app
from headwater.web.gate import PRINCIPAL, Access, Ways
from headwater.web.routes.server import About
from headwater.web.surface import Surface

TENANTS = ("acme", "ACME", "a", "acme.b", "default")
"""Names that a careless comparison, a prefix or a missing separator would mix up."""
OPERATOR = "operator-key-0001"
SLOW = "slowly"
"""A word of a question that is answered only when the server ends."""
Json = dict[str, Any]


calling: ContextVar[str] = ContextVar("calling", default="")
"""The tenant for whom the server is called."""


class Answering:
    """A model whose every answer has a number of its own, so that a test can tell whose it is."""

    name = "scripted"

    def __init__(self) -> None:
        self.owners: list[str] = []
        """For whom each answer was generated."""

    def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """One answer; of a slow question, the first half alone."""
        self.owners.append(calling.get())
        return self._answer(f"the answer No. {len(self.owners):04d}.", SLOW in repr(prompt))

    async def _answer(self, text: str, slow: bool) -> AsyncGenerator[Sequence[Event], None]:
        yield [TextDelta(text)]
        if slow:
            await asyncio.Event().wait()
        yield [Finish("stop", Usage(3, 2))]


class Watched(MemoryStore):
    """A store that notes for which tenants each of its names was used."""

    def __init__(self) -> None:
        super().__init__()
        self.used: defaultdict[str, set[str]] = defaultdict(set)

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in _NOTED and calling.get():

            def noting(*args: Any, **given: Any) -> Any:
                for each in _NOTED[name](args, given):
                    self.used[each].add(calling.get())
                return found(*args, **given)

            return noting
        return found


def _documents(args: tuple[Any, ...], given: Json) -> list[str]:
    return [f"document {given.get('collection', '')}/{args[0]}"]


def _collection(args: tuple[Any, ...], _: Json) -> list[str]:
    return [f"collection {args[0]}"]


_NOTED: dict[str, Callable[[tuple[Any, ...], Json], list[str]]] = {
    "claim": lambda args, _: [f"name {args[0]}", f"log {args[1]}"],
    "find": lambda args, _: [f"name {args[0]}"],
    "open": lambda args, given: [f"log {args[0]}", *([f"name {given['name']}"] if given.get("name") else [])],
    "get": _documents,
    "put": _documents,
    "delete": _documents,
    "list_documents": _collection,
    "renew_documents": _collection,
    "delete_documents": _collection,
}


class World(NamedTuple):
    """A server, and how to call it."""

    app: FastAPI
    client: httpx.AsyncClient
    model: Answering
    answers: Answers
    store: Watched

    async def call(self, who: str, method: str, path: str, *, shown: bool = False, **more: Any) -> httpx.Response:
        """A request with a tenant's key; `""` is nobody, and `operator` has the operator's key.

        The subject is the same in all tenants, so that nothing is kept apart by subjects alone.
        Whatever comes back holds no answer and no word of another tenant, unless it is what that one has `shown`.
        """
        key = {"": None, "operator": OPERATOR}.get(who, key_of(who))
        headers = {"authorization": f"Bearer {key}", NAMED: "ann"} if key else {}
        calling.set("" if shown or who not in TENANTS else who)
        async with asyncio.timeout(10):  # a stream that should not have been opened has no end
            response = await self.client.request(method, path, headers={**headers, **more.pop("headers", {})}, **more)
        text = response.text + repr(response.headers)
        owners = {self.model.owners[int(number) - 1] for number in answers_in(text)}
        owners |= {TENANTS[int(number)] for number in re.findall(r"word-of-(\d)", text)}
        assert shown or owners <= {who}, f"{method} {path} showed {who} what is of {owners}: {text}"
        return response


def answers_in(text: str) -> set[str]:
    """The numbers of the answers that a text has."""
    return set(re.findall(r"No\. (\d{4})", text))


def word_of(tenant: str) -> str:
    """A word that is in all that a tenant says."""
    return f"word-of-{TENANTS.index(tenant)}"


def key_of(tenant: str) -> str:
    """The key of a tenant."""
    return f"key-of-{tenant}-0001"


@asynccontextmanager
async def world(store: Watched | None = None) -> AsyncGenerator[World, None]:
    """A server with a key for each tenant, and every dialect."""
    model, kept = Answering(), store or Watched()

    async def build() -> Model:
        return model

    def opened() -> Store:
        return kept

    async def principal(request: Any) -> Any:
        return request.scope[PRINCIPAL]

    policy = Policy(Caching(secret=b"secret"), Timeouts(retries=0))
    metrics = Metrics()
    answers = Answers(opened, Catalogue(Offer(model.name, "test", True, build)), policy, Observers([metrics]))
    keys = Keys(parse(",".join(f"{each}:{key_of(each)}" for each in TENANTS)), KeyFile(Path("/nonexistent/keys.json")))
    surface = Surface(answers, principal, tick=0.001, metrics=metrics)
    app = create_app(
        surface, About("0", model.name), access=Access(keys, answers.secret, Ways(OPERATOR, users=by_header))
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=10) as client:
        try:
            yield World(app, client, model, answers, kept)
        finally:
            await answers.aclose()


def routes_of(app: FastAPI) -> set[str]:
    """Every route of an app, by method and path; but the files of the page, and the refusals of unknown paths."""

    def walked(routes: Sequence[BaseRoute]) -> set[str]:
        found: set[str] = set()
        for route in routes:
            inner = getattr(route, "original_router", None)
            if inner is not None:
                found |= walked(inner.routes)
                continue
            path, methods = getattr(route, "path", ""), getattr(route, "methods", None) or ()
            if not path.endswith("{path:path}"):
                found |= {f"{method} {path}" for method in methods}
        return found

    return walked(app.routes)


_numbers = itertools.count(1)


def asked(content: str, **more: Any) -> Json:
    """A question in a conversation."""
    number = next(_numbers)
    return {"id": f"question-{number}", "answer": f"answer-{number:04d}", "content": content, "parent": None, **more}


def chat(question: str) -> Json:
    """A chat of one question, in the form of OpenAI's, Anthropic's and our own dialect."""
    return {"messages": [{"role": "user", "content": question}], "max_tokens": 50}


def ui(question: str, id: str) -> Json:
    """The same for the Vercel AI SDK."""
    message = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": question}]}
    return {"id": id, "trigger": "submit-message", "messages": [message]}


def run(question: str, thread: str, run: str) -> Json:
    """The same for AG-UI."""
    messages = [{"id": "m1", "role": "user", "content": question}]
    empty: Json = {"state": {}, "tools": [], "context": [], "forwardedProps": {}}
    return {"threadId": thread, "runId": run, "messages": messages, **empty}

"""How tests ask in conversations, over HTTP."""

import asyncio
import itertools
from typing import Any

import httpx
from starlette.requests import Request

from headwater.principal import Principal

Json = dict[str, Any]
CHAT = "conv-0001"
_numbers = itertools.count(1)


def who(request: Request) -> Principal:
    """The caller that the header `x-who` names."""
    return Principal("acme", request.headers.get("x-who", "ann"))


def at(chat: str = CHAT, rest: str = "") -> str:
    """The path of a conversation, or of what lies below it."""
    return f"/api/conversations/{chat}{rest}"


def asked(content: str | None = "Hi", parent: str | None = None, **fields: Any) -> Json:
    """The body of a question; without content, of another answer to `parent`."""
    number = next(_numbers)
    told: Json = {} if content is None else {"id": f"question-{number}", "content": content}
    return {"answer": f"answer-{number:04d}", "parent": parent, **told, **fields}


async def post(client: httpx.AsyncClient, body: Json, chat: str = CHAT) -> httpx.Response:
    """Ask, and return at once."""
    return await client.post(at(chat, "/messages"), json=body)


async def read(client: httpx.AsyncClient, chat: str = CHAT) -> Json:
    """The conversation as it is now."""
    response = await client.get(at(chat))
    assert response.status_code == 200, response.text
    return response.json()


async def settled(client: httpx.AsyncClient, chat: str = CHAT) -> Json:
    """The conversation once no answer of it is being written."""
    async with asyncio.timeout(10):
        while (now := await read(client, chat))["live"] is not None:
            await asyncio.sleep(0.01)
    return now


async def say(client: httpx.AsyncClient, content: str | None = "Hi", parent: str | None = None, **fields: Any) -> Json:
    """Ask, wait for the answer's end, and return the answer's node."""
    chat = fields.pop("chat", CHAT)
    body = asked(content, parent, **fields)
    response = await post(client, body, chat)
    assert response.status_code == 202, response.text
    return node(await settled(client, chat), body["answer"])


def node(conversation: Json, id: str) -> Json:
    """A message of a conversation."""
    return next(message for message in conversation["messages"] if message["id"] == id)

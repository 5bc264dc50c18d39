"""Visitors: whoever has no key is told apart by a cookie, on every route."""

import asyncio
from http.cookies import SimpleCookie

import httpx
import pytest
from fastapi import FastAPI
from serving import chat, headwater, parse, serving, text_of
from starlette.requests import Request
from starlette.responses import JSONResponse
from test_keys import ANN, bearer, keys

import headwater as library
from headwater.access import visitor
from headwater.answers.claim import Caching
from headwater.errors import StoreError
from headwater.events import Finish, TextDelta
from headwater.log.memory import MemoryStore
from headwater.models.scripted import Scripted
from headwater.principal import Principal
from headwater.web.app import Routes
from headwater.web.problems import ProblemRoute
from headwater.web.surface import Personal
from headwater.web.visitors import COOKIE

ANSWER = [TextDelta("x"), Finish("stop")]


def morsel(response: httpx.Response) -> dict[str, str]:
    """The visitor's cookie that a response sets: its value, and its attributes by their names in lower case."""
    found = SimpleCookie(response.headers["set-cookie"])[COOKIE]
    return {"value": found.value, **{name: str(value) for name, value in found.items() if value}}


async def test_the_page_makes_a_visitor_whom_every_route_knows() -> None:
    """The cookie is for this server's own use; a second visit keeps the visitor, a file of the page makes none."""
    rest = asyncio.Event()
    async with headwater(Scripted([TextDelta("x"), rest, Finish("stop")])) as server:
        page = await server.client.get("/")
        again = await server.client.get("/", headers={"if-none-match": page.headers["etag"]})
        others = [await server.client.get(path) for path in ("/mark.svg", "/shared", "/api/about", "/healthz")]
        cookie = {"cookie": f"{COOKIE}={morsel(page)['value']}"}
        server.client.cookies.clear()
        path = "/api/stream/completion/chat"
        async with server.client.stream("POST", path, json=chat(), headers=cookie) as answer:
            location = answer.headers["location"]
            assert "set-cookie" not in answer.headers
            by_nobody = await server.client.post(f"{location}/stop")
            by_another = await server.client.post(f"{location}/stop", headers={"cookie": f"{COOKIE}={visitor.new()}"})
            by_the_visitor = await server.client.post(f"{location}/stop", headers=cookie)

    assert morsel(page) == morsel(again) | {"value": morsel(page)["value"]}
    assert {name: value for name, value in morsel(page).items() if name != "value"} == {
        "path": "/",
        "max-age": str(400 * 24 * 3600),
        "httponly": "True",
        "samesite": "Lax",
    }
    assert again.status_code == 304
    assert page.headers["cache-control"] == again.headers["cache-control"] == "private, no-cache"
    assert not any("set-cookie" in other.headers for other in others)
    assert [each.json()["state"] for each in (by_nobody, by_another, by_the_visitor)] == ["open", "open", "stopped"]


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"host": "app.example", "sec-fetch-site": "none"}, True),
        ({"host": "app.example"}, False),
    ],
    ids=str,
)
async def test_the_cookie_is_for_https_where_the_browser_says_that_the_page_is(
    headers: dict[str, str], secure: bool
) -> None:
    """A browser sends Fetch Metadata over HTTPS and to its own machine only."""
    async with headwater(Scripted(ANSWER), hosts=["app.example"]) as server:
        assert ("secure" in morsel(await server.client.get("/", headers=headers))) == secure


async def test_whoever_has_a_key_is_no_visitor() -> None:
    """The key names the caller, and a cookie from before does not change that."""
    async with headwater(Scripted(ANSWER), keys=keys()) as server:
        page = await server.client.get("/", headers={**bearer(ANN), "accept": "text/html"})
        shared = await server.client.get("/shared", headers={"accept": "text/html"})

    assert (page.status_code, page.headers.get("set-cookie")) == (200, None)
    assert (shared.status_code, shared.headers.get("set-cookie")) == (200, None)


async def test_the_page_comes_also_while_the_store_is_down() -> None:
    """It can say so; a visitor is made at a later visit."""

    class Down(MemoryStore):
        async def constant(self, name: str, value: bytes) -> bytes:
            raise StoreError("down")

    async with headwater(Scripted(ANSWER), Down(), caching=Caching()) as server:
        page = await server.client.get("/")

    assert (page.status_code, page.headers.get("set-cookie")) == (200, None)


@pytest.mark.parametrize("named", [False, True])
async def test_an_app_that_names_nobody_has_visitors_under_its_prefix(named: bool) -> None:
    """A route that keeps something for one caller then sets the cookie; an app that names its callers gets none."""
    ann = Principal("acme", "ann")
    routes = library.router("echo", store="memory:", principal=(lambda _: ann) if named else None)
    assert isinstance(routes, Routes)

    async def mine(request: Request) -> JSONResponse:
        principal = await Personal(*routes.surface).principal(request)
        assert principal == await routes.surface.principal(request)
        return JSONResponse(principal.subject)

    routes.add_api_route("/api/mine", mine, methods=["GET", "POST"], route_class_override=ProblemRoute)
    app = FastAPI()
    app.include_router(routes, prefix="/llm")
    async with serving(app, lifespan=True) as client:
        looked = await client.get("/llm/api/mine")
        first = await client.post("/llm/api/mine")
        second = await client.get("/llm/api/mine")
        answer = await client.post("/llm/api/stream/completion/chat", json=chat())

    assert first.json() == second.json()
    assert text_of(parse(answer.content))
    assert "set-cookie" not in {**looked.headers, **second.headers, **answer.headers}
    if named:
        assert (first.json(), first.headers.get("set-cookie")) == ("ann", None)
    else:
        assert first.json().startswith("visitor:")
        assert morsel(first)["path"] == "/llm/"
        assert first.headers["cache-control"] == "private, no-cache"

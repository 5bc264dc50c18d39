"""Methods: which ones a path supports, its `Allow` header, and HEAD."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from serving import Headwater, headwater, post_chat, serving

import headwater as library
from headwater.access.keyfile import KeyFile, Keys
from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted

ANSWER = [TextDelta("x"), Finish("stop")]


async def answered(server: Headwater) -> str:
    """The path of a finished answer."""
    return (await post_chat(server.client)).headers["location"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/api/about", "/api/stream"])
async def test_where_there_is_a_get_there_is_a_head(path: str) -> None:
    """Monitors and `curl -I` ask for heads (RFC 9110 §9.1); a stream's is answered without starting one."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        response = await server.client.head(path)
        begun = server.answers.running

    assert (response.status_code, response.content, begun) == (200, b"", 0)


async def test_no_route_with_a_get_is_without_a_head() -> None:
    """As the OpenAPI document lists them; most of these ids name nothing, and a head says that too."""
    async with headwater(Scripted(ANSWER), pins=True) as server:
        paths = (await server.client.get("/openapi.json")).json()["paths"]
        gets = [path for path, methods in paths.items() if "get" in methods]
        heads = {path: (await server.client.head(re.sub("{.*?}", "nothing", path))).status_code for path in gets}

    assert "/api/operator/pins" in gets
    assert [path for path, status in heads.items() if status == 405] == []


async def test_the_head_of_a_log_is_that_of_its_stream() -> None:
    """Or that of its refusal, if there is no stream."""
    async with headwater(Scripted(ANSWER)) as server:
        at = await answered(server)
        there = await server.client.head(at)
        nowhere = await server.client.head("/api/streams/abcdefgh-1")

    assert (there.status_code, there.headers["location"]) == (200, at)
    assert there.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert nowhere.status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/api/stream", "GET, HEAD, POST"),
        ("PROPFIND", "/api/stream", "GET, HEAD, POST"),
        ("GET", "/api/stream/completion", "POST"),
        ("GET", "/api/stream/completion/chat", "POST"),
        ("PUT", "/api/streams/abcdefgh-1", "DELETE, GET, HEAD"),
        ("GET", "/api/streams/abcdefgh-1/stop", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("PUT", "/join/abc", "GET, HEAD, POST"),
        ("POST", "/openapi.json", "GET, HEAD"),
    ],
)
async def test_an_unsupported_method_gets_405_and_the_supported_ones(method: str, path: str, allow: str) -> None:
    """`Allow` lists the methods of the path, not those of its first route."""
    async with headwater(Scripted(ANSWER)) as server:
        response = await server.client.request(method, path)

    assert (response.status_code, response.headers["allow"]) == (405, allow)
    assert response.headers["content-type"] == "application/problem+json"
    assert allow in response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allow"), [("PUT", "/login", "GET, HEAD, POST"), ("GET", "/logout", "POST")]
)
async def test_an_unsupported_method_of_the_login_box_gets_405_too(method: str, path: str, allow: str) -> None:
    """The page, which has all other paths, would say that nothing is there."""
    async with headwater(Scripted(ANSWER), keys=Keys([], KeyFile(Path("/nonexistent/keys.json")))) as server:
        response = await server.client.request(method, path)

    assert (response.status_code, response.headers["allow"]) == (405, allow)


async def test_in_somebody_elses_app_too() -> None:
    """The app has no page that catches all other paths."""
    app = FastAPI()
    app.include_router(library.router("echo", store="memory:"), prefix="/llm")
    async with serving(app, lifespan=True) as client:
        head = await client.head("/llm/api/stream")
        put = await client.put("/llm/api/stream")
        get = await client.get("/llm/api/stream/completion/chat")

    assert head.status_code == 200
    assert (put.status_code, put.headers["allow"]) == (405, "GET, HEAD, POST")
    assert (get.status_code, get.headers["allow"]) == (405, "POST")
    assert get.headers["content-type"] == "application/problem+json"


async def test_a_path_that_nobody_has_is_not_there_for_any_method() -> None:
    """405 would promise that another method works."""
    async with headwater(Scripted(ANSWER)) as server:
        for method in ("POST", "PUT", "DELETE"):
            response = await server.client.request(method, "/api/nothing", json={})
            assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/%00", "/" + "a" * 400, "/" + "a/" * 3000], ids=["zero", "long", "deep"])
async def test_a_name_that_no_file_can_have_is_not_there(path: str) -> None:
    """Whatever error the file system raises."""
    async with headwater(Scripted(ANSWER)) as server:
        response = await server.client.get(path)

    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")

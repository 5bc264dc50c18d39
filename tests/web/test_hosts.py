"""Which hosts are served, what a refused browser is shown, and which proxies are believed."""

import re
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import chat, headwater, parse, post_chat, serving, text_of
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from headwater.access.keyfile import KeyFile, Keys
from headwater.access.keys import parse as parse_keys
from headwater.cli.proxies import Proxies
from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.web.hosts import of_this_machine

ANSWER = [TextDelta("x"), Finish("stop")]
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("192.168.1.5:8000", 200),
        ("203.0.113.9", 200),
        ("[fe80::1]:8000", 200),
        ("[::ffff:10.0.0.1]", 200),
        ("app.localhost:3000", 200),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("evil-localhost", 403),
        ("127.1", 403),
        ("0x7f000001", 403),
        ("2130706433", 403),
        ("[evil", 403),
        ("[::1].evil.example", 403),
        ("192.168.1.5@evil.example", 403),
    ],
)
async def test_any_address_is_served_and_a_foreign_name_is_not(host: str, status: int) -> None:
    """DNS rebinding needs a name: the browser takes the server for a part of the foreign site of that name."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        assert (await post_chat(server.client, host=host)).status_code == status
        rebound = await post_chat(server.client, host=host, origin=f"http://{host}")
    assert rebound.status_code == status


async def test_a_server_answers_to_the_name_of_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, short, and as mDNS spells it; nobody else's name in that domain."""
    monkeypatch.setattr(socket, "gethostname", lambda: "Desk.corp.example")
    async with headwater(Scripted(ANSWER), hosts=of_this_machine()) as server:
        for host, status in (
            ("desk.corp.example", 200),
            ("DESK:8000", 200),
            ("desk.local", 200),
            ("evil.corp.example", 403),
        ):
            assert (await post_chat(server.client, host=host)).status_code == status


async def test_probes_are_answered_under_any_name() -> None:
    """An orchestrator or a balancer calls them by a name of its own; a foreign page still may not."""
    async with headwater(Scripted(ANSWER)) as server:
        for path in ("/healthz", "/readyz"):
            assert (await server.client.get(path, headers={"host": "pod-7.cluster.example"})).status_code == 200
            foreign = {"host": "pod-7.cluster.example", "origin": "https://evil.example"}
            assert (await server.client.get(path, headers=foreign)).status_code == 403
        assert (await server.client.get("/api/about", headers={"host": "pod-7.cluster.example"})).status_code == 403


@pytest.mark.parametrize(
    ("headers", "setting"),
    [
        ({"host": "Team.Example:8000"}, "HEADWATER_HOSTS=team.example"),
        ({"origin": "https://app.example"}, "HEADWATER_ORIGINS=https://app.example"),
        ({"host": "a;rm${IFS}-r<b>"}, None),
        ({"origin": "https://x\"'><script>alert(1)</script>"}, None),
    ],
    ids=str,
)
async def test_a_refused_browser_is_shown_a_page_with_the_setting(headers: dict[str, str], setting: str | None) -> None:
    """A program gets problem JSON; nothing that came with the request is markup, or a command to copy."""
    async with headwater(Scripted(ANSWER)) as server:
        page = await server.client.get("/", headers={**headers, **BROWSER})
        problem = await server.client.get("/", headers=headers)
        fetched = await server.client.get("/", headers={**headers, **BROWSER, "sec-fetch-mode": "cors"})

    assert (page.status_code, problem.status_code) == (403, 403)
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "<script" not in page.text
    assert re.findall(r"<pre>(.*?)</pre>", page.text) == ([setting] if setting else [])
    for response in (problem, fetched):
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["code"] == "forbidden_origin"
        assert "HEADWATER_" in response.json()["detail"]


@asynccontextmanager
async def front(server: httpx.AsyncClient, *, forwards_host: bool = True) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A development server's rewrite: it sends the target's Host, and the browser's Origin as it came."""

    async def forward(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        kept = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
        if forwards_host:
            kept["x-forwarded-host"] = request.headers["host"]
        sent = server.build_request(request.method, scope["path"], content=await request.body(), headers=kept)
        answer = await server.send(sent, stream=True)
        response = StreamingResponse(answer.aiter_raw(), answer.status_code)
        response.raw_headers = [(name.lower(), value) for name, value in answer.headers.raw]
        await response(scope, receive, send)
        await answer.aclose()

    async with serving(forward) as client:
        client.headers["origin"] = str(client.base_url).rstrip("/")
        client.headers["sec-fetch-site"] = "same-origin"
        yield client


async def test_a_rewrite_of_a_development_server_works_when_its_origin_is_named() -> None:
    """Next.js and Vite send the server its own Host and the page's Origin; the login box works through them, too."""
    origin = "http://localhost:3000"
    keys = Keys(parse_keys("a-key-of-the-test"), KeyFile(Path("/nonexistent/keys.json")))
    async with (
        headwater(Scripted(ANSWER)) as unnamed,
        headwater(Scripted(ANSWER), origins=[origin], keys=keys) as named,
        front(unnamed.client) as refused,
        front(named.client) as page,
    ):
        page.headers["origin"] = refused.headers["origin"] = origin
        assert (await post_chat(refused)).status_code == 403
        assert (await post_chat(page)).status_code == 401
        assert (await page.post("/login", data={"key": "a-key-of-the-test"})).status_code == 303
        answer = await post_chat(page)

    assert text_of(parse(answer.content)) == "x"


@pytest.mark.parametrize(
    ("proxies", "status"), [(["127.0.0.1"], 200), (["127.0.0.0/8", "::1"], 200), (["10.0.0.0/8"], 403), ([], 403)]
)
async def test_a_forwarded_host_is_believed_of_named_proxies_only(proxies: list[str], status: int) -> None:
    """A proxy that is named needs no origin: the page's address is the one that it says it was asked for."""
    async with headwater(Scripted(ANSWER), proxies=proxies) as server:
        async with front(server.client) as page, front(server.client, forwards_host=False) as silent:
            assert (await post_chat(page)).status_code == status
            assert (await post_chat(silent)).status_code == 403
            page.headers["host"] = "evil.example"
            page.headers["origin"] = "http://evil.example"
            assert (await post_chat(page)).status_code == 403


async def test_a_rebound_name_stays_refused_behind_a_proxy() -> None:
    """A page of that name may send any header with it, and a proxy may pass them on: both names must be served."""
    async with headwater(Scripted(ANSWER), proxies=["127.0.0.1"]) as server:
        forged = {"host": "evil.example", "x-forwarded-host": "localhost", "origin": "http://evil.example"}
        refused = await server.client.post("/api/stream/completion/chat", json=chat(), headers=forged)
    assert refused.status_code == 403


@pytest.mark.parametrize(("peer", "scheme"), [("::ffff:10.1.2.3", "https"), ("10.1.2.3", "https"), ("::1", "http")])
async def test_a_proxy_is_known_by_its_ipv4_address_on_an_ipv6_socket(peer: str, scheme: str) -> None:
    """A server that listens on `::` sees it as `::ffff:10.1.2.3`."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["scheme"])

    async def nothing(*_: object) -> Any: ...

    scope = {"type": "http", "scheme": "http", "client": (peer, 1), "headers": [(b"x-forwarded-proto", b"https")]}
    await Proxies(app, ["10.0.0.0/8"])(scope, nothing, nothing)

    assert seen == [scheme]

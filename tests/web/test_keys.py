"""A server with keys: who is let in, as whom, and how the login box does it."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from serving import Frame, Headwater, chat, frames, headwater, parse, post_chat, text_of
from starlette.datastructures import Headers

from headwater.access import session
from headwater.access.attempts import MOST
from headwater.access.keyfile import KeyFile, Keys
from headwater.access.keys import Keyring, generate
from headwater.access.keys import parse as keys_in
from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.observe import Observer
from headwater.observe import Request as Claim
from headwater.web.gate import Access
from headwater.web.routes.server import STATIC

ANSWER = [TextDelta("x"), Finish("stop")]
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ANN, BOB, EVE = "ann-key-0001", "bob-key-0002", "eve-key-0003"
NOWHERE = KeyFile(Path("/nonexistent/keys.json"))


def keys(text: str = f"acme:{ANN},acme:{BOB},other:{EVE}") -> Keys:
    """Keys of two tenants."""
    return Keys(keys_in(text), NOWHERE)


def bearer(key: str) -> dict[str, str]:
    """The header that brings a key."""
    return {"authorization": f"Bearer {key}"}


@asynccontextmanager
async def locked(model: Scripted | None = None, valid: Keys | None = None) -> AsyncGenerator[Headwater, None]:
    """A server with keys."""
    async with headwater(model or Scripted(ANSWER), keys=valid or keys()) as server:
        yield server


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": f"Bearer {ANN}"}, 200),
        ({"authorization": f"bearer  {BOB}"}, 200),
        ({"x-api-key": EVE}, 200),
        ({"authorization": "Basic dTpw", "x-api-key": EVE}, 200),
        ({}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": f"Bearer {ANN}x"}, 401),
        ({"authorization": "Bearer wrong", "x-api-key": EVE}, 401),
        ({"authorization": f"Basic {ANN}"}, 401),
        ({"x-api-key": ANN.upper()}, 401),
        ({"x-api-key": "é"}, 401),
        ({"cookie": f"headwater_session={ANN}"}, 401),
        ({"cookie": f"headwater_session=env1.99999999999.{'0' * 64}"}, 401),
    ],
    ids=str,
)
async def test_a_key_is_needed_and_comes_in_a_header(headers: dict[str, str], status: int) -> None:
    """A refusal is problem JSON that says how, and no model is called."""
    model = Scripted(ANSWER)
    async with locked(model) as server:
        lines = [(name.encode(), value.encode()) for name, value in headers.items()]
        response = await server.client.post("/api/stream/completion/chat", json=chat(), headers=lines)

    assert response.status_code == status
    assert len(model.prompts) == (status == 200)
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/problem+json"
        assert (response.json()["code"], response.json()["retryable"]) == ("unauthorized", False)
        assert not any(key in response.text for key in (ANN, BOB, EVE))


async def test_everything_but_the_probes_the_login_box_and_what_was_shared_needs_a_key() -> None:
    """The description of the API included, whatever the path is spelled like; files of the page are no secret."""
    async with locked() as server:
        for path in ("/", "/index.html", "/api/about", "/openapi.json", "/api/stream", "/nothing", "/assets"):
            assert (await server.client.get(path)).status_code == 401, path
        for path in ("/healthz/", "//healthz", "/login/", "/Login", "/healthz%2f..", "/mark.svg/x", "/x?/healthz"):
            assert (await server.client.get(path)).status_code == 401, path
        for path in ("/api/streams/abcdefgh-1", "/api/streams/abcdefgh-1/stop"):
            assert (await server.client.delete(path)).status_code == 401, path
        for path in ("/assets/x.js", "/assets/%2e%2e/api/about", "/api/shared/none"):
            assert (await server.client.get(path)).status_code == 404, path
        for path in ("/healthz", "/readyz", "/login", "/shared"):
            assert (await server.client.get(path)).status_code == 200, path
        assert (await server.client.get("/api/about", headers=bearer(ANN))).status_code == 200


async def test_the_page_of_a_shared_conversation_has_all_its_files_without_a_key() -> None:
    """Whatever the build has beside the index."""
    files = [file.name for file in STATIC.iterdir() if file.is_file() and file.suffix not in (".br", ".gz", ".md", "")]
    assert "mark.svg" in files, "the page is not built here: make page"
    async with locked() as server:
        for name in {*files} - {"index.html"}:
            assert (await server.client.get(f"/{name}")).status_code == 200, name


async def test_a_preflight_needs_no_key_and_a_refusal_can_be_read_by_the_page_that_asked() -> None:
    """Browsers send preflights without credentials, and hide a response without CORS headers."""
    async with headwater(Scripted(ANSWER), keys=keys(), origins=["https://app.example"]) as server:
        page = {"origin": "https://app.example"}
        preflight = await server.client.options(
            "/api/stream/completion/chat",
            headers={
                **page,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,x-api-key",
            },
        )
        refused = await post_chat(server.client, **page)
        answer = await post_chat(server.client, **page, **bearer(ANN))

    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "authorization,x-api-key"
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://app.example")
    assert text_of(parse(answer.content)) == "x"


async def test_a_key_names_the_tenant_and_is_the_subject() -> None:
    """Two keys of one tenant share an answer; observers see which key asked, by its id."""
    claims: list[Claim] = []

    class Claims(Observer):
        def claimed(self, request: Claim) -> None:
            claims.append(request)

    model = Scripted(ANSWER)
    async with headwater(model, keys=keys(), observers=[Claims()]) as server:
        for key in (ANN, BOB, EVE):
            await post_chat(server.client, **bearer(key))

    assert [(tuple(claim.principal), claim.outcome) for claim in claims] == [
        (("acme", "env1"), "miss"),
        (("acme", "env2"), "hit"),
        (("other", "env3"), "miss"),
    ]
    assert len(model.prompts) == 2


async def test_another_tenants_answer_is_no_answer_at_all() -> None:
    """It cannot be read, stopped or deleted, running or finished."""
    rest = asyncio.Event()
    model = Scripted([TextDelta("se"), rest, TextDelta("cret"), Finish("stop")])
    async with locked(model) as server:
        async with server.client.stream(
            "POST", "/api/stream/completion/chat", json=chat(), headers=bearer(ANN)
        ) as answer:
            location = answer.headers["location"]
            read = frames(answer)
            assert [(await anext(read))["type"] for _ in range(2)] == ["start", "text-delta"]
            told: list[Frame] = []
            for ended in (False, True):
                foreign = [
                    await server.client.request(method, f"{location}{path}", headers={**bearer(EVE), "accept": accept})
                    for method, path in (("GET", ""), ("HEAD", ""), ("POST", "/stop"), ("DELETE", ""))
                    for accept in ("*/*", "application/json")
                ]
                assert {response.status_code for response in foreign} == {404}
                assert not any("cret" in response.text for response in foreign)
                if not ended:
                    rest.set()
                    told = [frame async for frame in read]
        state = await server.client.get(location, headers={**bearer(BOB), "accept": "application/json"})

    assert text_of(told) == "cret"
    assert (state.json()["state"], state.json()["text"]) == ("finished", "secret")


async def test_a_browser_is_led_to_the_login_box_and_back() -> None:
    """The session is a cookie that no script can read; the page and its streams work by it."""
    async with locked() as server:
        sent_away = await server.client.get("/?chat=1", headers=BROWSER)
        box = await server.client.get(sent_away.headers["location"], headers=BROWSER)
        entered = await server.client.post(sent_away.headers["location"], data={"key": f" {ANN}\n"})
        cookie = entered.headers["set-cookie"]
        page = await server.client.get(entered.headers["location"], headers=BROWSER)
        answer = await post_chat(server.client)
        ticks = await server.client.get("/api/stream")
        inside = await server.client.get("/login", headers=BROWSER)
        again = await server.client.get("/login?next=/x", headers=BROWSER)
        left = await server.client.post("/logout")
        outside = await server.client.get("/api/about")

    assert (sent_away.status_code, sent_away.headers["location"]) == (303, "/login?next=/%3Fchat%3D1")
    assert "<script" not in box.text
    assert "form-action 'self'" in box.headers["content-security-policy"]
    assert (entered.status_code, entered.headers["location"]) == (303, "/?chat=1")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/", f"max-age={session.LIFE}"} <= attributes
    assert "secure" not in attributes
    assert page.status_code == 200
    assert text_of(parse(answer.content)) == "x"
    assert ticks.status_code == 200
    assert "acme" in inside.text
    assert (again.status_code, again.headers["location"]) == (303, "/x")
    assert (left.status_code, left.headers["location"], outside.status_code) == (303, "/login", 401)
    assert not any(ANN in str(each.headers) + each.text for each in (sent_away, box, entered, page, inside))


@pytest.mark.parametrize(
    ("wanted", "back"),
    [
        ("/?a=b#c", "/?a=b#c"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\r\nset-cookie: a=b", "/"),
        ("javascript:alert(1)", "/"),
        ("/login?next=/login", "/"),
        ("/logout", "/"),
        ("", "/"),
        ("/" + "x" * 3000, "/"),
    ],
)
async def test_the_login_leads_to_paths_of_this_server_only(wanted: str, back: str) -> None:
    """A link to the box must not end on somebody else's copy of it."""
    async with locked() as server:
        entered = await server.client.post("/login", params={"next": wanted}, data={"key": ANN})
    assert (entered.status_code, entered.headers["location"]) == (303, back)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin", "origin": "http://front.example"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "http://localhost:3000"}, 303),
        ({"sec-fetch-site": "same-site", "origin": "http://localhost:3000"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "null"}, 403),
        ({}, 303),
    ],
    ids=str,
)
async def test_a_form_of_another_page_logs_nobody_in_or_out(headers: dict[str, str], status: int) -> None:
    """Otherwise its visitor would ask under the key of whoever made that page; also where its origin may call."""
    async with headwater(Scripted(ANSWER), keys=keys(), origins=["http://localhost:3000"]) as server:
        entered = await server.client.post("/login", data={"key": ANN}, headers=headers)
        left = await server.client.post("/logout", headers=headers)
    assert [entered.status_code, left.status_code] == [status, status]
    assert ("set-cookie" in entered.headers) == ("set-cookie" in left.headers) == (status == 303)


async def test_wrong_keys_are_slowed_down() -> None:
    """After a few from one address, also at once, the box takes none for a while. Programs are not affected."""
    async with locked() as server:
        guesses = (server.client.post("/login", data={"key": f"guess {n}"}) for n in range(MOST + 5))
        tried = await asyncio.gather(*guesses)
        wrong = [each for each in tried if each.status_code != 429]
        then = await server.client.post("/login", data={"key": ANN})
        program = await server.client.get("/api/about", headers=bearer(ANN))

    assert [each.status_code for each in wrong] == [401] * MOST
    assert all("not valid" in each.text and "guess" not in each.text for each in wrong)
    assert then.status_code == 429
    assert 0 < int(then.headers["retry-after"]) <= 60
    assert program.status_code == 200


@pytest.mark.parametrize("body", [b"", b"key=%ff%00", b"key", b"\xff\xfe", b"a=b&" * 900, b"key=" + b"x" * 5000])
async def test_a_form_that_is_none_is_a_wrong_key(body: bytes) -> None:
    """And no error of the server."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    async with locked() as server:
        entered = await server.client.post("/login", content=body, headers=form)
    assert entered.status_code in (401, 413)


async def test_a_key_that_is_revoked_while_a_stream_is_open(tmp_path: Path) -> None:
    """Its open stream goes on to its ending, and every new request is refused, also one of its sessions."""
    rest = asyncio.Event()
    file = KeyFile(tmp_path / "keys.json")
    (ann, written), (bob, other) = generate("acme"), generate("acme")
    file.write([ann, bob])
    clock = [0.0]
    valid = Keys([], file, clock=lambda: clock[0])
    async with locked(Scripted([TextDelta("on"), rest, TextDelta("wards"), Finish("stop")]), valid) as server:
        await server.client.post("/login", data={"key": written})
        async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as answer:
            location = answer.headers["location"]
            read = frames(answer)
            told = [await anext(read), await anext(read)]

            file.write([bob])
            clock[0] += 1
            by_session = await server.client.get(location)
            by_key = await server.client.get(location, headers=bearer(written))
            rest.set()
            told += [frame async for frame in read]
        kept = await server.client.get(location, headers=bearer(other))

    assert [by_session.status_code, by_key.status_code] == [401, 401]
    assert text_of(told) == text_of(parse(kept.content)) == "onwards"


async def test_a_server_without_keys_has_no_login(tmp_path: Path) -> None:
    """Everybody is one caller there, until the first key is made."""
    file = KeyFile(tmp_path / "keys.json")
    clock = [0.0]
    valid = Keys([], file, clock=lambda: clock[0])
    async with locked(valid=valid) as server:
        open_ = await post_chat(server.client)
        box = await server.client.get("/login")
        file.write([generate("acme")[0]])
        clock[0] += 1
        closed = await post_chat(server.client)

    assert (open_.status_code, box.status_code, box.headers["location"], closed.status_code) == (200, 303, "/", 401)


@pytest.mark.parametrize("proxies", [["127.0.0.1"], []])
async def test_the_cookie_is_for_https_where_the_page_is(proxies: list[str]) -> None:
    """The browser says so by its Origin; a header says so only when a named proxy sends it."""
    async with headwater(Scripted(ANSWER), keys=keys(), proxies=proxies, hosts=["app.example"]) as server:
        plain = await server.client.post("/login", data={"key": ANN}, headers={"x-forwarded-proto": "https"})
        page = {"host": "app.example", "origin": "https://app.example"}
        behind = await server.client.post("/login", data={"key": ANN}, headers=page)

    assert ("Secure" in plain.headers["set-cookie"]) == bool(proxies)
    assert "Secure" in behind.headers["set-cookie"]


@pytest.mark.parametrize("proxies", [["127.0.0.1"], []])
async def test_a_forged_address_escapes_no_limit(proxies: list[str]) -> None:
    """Whoever guesses keys may claim another address each time, and is believed only through a named proxy."""
    async with headwater(Scripted(ANSWER), keys=keys(), proxies=proxies) as server:
        for n in range(MOST):
            await server.client.post("/login", data={"key": "x"}, headers={"x-forwarded-for": f"203.0.113.{n}"})
        last = await server.client.post("/login", data={"key": "x"}, headers={"x-forwarded-for": "203.0.113.99"})
    assert last.status_code == (401 if proxies else 429)


async def test_an_expired_session_is_refused() -> None:
    """With the way to a new one."""
    (ann,) = keys_in(f"acme:{ANN}")
    async with locked(valid=keys(f"acme:{ANN}")) as server:
        secret = await server.answers.secret()
        for began, status in ((time.time() - session.LIFE - 1, 401), (time.time(), 200)):
            cookie = {"cookie": f"other=1; headwater_session={session.issue(ann, secret, began)}"}
            response = await server.client.get("/api/about", headers=cookie)
            assert response.status_code == status
            away = await server.client.get("/", headers={**cookie, **BROWSER})
            assert away.status_code == (303 if status == 401 else 200)
    assert session.holder(session.issue(ann, b"s", 0), Keyring([ann]), b"s", 0) == ann


async def test_the_check_of_a_key_costs_microseconds() -> None:
    """A stored answer takes some two hundred; the check must not show beside it."""
    valid = keys(",".join(f"tenant{n}:key-number-{n}" for n in range(1000)))

    async def secret() -> bytes:
        return b"secret"

    access = Access(valid, secret)
    (first,) = keys_in("tenant0:key-number-0")
    cookie = session.issue(first, b"secret", time.time())
    fillers = {f"x-{n}": "value" for n in range(10)}
    for brought in ({"authorization": "Bearer key-number-999"}, {"cookie": f"headwater_session={cookie}"}):
        headers = Headers({**fillers, **brought})
        costs: list[float] = []
        for _ in range(20):
            began = time.perf_counter()
            for _ in range(100):
                await access.key(headers)
            costs.append((time.perf_counter() - began) / 100)
        assert min(costs) < 40e-6, brought

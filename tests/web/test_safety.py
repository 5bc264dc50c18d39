"""Safety: foreign pages are refused, and a request's fields change nothing but the question."""

import pytest
from serving import chat, headwater, parse, post_chat, text_of
from upstream import Upstream

from headwater.events import Finish, TextDelta
from headwater.models.langchain import openai_models
from headwater.models.openai.connection import Account
from headwater.models.scripted import Scripted
from headwater.web.origin import ALLOWED_HEADERS

ANSWER = [TextDelta("x"), Finish("stop")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example:8000", "origin": "http://evil.example:8000"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"host": "localhost"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({}, 200),
    ],
    ids=str,
)
async def test_a_foreign_page_or_a_strange_host_is_refused(headers: dict[str, str], status: int) -> None:
    """A page that its user merely visits must not talk to a server on that user's computer."""
    model = Scripted(ANSWER)
    async with headwater(model) as server:
        response = await post_chat(server.client, **headers)

    assert response.status_code == status
    assert len(model.prompts) == (status == 200)


FOLLOWED = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


async def test_a_link_on_another_site_leads_to_the_page() -> None:
    """A link in a mail or a wiki opens the page, in a tab of its own, and no other path."""
    async with headwater(Scripted(ANSWER)) as server:
        page = await server.client.get("/", headers=FOLLOWED)
        framed = await server.client.get("/", headers={**FOLLOWED, "sec-fetch-dest": "iframe"})
        stream = await server.client.get("/api/stream", headers=FOLLOWED)
        elsewhere = await server.client.get("/", headers={**FOLLOWED, "host": "evil.example"})

    assert page.status_code == 200
    assert [refused.status_code for refused in (framed, stream, elsewhere)] == [403, 403, 403]
    assert "Open the address" in stream.json()["detail"]
    assert "HEADWATER_ORIGINS" in stream.json()["detail"]


@pytest.mark.parametrize("host", ["App.Example", "app.example", "app.example:8760", "APP.example:80"])
@pytest.mark.parametrize("named", ["App.Example", "app.example:8760"])
async def test_a_host_is_named_however_it_is_written(named: str, host: str) -> None:
    """Host names are compared without case, and may be configured with a port, as copied from an address bar."""
    async with headwater(Scripted(ANSWER), hosts=[named]) as server:
        assert (await post_chat(server.client, host=host)).status_code == 200


@pytest.mark.parametrize("host", ["[evil", ""])
async def test_a_host_that_is_none_is_not_served_where_any_origin_is(host: str) -> None:
    """`*` among the origins names no host."""
    async with headwater(Scripted(ANSWER), origins=["*"]) as server:
        assert (await post_chat(server.client, host=host)).status_code in (400, 403)


async def test_an_origin_that_is_none_is_answered_where_any_is() -> None:
    """By a status, not by a traceback."""
    async with headwater(Scripted(ANSWER), origins=["*"]) as server:
        assert (await post_chat(server.client, origin="https://[x")).status_code == 200


async def test_the_servers_own_page_is_not_foreign() -> None:
    """Browsers send `Origin` with every POST, also from the page itself."""
    async with headwater(Scripted(ANSWER)) as server:
        own = str(server.client.base_url).rstrip("/")

        response = await post_chat(server.client, origin=own)

    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


async def test_cors_is_for_the_origins_that_the_operator_named() -> None:
    """They may read where the log is and whether it was cached; others get no CORS header at all."""
    async with headwater(Scripted(ANSWER), origins=["https://app.example"]) as server:
        allowed = {"origin": "https://app.example"}
        preflight = await server.client.options(
            "/api/stream/completion/chat", headers={**allowed, "access-control-request-method": "POST"}
        )
        response = await post_chat(server.client, **allowed)
        refused = await post_chat(server.client, origin="https://app.example.evil")

    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "last-event-id" in preflight.headers["access-control-allow-headers"].lower()
    assert response.headers["access-control-allow-origin"] == "https://app.example"
    for name in ("location", "age", "cache-status", "request-id", "x-request-id"):
        assert name in response.headers["access-control-expose-headers"].lower()
    assert refused.status_code == 403


TRACING = "baggage,content-type,idempotency-key,sentry-trace,traceparent,x-custom"


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [
        (TRACING, TRACING),
        ("traceparent, Baggage", "traceparent, Baggage"),
        ("x" * 5000, ALLOWED_HEADERS),
        ("a b", ALLOWED_HEADERS),
        ("x-a\u00e9", ALLOWED_HEADERS),
        ("", ALLOWED_HEADERS),
        (",,", ALLOWED_HEADERS),
        (None, ALLOWED_HEADERS),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_an_allowed_page_may_send_any_header(wanted: str | None, allowed: str) -> None:
    """Tracing adds its own to every request of a page, and a preflight that leaves one out blocks the request."""
    lines = [(b"origin", b"https://app.example"), (b"access-control-request-method", b"POST")]
    if wanted is not None:
        lines.append((b"access-control-request-headers", wanted.encode("latin-1")))
    async with headwater(Scripted(ANSWER), origins=["https://app.example"]) as server:
        preflight = await server.client.options("/api/stream/completion/chat", headers=lines)

    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == allowed
    assert "access-control-request-headers" in preflight.headers["vary"].lower()


async def test_a_foreign_page_is_refused_whatever_headers_it_asks_for() -> None:
    """The origin decides."""
    headers = {"access-control-request-method": "POST", "access-control-request-headers": "traceparent"}
    async with headwater(Scripted(ANSWER), origins=["https://app.example"]) as server:
        preflight = await server.client.options(
            "/api/stream/completion/chat", headers={"origin": "https://evil.example", **headers}
        )

    assert preflight.status_code == 403
    assert "access-control-allow-headers" not in preflight.headers


@pytest.mark.parametrize(
    ("origins", "origin", "credentials", "allowed"),
    [
        (["https://app.example"], "https://app.example", True, True),
        (["https://app.example"], "https://app.example", False, False),
        (["https://app.example", "*"], "https://app.example", True, True),
        (["*"], "https://evil.example", True, False),
        (["https://app.example", "*"], "https://evil.example", True, False),
        (["null"], "null", True, False),
    ],
    ids=str,
)
async def test_credentials_are_for_named_origins_of_an_operator_who_wants_them(
    origins: list[str], origin: str, credentials: bool, allowed: bool
) -> None:
    """A page of any origin could use the cookies of whoever visits it."""
    async with headwater(Scripted(ANSWER), origins=origins, credentials=credentials) as server:
        preflight = await server.client.options(
            "/api/stream/completion/chat", headers={"origin": origin, "access-control-request-method": "POST"}
        )
        response = await post_chat(server.client, origin=origin)

    for each in (preflight, response):
        assert each.headers["access-control-allow-origin"] == origin
        assert each.headers.get("access-control-allow-credentials") == ("true" if allowed else None)


async def test_request_fields_never_reach_the_models_constructor_or_its_client() -> None:
    """Unknown fields travel in the provider's JSON body, and there alone."""
    async with Upstream(tokens=["safe"]) as upstream, Upstream(tokens=["stolen"]) as other:
        model = openai_models.chat("gpt-4o-mini", Account(upstream.url, "sk-operators-own-key"))
        async with headwater(model) as server:
            body = chat(
                base_url=other.url,
                api_key="sk-from-the-request",
                openai_api_base=other.url,
                timeout=0.001,
                max_retries=9,
                extra_headers={"authorization": "Bearer stolen"},
                default_headers={"x-evil": "1"},
                http_client="x",
            )
            response = await server.client.post("/api/stream/completion/chat", json=body)

    request = await upstream.received()
    assert text_of(parse(response.content)) == "safe"
    assert other.calls == 0
    assert request.headers["authorization"] == "Bearer sk-operators-own-key"
    assert "x-evil" not in request.headers


async def test_provider_messages_are_scrubbed_of_secrets() -> None:
    """Providers quote the key they were sent; neither the reader nor the store gets to see it."""
    key = "sk-operators-own-key-0123456789"
    error = {"message": f"Incorrect API key provided: {key}", "code": "invalid_api_key"}
    async with Upstream(status=401, error=error) as upstream:
        async with headwater(openai_models.chat("gpt-4o-mini", Account(upstream.url, key))) as server:
            response = await post_chat(server.client)
            kept = await server.client.get(response.headers["location"], headers={"accept": "application/json"})

    assert response.status_code == 502
    assert key not in response.text
    assert key not in kept.text


async def test_the_page_is_sent_with_a_policy_that_lets_nothing_in_from_elsewhere() -> None:
    """A model's Markdown must not make the browser call an address of the model's choice."""
    async with headwater(Scripted([])) as server:
        page = await server.client.get("/")

    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"

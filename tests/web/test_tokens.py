"""JSON Web Tokens: who is let in by one, as whom, and what is never taken for a proof."""

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI, HTTPException
from hypothesis import example, given
from hypothesis import strategies as st
from identity import AUDIENCE, KEY, NOWHERE, OTHER, SECRET, Provider, locked, post, public, rsa_key, said, signed
from jwt.algorithms import ECAlgorithm
from serving import chat, serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from headwater.access import jwks
from headwater.access.jwks import FRESH, LARGEST, PAUSE, Jwks
from headwater.access.keyfile import Keys
from headwater.access.keys import is_tenant, parse
from headwater.access.refusals import InvalidToken, KeysUnavailable
from headwater.access.tokens import PUBLISHED, SHARED, Rules, Tokens
from headwater.errors import Unsupported
from headwater.principal import Principal
from headwater.settings import Settings
from headwater.web.gate import Access, Gate, Ways
from headwater.wiring.keys import keys_of, ways_of
from headwater.wiring.router import router


def forged(header: Mapping[str, Any], key: bytes = b"", **changes: Any) -> str:
    """A token made by hand, as a library refuses to make it: HS256 with any key, or no signature."""

    def coded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    text = f"{coded(json.dumps(header).encode())}.{coded(json.dumps({**said(), **changes}).encode())}"
    return f"{text}.{coded(hmac.digest(key, text.encode(), hashlib.sha256)) if key else ''}"


async def test_a_token_names_the_tenant_and_the_subject_and_a_key_still_does() -> None:
    """A token's subject is never the name of a key: `env1` of a token is not the key `env1`."""
    provider, who = Provider(public()), list[Principal]()
    async with locked(Ways(tokens=provider.tokens()), who) as server:
        answers = [await post(server, each) for each in (signed(), signed(sub="env1", tenant="default"), KEY)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert who == [("acme", "jwt:ann"), ("default", "jwt:env1"), ("default", "env1")]


PEM = rsa_key("a").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
NOW = int(time.time())
BAD: dict[str, tuple[Callable[[], str], str]] = {
    "expired": (lambda: signed(exp=NOW - 31), "expired"),
    "without exp": (lambda: signed(exp=None), "lacks a claim"),
    "for another audience": (lambda: signed(aud="other"), "audience"),
    "without aud": (lambda: signed(aud=None), "lacks a claim"),
    "not yet valid": (lambda: signed(nbf=NOW + 9000), "not valid yet"),
    "of another key": (lambda: signed(rsa_key("b")), "signature"),
    "of a key that is not published": (lambda: signed(rsa_key("b"), kid="b"), "does not publish"),
    "without a signature": (lambda: forged({"alg": "none", "kid": "a"}), "algorithm"),
    "without an algorithm": (lambda: forged({"kid": "a"}), "algorithm"),
    "HS256 with the public key as its secret": (lambda: forged({"alg": "HS256", "kid": "a"}, PEM), "algorithm"),
    "of an algorithm that is not pinned": (lambda: signed(algorithm="RS512"), "algorithm"),
    "of an algorithm that the key is not for": (lambda: signed(algorithm="RS256", kid="ps"), "algorithm"),
    "ES256 with an RSA key": (lambda: signed(ec.generate_private_key(ec.SECP256R1()), "ES256"), "cannot be read"),
    "with a critical extension": (lambda: forged({"alg": "RS256", "kid": "a", "crit": ["x"]}, PEM), "cannot be read"),
    "without a tenant": (lambda: signed(tenant=None), "tenant"),
    "of an empty tenant": (lambda: signed(tenant=""), "tenant"),
    "of a tenant that is a list": (lambda: signed(tenant=["acme"]), "tenant"),
    "of a tenant with a separator": (lambda: signed(tenant="a:b"), "tenant"),
    "without a subject": (lambda: signed(sub=None), "subject"),
    "of an empty subject": (lambda: signed(sub=""), "subject"),
    "of a subject with a control character": (lambda: signed(sub="ann\x1f"), "subject"),
    "of a very long subject": (lambda: signed(sub="a" * 256), "subject"),
    "too long": (lambda: signed(more="a" * 20_000), "cannot be read"),
    "no token": (lambda: "a.b.c", "cannot be read"),
    "changed": (lambda: signed()[:-4] + "AAAA", "signature"),
}


async def test_what_proves_nothing_is_refused_and_told_why() -> None:
    """401 with the words of RFC 6750, and nothing of the token."""
    # The second key is for PS256 alone, whatever the token says.
    provider = Provider(public(), {**public("a"), "kid": "ps", "alg": "PS256"})
    async with locked(Ways(tokens=provider.tokens()), who := []) as server:
        for name, (make, why) in BAD.items():
            token = make()
            answer = await post(server, token, accept="text/html")
            assert (name, answer.status_code) == (name, 401)
            assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token", error_description="')
            assert answer.json()["code"] == "invalid_token"
            assert why in answer.json()["detail"], name
            assert token not in answer.text
    assert who == []


@pytest.mark.parametrize(("written", "status"), [("Bearer one.two", 401), ("Basic a.b.c", 401)])
async def test_other_words_are_keys_that_are_not_valid(written: str, status: int) -> None:
    """Only a Bearer with two dots is taken for a token."""
    async with locked(Ways(tokens=Provider(public()).tokens())) as server:
        answer = await server.client.get("/api/about", headers={"authorization": written})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (status, "Bearer")


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


HEADERS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64"]), JUNK)


@given(st.text(max_size=50) | HEADERS.map(lambda header: forged(header, b"key")))
def test_no_text_is_taken_for_a_proof_or_breaks_the_server(written: str) -> None:
    """Whatever stands in its header."""
    with pytest.raises(InvalidToken):
        asyncio.run(Provider(public()).tokens().principal(written))


@example({"exp": 10**400})
@given(st.dictionaries(st.sampled_from(["tenant", "sub", "aud", "exp", "nbf", "iat", "iss", "jti"]), JUNK))
def test_no_claim_breaks_the_server(junk: dict[str, Any]) -> None:
    """A good signature under strange claims: a principal that is well formed, or a refusal."""
    try:
        header = {"alg": "HS256"}
        tenant, subject = asyncio.run(
            Tokens(Rules(SHARED, AUDIENCE), SECRET).principal(forged(header, SECRET.encode(), **junk))
        )
    except InvalidToken:
        return
    assert is_tenant(tenant)
    assert len(subject) > len("jwt:")


async def test_the_issuer_is_checked_where_the_settings_name_one() -> None:
    """Also that the token has one."""
    tokens = Provider(public()).tokens(Rules(PUBLISHED, AUDIENCE, "https://idp.example"))
    assert await tokens.principal(signed(iss="https://idp.example")) == ("acme", "jwt:ann")
    for wrong in ({"iss": "https://idp.example/"}, {}):
        with pytest.raises(InvalidToken):
            await tokens.principal(signed(**wrong))


async def test_the_claims_have_the_names_of_the_settings() -> None:
    """Names with dots and slashes are names too, as some providers require them."""
    tokens = Provider(public()).tokens(Rules(PUBLISHED, AUDIENCE, None, "https://app.example/org", "email"))
    with pytest.raises(InvalidToken, match=r"https://app\.example/org"):
        await tokens.principal(signed(email="ann@example.org"))
    written = signed(tenant=None, **{"https://app.example/org": "org_1", "email": "ann@example.org"})
    assert await tokens.principal(written) == ("org_1", "jwt:ann@example.org")


async def test_a_shared_secret_verifies_by_hmac_only() -> None:
    """And only with this secret."""
    tokens = Tokens(Rules(SHARED, AUDIENCE), SECRET)
    assert await tokens.principal(signed(SECRET, "HS256")) == ("acme", "jwt:ann")
    for wrong in (signed(OTHER, "HS256"), signed(SECRET * 2, "HS512"), signed(), forged({"alg": "none"})):
        with pytest.raises(InvalidToken):
            await tokens.principal(wrong)


async def test_a_verified_token_is_remembered_until_it_ends() -> None:
    """Verifying costs a hundred times as much as looking it up."""
    provider = Provider(public())
    tokens, good = provider.tokens(), signed(exp=int(time.time()) + 2)
    assert await tokens.principal(good) == await tokens.principal(good)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "time", lambda: NOW + 3600)
        patched.setattr(jwt, "decode", _expired)
        with pytest.raises(InvalidToken):
            await tokens.principal(good)


def _expired(*_: Any, **__: Any) -> Any:
    raise jwt.ExpiredSignatureError


async def test_a_key_that_is_not_known_is_looked_for_once_in_a_while() -> None:
    """A provider that rotates its keys is followed at once, and one that nobody can reach is not asked by everybody."""
    provider = Provider(public())
    tokens = provider.tokens()
    await tokens.principal(signed())
    assert provider.fetched == 1
    provider.keys.append(public("b"))
    for _ in range(20):
        with pytest.raises(InvalidToken):
            await tokens.principal(signed(rsa_key("b"), kid="b"))
    assert provider.fetched == 1
    provider.now += PAUSE
    assert await tokens.principal(signed(rsa_key("b"), kid="b"))
    assert provider.fetched == 2


async def test_an_outage_keeps_the_known_keys_and_a_withdrawn_key_ends() -> None:
    """Also for tokens that were verified before."""
    provider = Provider(public("b"), public())
    tokens, ann, bob = provider.tokens(), signed(), signed(rsa_key("b"), kid="b")
    await tokens.principal(ann)
    await tokens.principal(bob)
    provider.down, provider.now = True, provider.now + FRESH
    assert await tokens.principal(ann)  # and the keys are fetched meanwhile
    provider.down, provider.keys, provider.now = False, [public("b")], provider.now + FRESH
    with pytest.raises(InvalidToken):  # who waits for the fetch, as the key `c` is not known
        await tokens.principal(signed(kid="c"))
    with pytest.raises(InvalidToken):
        await tokens.principal(ann)
    assert await tokens.principal(bob)
    assert provider.fetched == 3


async def test_a_key_that_was_withdrawn_while_nobody_asked_is_refused_at_once() -> None:
    """The first to ask waits for the fetch. In an outage one waits now and then, and the known keys stay valid."""
    provider = Provider(public("b"), public())
    tokens, ann = provider.tokens(), signed()
    await tokens.principal(ann)
    provider.down, provider.now = True, provider.now + 3 * FRESH
    assert await tokens.principal(ann)
    assert provider.fetched == 2
    provider.now += PAUSE
    assert await tokens.principal(ann)
    assert provider.fetched == 2, "nobody waits for the third fetch"
    provider.down, provider.keys, provider.now = False, [public("b")], provider.now + 3 * FRESH
    with pytest.raises(InvalidToken):
        await tokens.principal(ann)


async def test_without_any_known_key_the_answer_is_503_and_says_nothing_of_the_address() -> None:
    """The token may be good: the client is to try again."""
    provider = Provider()
    provider.down = True
    async with locked(Ways(tokens=provider.tokens())) as server:
        answer = await post(server, signed())
        assert (answer.status_code, answer.json()["retryable"]) == (503, True)
        assert "idp.example" not in answer.text
        assert (await post(server, KEY)).status_code == 200


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', b'{"keys": [1, null]}'],
)
async def test_a_document_without_public_keys_changes_nothing(document: bytes) -> None:
    """A page with an error, or a secret that somebody has published."""

    async def get(_: str) -> bytes:
        return document

    with pytest.raises(KeysUnavailable):
        await Tokens(Rules(PUBLISHED, AUDIENCE), Jwks("https://idp.example", get=get)).principal(signed())


async def test_a_token_without_a_key_id_is_verified_where_there_is_one_key() -> None:
    """With several, nobody could say which."""
    one, two = Provider(public()).tokens(), Provider(public(), public("b")).tokens()
    assert await one.principal(signed(kid=None))
    with pytest.raises(InvalidToken):
        await two.principal(signed(kid=None))


async def test_an_elliptic_curve_key_verifies_too() -> None:
    """ES256 is what many providers sign with."""
    key = ec.generate_private_key(ec.SECP256R1())
    published = {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": "e"}
    assert await Provider(published).tokens().principal(signed(key, "ES256", "e"))


async def test_the_fetch_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """In size and time, and it follows nobody elsewhere."""

    async def answer(request: Request) -> Response:
        if request.url.path == "/slow":
            await asyncio.sleep(30)
        if request.url.path == "/elsewhere":
            return RedirectResponse("/keys")
        return Response(b"x" * (LARGEST + 1 if request.url.path == "/large" else 3))

    monkeypatch.setattr(jwks, "LIMIT", 0.2)
    async with serving(Starlette(routes=[Route("/{path:path}", answer)])) as client:
        base = str(client.base_url).rstrip("/")
        assert await jwks.fetch(f"{base}/keys") == b"xxx"
        for path, error in (("slow", TimeoutError), ("elsewhere", ValueError), ("large", ValueError)):
            with pytest.raises(error):
                await jwks.fetch(f"{base}/{path}")


JWKS = {"jwks_url": "https://idp.example/keys", "jwt_audience": AUDIENCE}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"jwks_url": JWKS["jwks_url"]}, "JWT_AUDIENCE"),
        ({"jwt_audience": AUDIENCE}, "JWKS_URL and HEADWATER_JWT_SECRET"),
        ({**JWKS, "jwt_secret": SECRET}, "one of"),
        ({**JWKS, "jwks_url": "http://idp.example/keys"}, "https://"),
        ({**JWKS, "jwks_url": "file:///etc/passwd"}, "https://"),
        ({**JWKS, "jwt_algorithms": "RS256,HS256"}, "HS256 cannot"),
        ({**JWKS, "jwt_algorithms": "none"}, "none cannot"),
        ({"jwt_secret": SECRET, "jwt_audience": AUDIENCE, "jwt_algorithms": "RS256"}, "RS256 cannot"),
        ({"jwt_secret": "short", "jwt_audience": AUDIENCE}, "at least 32 bytes"),
        ({"jwt_secret": PEM.decode(), "jwt_audience": AUDIENCE}, "no public key"),
        ({"jwt_secret": SECRET, "jwt_audience": AUDIENCE, "jwt_algorithms": "HS512"}, "at least 64 bytes"),
        ({"forwarded_user": "signed"}, "FORWARDED_USER_SECRET"),
        ({"forwarded_user_secret": SECRET}, "FORWARDED_USER=signed"),
    ],
    ids=str,
)
def test_settings_that_leave_a_hole_are_refused(given: dict[str, str], named: str) -> None:
    """At the start, with the setting's name, and without the secret."""
    with pytest.raises(Unsupported, match=named) as refused:
        ways_of(Settings.model_validate(given))
    assert SECRET not in str(refused.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is optional, and the setting must not be ignored without it."""
    monkeypatch.setitem(sys.modules, "headwater.wiring.tokens", None)
    with pytest.raises(Unsupported, match=r"headwater\[jwt\]"):
        ways_of(Settings.model_validate(JWKS))


async def test_a_web_socket_passes_the_same_gate() -> None:
    """There is no route for one, and one that is added is behind the gate."""
    reached: list[Any] = []

    async def app(scope: Any, *_: Any) -> None:
        reached.append(scope["headwater.principal"])

    async def secret() -> bytes:
        return b"secret"

    gate = Gate(app, Access(Keys(parse(f"acme:{KEY}"), NOWHERE), secret))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    for headers in ([], [(b"authorization", f"Bearer {KEY}".encode())]):
        await gate({"type": "websocket", "path": "/api/socket", "headers": headers}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 401
    assert reached == [("acme", "env1")]


def test_a_server_that_takes_tokens_may_listen_everywhere_and_is_closed(tmp_path: Path) -> None:
    """It needs no API key besides; and an app has its own `principal`."""
    settings = Settings.model_validate({**JWKS, "host": "0.0.0.0", "data_dir": tmp_path})
    assert not keys_of(settings).required
    assert ways_of(settings).tokens is not None
    assert ways_of(Settings.model_validate({**JWKS, "jwks_url": "http://127.0.0.1:1/keys"})).tokens is not None
    for name in ("jwks_url", "jwt_secret", "jwt_audience", "forwarded_user", "operator_key"):
        with pytest.raises(Unsupported, match="principal="):
            router(model="echo", store="memory:", **cast("Any", {name: "x"}))


async def test_an_app_verifies_tokens_by_its_own_principal() -> None:
    """As docs/access.md has it: the app's refusal keeps its header, and its tenants never share an answer."""

    async def who(request: Request) -> Principal:
        try:
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            claims = jwt.decode(token, SECRET, ["HS256"], audience=AUDIENCE)
        except jwt.PyJWTError as error:
            raise HTTPException(401, "Log in again.", {"WWW-Authenticate": "Bearer"}) from error
        return Principal(claims["tenant"], claims["sub"])

    app = FastAPI()
    app.include_router(router("echo", store="memory:", principal=who))
    async with serving(app, lifespan=True) as client:

        async def ask(token: str, path: str = "/api/stream/completion/chat") -> Any:
            return await client.post(path, json=chat(), headers={"authorization": f"Bearer {token}"})

        nobody = await ask(signed(OTHER, "HS256"))
        ann, eve = signed(SECRET, "HS256"), signed(SECRET, "HS256", tenant="other")
        told = [(await ask(token)).headers["cache-status"] for token in (ann, ann, eve)]
        log = (await ask(ann)).headers["location"]
        stranger = await client.get(log, headers={"authorization": f"Bearer {eve}"})

    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
    assert [each.split(";")[1].strip() for each in told] == ["fwd=miss", "hit", "fwd=miss"]
    assert stranger.status_code == 404

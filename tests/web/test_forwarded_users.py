"""Users whom the holder of a key names: subjects of its tenant, where the operator says so."""

import time

import jwt
from identity import KEY, OTHER, SECRET, Provider, locked, post, public, signed
from serving import chat

from headwater.access.forwarded import by_header
from headwater.access.tokens import by_signed_header
from headwater.principal import Principal
from headwater.web.gate import Ways

USER = "X-OpenWebUI-User-Id"


async def users(ways: Ways, **headers: str) -> list[Principal]:
    """Who asks, by the key of the tenant `acme` and these headers, in our own dialect and in OpenAI's."""
    async with locked(ways, who := [], f"acme:{KEY}") as server:
        await post(server, KEY, **headers)
        body = chat("How?", user="ann", metadata={"user_id": "m"})
        line = {"authorization": f"Bearer {KEY}", **headers}
        assert (await server.client.post("/v1/chat/completions", json=body, headers=line)).status_code == 200
    return who


async def test_nobody_is_forwarded_unless_the_operator_says_so() -> None:
    """The key's holder is who asks."""
    assert await users(Ways(), **{USER: "ann"}) == [("acme", "env1")] * 2


async def test_a_header_names_a_user_of_the_keys_tenant() -> None:
    """Whatever it holds: a name is no tenant, no key and no visitor."""
    ways = Ways(users=by_header)
    assert await users(ways, **{USER: "ann@x.org"}) == [("acme", "user:ann@x.org")] * 2
    assert await users(ways, **{USER: "other/env1 visitor:x"}) == [("acme", "user:other%2Fenv1%20visitor:x")] * 2
    assert await users(ways) == [("acme", "env1")] * 2


async def test_a_field_names_a_user_in_the_dialects_that_have_one() -> None:
    """Our own routes have no such field."""
    assert await users(Ways(in_body=True), **{USER: "eve"}) == [("acme", "env1"), ("acme", "user:ann")]


async def test_a_signed_header_names_a_user_whom_nobody_can_make_up() -> None:
    """A plain one beside it changes nothing."""
    ways = Ways(users=by_signed_header(SECRET))
    good = jwt.encode({"sub": "ann", "exp": int(time.time()) + 300, "iss": "open-webui"}, SECRET)
    assert await users(ways, **{"X-OpenWebUI-User-Jwt": good, USER: "eve"}) == [("acme", "user:ann")] * 2
    async with locked(ways, who := [], f"acme:{KEY}") as server:
        for bad in (
            jwt.encode({"sub": "ann", "exp": int(time.time()) + 300}, OTHER),
            jwt.encode({"sub": "ann", "exp": int(time.time()) - 60}, SECRET),
            jwt.encode({"sub": "ann"}, SECRET),
            jwt.encode({"exp": int(time.time()) + 300}, SECRET),
            "ann",
        ):
            assert (await post(server, KEY, **{"X-OpenWebUI-User-Jwt": bad})).status_code == 401
    assert who == []


async def test_a_token_is_not_a_key_and_forwards_nobody() -> None:
    """Its subject is proven, so a header beside it changes nothing."""
    ways = Ways(tokens=Provider(public()).tokens(), users=by_header, in_body=True)
    async with locked(ways, who := []) as server:
        assert (await post(server, signed(), **{USER: "eve"})).status_code == 200
    assert who == [("acme", "jwt:ann")]

"""An identity provider, its tokens, and a server that takes them."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from serving import Headwater, chat, headwater

from headwater.access.jwks import Jwks
from headwater.access.keyfile import KeyFile, Keys
from headwater.access.keys import parse
from headwater.access.tokens import PUBLISHED, Rules, Tokens
from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted
from headwater.observe import Observer
from headwater.observe import Request as Claim
from headwater.principal import Principal
from headwater.web.gate import Ways

SECRET, OTHER = "a secret of thirty-two characters", "another secret of 32 characters.."
KEY, AUDIENCE = "ann-key-0001", "headwater"
NOWHERE = KeyFile(Path("/nonexistent/keys.json"))


@cache
def rsa_key(name: str = "a") -> rsa.RSAPrivateKey:
    """A key of an identity provider, made once for each name."""
    return rsa.generate_private_key(65537, 2048)


def public(kid: str = "a", **more: Any) -> dict[str, Any]:
    """The public half, as a provider publishes it."""
    return {**json.loads(RSAAlgorithm.to_jwk(rsa_key(kid).public_key())), "kid": kid, "use": "sig", **more}


def said(**changes: Any) -> dict[str, Any]:
    """What a good token says; None takes a claim away."""
    claims = {"tenant": "acme", "sub": "ann", "aud": AUDIENCE, "exp": int(time.time()) + 60, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def signed(key: Any = None, algorithm: str = "RS256", kid: str | None = "a", **changes: Any) -> str:
    """A token of the provider; or by another key or algorithm, or with other claims."""
    return jwt.encode(said(**changes), key or rsa_key("a"), algorithm, headers={} if kid is None else {"kid": kid})


class Provider:
    """An identity provider, and a clock."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.down = False
        self.fetched = 0
        self.now = 1000.0

    async def __call__(self, _: str) -> bytes:
        self.fetched += 1
        if self.down:
            raise OSError("connection refused")
        return json.dumps({"keys": self.keys}).encode()

    def tokens(self, rules: Rules = Rules(PUBLISHED, AUDIENCE)) -> Tokens:  # noqa: B008 - immutable
        """Who verifies its tokens."""
        return Tokens(rules, Jwks("https://idp.example/keys", lambda: self.now, self))


@asynccontextmanager
async def locked(ways: Ways, who: list[Principal] | None = None, keys: str = KEY) -> AsyncGenerator[Headwater, None]:
    """A server that takes tokens, and notes who asked a model."""

    class Noting(Observer):
        def claimed(self, request: Claim) -> None:
            if who is not None:
                who.append(request.principal)

    model = Scripted([TextDelta("x"), Finish("stop")])
    async with headwater(model, keys=Keys(parse(keys), NOWHERE), ways=ways, observers=[Noting()]) as server:
        yield server


async def post(server: Headwater, token: str, **headers: str) -> Any:
    """Ask a question with a token or a key."""
    lines = {"authorization": f"Bearer {token}", **headers}
    return await server.client.post("/api/stream/completion/chat", json=chat(), headers=lines)

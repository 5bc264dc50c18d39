"""JSON Web Tokens: who asks, as an identity provider has signed it. Needs the extra `headwater[jwt]`."""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jwt

from headwater.access.forwarded import SIGNED, Read
from headwater.access.jwks import Jwks
from headwater.access.keys import is_tenant
from headwater.access.refusals import InvalidToken
from headwater.principal import Principal

LEEWAY = 30
"""Seconds by which two clocks may differ."""
LONGEST = 16 * 1024
REMEMBERED = 4096
"""Verified tokens that are remembered, each until it ends or the published keys change."""
PUBLISHED, SHARED = ("RS256", "ES256", "EdDSA"), ("HS256",)
"""The algorithms that are taken by default: with published keys, and with a shared secret."""
ALGORITHMS = {
    True: ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"),
    False: ("HS256", "HS384", "HS512"),
}
"""Those that a setting may name, by whether the keys are published. A public key is never taken for a secret."""
_SUBJECT = re.compile(r"[!-~]{1,255}", re.ASCII)
_SENTENCES: Sequence[tuple[type[Exception], str]] = (
    (jwt.ExpiredSignatureError, "The token has expired. Get a new one."),
    (jwt.ImmatureSignatureError, "The token is not valid yet. Compare the clocks of the issuer and this server."),
    (jwt.InvalidAudienceError, "The token is for another audience than this server's."),
    (jwt.InvalidIssuerError, "The token is from another issuer than the one that this server trusts."),
    (jwt.MissingRequiredClaimError, "The token lacks a claim that this server requires, such as exp or aud."),
    (jwt.InvalidAlgorithmError, "The token is signed by an algorithm that this server does not take."),
    (jwt.InvalidSignatureError, "The token's signature is not right. It may be of another issuer, or changed."),
)
_UNREADABLE = "The token cannot be read, or its key cannot verify it. Send the whole token as the issuer gave it."


class Rules(NamedTuple):
    """What a token must say."""

    algorithms: Sequence[str]
    audience: str | None = None
    issuer: str | None = None
    tenant: str = "tenant"
    """The claim that names the tenant."""
    subject: str = "sub"
    """The claim that names the subject."""


class Tokens:
    """Finds out who a token names. `keys` are a secret, or published ones."""

    def __init__(self, rules: Rules, keys: "Jwks | str") -> None:
        self._rules = rules
        self._keys = keys
        self._verified: OrderedDict[bytes, tuple[int, Principal]] = OrderedDict()
        self._by: Any = None

    async def principal(self, written: str) -> Principal:
        """Who a token names. Raises `InvalidToken`, or `KeysUnavailable` before any published key is known."""
        if len(written) > LONGEST:
            raise InvalidToken(_UNREADABLE)
        keys = await self._keys.current() if isinstance(self._keys, Jwks) else None
        if keys is not self._by:
            self._verified.clear()
            self._by = keys
        name = hashlib.sha256(written.encode("utf-8", "surrogatepass")).digest()
        until, found = self._verified.get(name, (0, None))
        if found is None or time.time() >= until:
            claims = await self._claims(written)
            found = self._named(claims)
            self._verified[name] = int(claims["exp"]), found
            if len(self._verified) > REMEMBERED:
                self._verified.popitem(last=False)
        return found

    async def _claims(self, written: str) -> Mapping[str, Any]:
        if not isinstance(self._keys, Jwks):
            return claims(written, self._keys, self._rules)
        try:
            header = jwt.get_unverified_header(written)
            algorithm = header.get("alg")
            if algorithm not in self._rules.algorithms:
                raise jwt.InvalidAlgorithmError
            data = await self._keys.find(header.get("kid"))
            if data is None:
                raise InvalidToken("The token is signed with a key that its issuer does not publish.")
            if data.get("alg", algorithm) != algorithm:
                raise jwt.InvalidAlgorithmError
            key = jwt.PyJWK.from_dict(dict(data), algorithm)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise refused(error) from error
        return claims(written, key, self._rules)

    def _named(self, claims: Mapping[str, Any]) -> Principal:
        tenant, subject = claims.get(self._rules.tenant), claims.get(self._rules.subject)
        if not (isinstance(tenant, str) and is_tenant(tenant)):
            raise InvalidToken(
                f"The token's claim {self._rules.tenant} must name a tenant: up to 64 letters, digits and . _ @ -"
            )
        if not (isinstance(subject, str) and _SUBJECT.fullmatch(subject)):
            raise InvalidToken(
                f"The token's claim {self._rules.subject} must name a subject: up to 255 visible ASCII characters."
            )
        return Principal(tenant, f"jwt:{subject}")  # never the name of a key, of a visitor, or of a forwarded user


def claims(written: str, key: "jwt.PyJWK | str", rules: Rules) -> Mapping[str, Any]:
    """What a token says, verified. Raises `InvalidToken`."""
    required = ["exp"] + ["aud"] * (rules.audience is not None) + ["iss"] * (rules.issuer is not None)
    try:
        return jwt.decode(
            written,
            key,
            algorithms=[*rules.algorithms],
            audience=rules.audience,
            issuer=rules.issuer,
            leeway=LEEWAY,
            options={"require": required, "verify_aud": rules.audience is not None, "enforce_minimum_key_length": True},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise refused(error) from error


def refused(error: Exception) -> InvalidToken:
    """Why a token is not taken, in a sentence that holds nothing of the token."""
    return InvalidToken(next((words for kind, words in _SENTENCES if isinstance(error, kind)), _UNREADABLE))


def by_signed_header(secret: str) -> Read:
    """Reads the user from a signed header. What it returns raises `InvalidToken`."""
    rules = Rules(SHARED)

    def read(headers: Mapping[str, str]) -> str:
        written = headers.get(SIGNED, "")
        named = claims(written, secret, rules).get("sub") if written else ""
        if not isinstance(named, str) or (written and not named.strip()):
            raise InvalidToken(f"The token in {SIGNED} names no user in its claim sub.")
        return named.strip()

    return read

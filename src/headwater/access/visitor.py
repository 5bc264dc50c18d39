"""Visitors: a signed cookie that names a browser whom no key names, so that its conversations are its own. Pure.

Cookies do not tell ports apart, so servers under one host name share the cookie: it has one token for each of them.
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64encode

from headwater.principal import ANYONE, Principal

LIFE = 400 * 24 * 3600
"""Seconds for which a browser keeps the cookie after its last visit; browsers allow no more."""
SERVERS = 4
"""Tokens in a cookie at most."""
_KIND = "visitor:"
_ONE = r"[\w-]{22}\.[\w-]{43}"
_FORM = re.compile(rf"{_ONE}(?:~{_ONE}){{0,{SERVERS - 1}}}", re.ASCII)


def new() -> str:
    """The id of a new visitor: 128 random bits."""
    return secrets.token_urlsafe(16)


def principal(id: str) -> Principal:
    """A visitor as a subject of the tenant to which everybody without a key belongs."""
    return Principal(ANYONE.tenant, _KIND + id)


def is_keyless(caller: Principal) -> bool:
    """Whether neither a key nor an app names the caller."""
    return caller == ANYONE or (caller.tenant == ANYONE.tenant and caller.subject.startswith(_KIND))


def issue(id: str, secret: bytes, cookie: str = "") -> str:
    """The cookie's value for a visitor, beside what other servers have put into the browser's present `cookie`."""
    signed = f"{id}.{_signature(id, secret)}"
    others = [token for token in _tokens(cookie) if token != signed and not _is_signed(token, secret)]
    return "~".join([signed, *others][:SERVERS])


def holder(cookie: str, secret: bytes) -> str | None:
    """The visitor that a cookie names to the server with this secret; None for a forged, foreign or malformed one."""
    return next((token.partition(".")[0] for token in _tokens(cookie) if _is_signed(token, secret)), None)


def _tokens(cookie: str) -> list[str]:
    return cookie.split("~") if _FORM.fullmatch(cookie) else []


def _is_signed(token: str, secret: bytes) -> bool:
    id, _, signature = token.partition(".")
    return hmac.compare_digest(signature, _signature(id, secret))


def _signature(id: str, secret: bytes) -> str:
    signing = hmac.digest(secret, b"headwater visitor", "sha256")  # the secret also keys other things
    return urlsafe_b64encode(hmac.digest(signing, id.encode(), "sha256")).decode().rstrip("=")

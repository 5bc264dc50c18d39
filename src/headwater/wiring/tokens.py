"""JSON Web Tokens under the settings; imported where they are taken, as they need an extra."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from pydantic import SecretStr

from headwater.access.forwarded import Read
from headwater.access.jwks import Jwks
from headwater.access.tokens import ALGORITHMS, PUBLISHED, SHARED, Rules, Tokens, by_signed_header
from headwater.errors import Unsupported
from headwater.settings import Settings
from headwater.web.hosts import is_loopback


def tokens_of(settings: Settings) -> Tokens:
    """Who verifies tokens. Raises `Unsupported` for settings that leave a hole."""
    url, secret = settings.jwks_url, settings.jwt_secret
    if (url is None) == (secret is None):
        raise Unsupported("tokens need one of HEADWATER_JWKS_URL and HEADWATER_JWT_SECRET, which verify them")
    if settings.jwt_audience is None:
        raise Unsupported("tokens need HEADWATER_JWT_AUDIENCE: without it, one for any other program would do here")
    if url is not None and not _is_safe(url):
        raise Unsupported("HEADWATER_JWKS_URL must begin with https://; http:// is for loopback only")
    taken = tuple(settings.jwt_algorithms) or (SHARED if url is None else PUBLISHED)
    may = ALGORITHMS[url is not None]
    if unknown := sorted({*taken} - {*may}):
        raise Unsupported(f"HEADWATER_JWT_ALGORITHMS: {', '.join(unknown)} cannot be taken; there are {', '.join(may)}")
    rules = Rules(
        taken, settings.jwt_audience, settings.jwt_issuer, settings.jwt_tenant_claim, settings.jwt_subject_claim
    )
    return Tokens(rules, Jwks(url) if url is not None else _long(secret, "HEADWATER_JWT_SECRET", taken))


def users_of(settings: Settings) -> Read:
    """Who reads the signed users of a key's holder. Raises `Unsupported` without a secret."""
    return by_signed_header(_long(settings.forwarded_user_secret, "HEADWATER_FORWARDED_USER_SECRET", SHARED))


def _long(secret: SecretStr | None, setting: str, algorithms: Sequence[str]) -> str:
    """The secret, which must be as long as the hash that it keys (RFC 7518)."""
    written = secret.get_secret_value() if secret else ""
    shortest = max(int(each[2:]) for each in algorithms) // 8
    if len(written.encode()) < shortest or written.startswith("-----BEGIN"):
        raise Unsupported(f"{setting} must be a random secret of at least {shortest} bytes, and no public key")
    return written


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))

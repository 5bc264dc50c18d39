"""Sessions of the login box: a signed cookie that names a key, never the key itself. Pure.

A session ends with its time, with its key, and when the secret changes; the server keeps nothing of it.
"""

import hmac
import re

from headwater.access.keys import Key, Keyring

LIFE = 7 * 24 * 3600
"""Seconds from the login to the end of a session."""
_FORM = re.compile(r"([a-z0-9]{1,32})\.([0-9]{1,12})\.([0-9a-f]{64})", re.ASCII)


def issue(key: Key, secret: bytes, now: float) -> str:
    """The cookie's value for the holder of a key; `now` in seconds since 1970."""
    expires = str(int(now) + LIFE)
    return f"{key.id}.{expires}.{_signature(key, expires, secret)}"


def holder(cookie: str, keys: Keyring, secret: bytes, now: float) -> Key | None:
    """The key that a cookie stands for; None for a forged or expired one, or if the key is no longer valid."""
    form = _FORM.fullmatch(cookie)
    key = keys.get(form[1]) if form is not None and int(form[2]) > now else None
    if form is None or key is None or not hmac.compare_digest(form[3], _signature(key, form[2], secret)):
        return None
    return key


def _signature(key: Key, expires: str, secret: bytes) -> str:
    # A key of its own, since the secret also keys the cache's fingerprints; and the hash, since an id may be given to
    # another key: `env1` is whichever stands first.
    signing = hmac.digest(secret, b"headwater session", "sha256")
    return hmac.digest(signing, f"{key.id}.{expires}.{key.sha256}".encode(), "sha256").hex()

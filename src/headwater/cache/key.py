"""The key of a prompt: equal for requests that must have the same answer, different for all others. Pure.

It is an HMAC, so that nobody who sees a key learns a prompt by trying some, and its input is one canonical JSON array,
so that no two different requests can run together the way concatenated fields do.
"""

import hashlib
import hmac
import itertools
import os
import re
import secrets
from typing import Any

import msgspec

from headwater.offsets import TAG
from headwater.prompt import Prompt

VERSION = 2
"""Rises when the canonical form changes, so that an upgrade misses instead of mixing up."""

_encode = msgspec.json.Encoder(order="deterministic").encode
_SAFE = re.compile(r"[^a-z0-9]")


def fingerprint(prompt: Prompt, *, tenant: str, upstream: str, secret: bytes, salt: str = "") -> str:
    """The name a prompt's log is bound to: 64 hex digits.

    `upstream` is the address the model is reached at, since the same name elsewhere is another model. `salt` keeps
    apart what would otherwise meet, such as retries under different idempotency keys.
    """
    canonical: list[Any] = [VERSION, tenant, upstream, salt, *msgspec.structs.astuple(prompt)]
    return hmac.new(secret, _encode(canonical), hashlib.sha256).hexdigest()


def log_id(name: str, random: str) -> str:
    """An id for a log that will be bound to `name`; it begins with a tag of it, so that both can share a shard."""
    return f"{name[:TAG]}-{_SAFE.sub('', random.lower())}"


class Tokens:
    """Tokens that nobody can guess from others, without asking the system for randomness each time.

    Asking it took a tenth of the time of a stored answer. A keyed hash of a count is as good, and the process's number
    is hashed too, so that a fork does not repeat its parent's.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._count = itertools.count()

    def new(self, size: int) -> str:
        """`size` bytes, 32 at most, as hex digits."""
        counted = b"%d-%d" % (os.getpid(), next(self._count))
        return hashlib.blake2s(counted, key=self._key, digest_size=size).hexdigest()

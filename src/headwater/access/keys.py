"""API keys as the server knows them: by their SHA-256, each with its tenant. Pure.

A key has 256 random bits, so nobody finds one by trying, and its hash needs neither salt nor many rounds.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

TENANT = "default"
"""The tenant of a key that names none."""
_NAME = re.compile(r"[A-Za-z0-9][\w.@-]{0,63}", re.ASCII)
_WRITTEN = re.compile(r"[!-+\--~]+", re.ASCII)


class Key(msgspec.Struct, frozen=True):
    """One key, without the key itself."""

    id: str
    """The name by which people and logs call the key; in its principal it is the subject."""
    tenant: str
    sha256: str
    label: str = ""
    created: str = ""


class Keyring:
    """The keys that are valid, found by what a request brings."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._by_hash = {key.sha256: key for key in keys}
        self._by_id = {key.id: key for key in self._by_hash.values()}

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, written: str) -> Key | None:
        """The key that a client wrote down; None if it is not valid here."""
        return self._by_hash.get(hash_of(written))

    def get(self, id: str) -> Key | None:
        """The key of this id, if it is still valid."""
        return self._by_id.get(id)


def hash_of(written: str) -> str:
    """The SHA-256 of a key, in hex digits."""
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()


def is_tenant(name: str) -> bool:
    """Whether a tenant may be called so."""
    return _NAME.fullmatch(name) is not None


def generate(tenant: str, label: str = "") -> tuple[Key, str]:
    """A new key, and its text, `hw_<id>_<random>`, which nothing keeps. Raises `ValueError` for a malformed tenant."""
    if not is_tenant(tenant):
        raise ValueError(f"{tenant!r} is not a tenant's name; write up to 64 letters, digits and . _ @ -")
    id = secrets.token_hex(4)
    written = f"hw_{id}_{secrets.token_hex(32)}"
    return Key(id, tenant, hash_of(written), label, datetime.now(UTC).isoformat(timespec="seconds")), written


def parse(text: str) -> list[Key]:
    """The keys of `tenant:key, …`; they are called `env1`, `env2`, …

    Raises `ValueError`, whose message names the place and never the key.
    """
    keys: list[Key] = []
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    for place, entry in enumerate(entries, 1):
        before, colon, after = entry.partition(":")
        tenant, written = (before.strip(), after.strip()) if colon else (TENANT, entry)
        if not is_tenant(tenant) or not _WRITTEN.fullmatch(written):
            raise ValueError(f"entry {place} is not a key; write it as tenant:key, or as a key alone, without blanks")
        keys.append(Key(f"env{place}", tenant, hash_of(written)))
    if len({key.sha256 for key in keys}) < len(keys):
        raise ValueError("the same key is in the list twice; each key belongs to one tenant")
    if text and not keys:
        raise ValueError("it contains no key; leave the setting unset to use none")
    return keys

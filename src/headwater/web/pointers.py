"""The names of documents that lead from a client's own ids to logs, so that every server finds them."""

import hashlib

import msgspec


def pointer(kind: str, *whose: str) -> str:
    """The name of a caller's own document. Hashed, since an id has any length and must not look like another's."""
    return kind + hashlib.sha256(msgspec.json.encode(whose)).hexdigest()

"""Who asks: a tenant, and a subject within it."""

from typing import NamedTuple


class Principal(NamedTuple):
    """Who asks. Tenants never share a log; subjects of one tenant may, and only a log's last subject stops it."""

    tenant: str
    subject: str


LEAVES = "\x1f"
"""What the name of a subject ends in on a log that it leaves by ceasing to read, instead of by a stop."""

ANYONE = Principal("default", "anyone")
"""Everybody, on a server that tells nobody apart: one person's laptop."""

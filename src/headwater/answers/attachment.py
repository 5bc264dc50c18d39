"""What a request is given: the log that answers it, and how the cache has met it."""

from collections.abc import Mapping

import msgspec

from headwater.events import Cached


class Attachment(msgspec.Struct, frozen=True):
    """Where to read an answer, and where it comes from."""

    log: str
    tenant: str
    message_id: str
    """The log's id, or `<log>~<random>` for a replay, so that two messages in one chat never share an id."""
    status: str
    """The `Cache-Status` to answer with (RFC 9211)."""
    age: float | None
    """Seconds since the answer was finished; None unless it comes from the cache."""
    cached: Cached | None = None
    """How the cache has answered; None unless it has."""
    fields: Mapping[str, str] = {}
    """The header fields that tell the tenant's limits; none without a limit."""

"""The audit log: who did what to which id, from where. Never a prompt, a key or a token.

Each record of the logger `headwater.audit` has the fields `act`, `tenant`, `subject`, `id` and `address`, for handlers
that write JSON.
"""

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Literal

from starlette.types import Scope

from headwater.principal import Principal

Act = Literal[
    "key-used", "key-refused", "login", "logout", "join", "stop", "delete", "delete-conversation", "share", "unshare",
    "purge", "operator", "pin", "unpin",
]  # fmt: skip
"""What is noted."""
_logger = logging.getLogger("headwater.audit")
_NOBODY = Principal("", "")
_WRITTEN = re.compile(r"hw_([0-9a-f]{8})_", re.ASCII)


USED_AGAIN, USES = 3600.0, 4096
"""Seconds after which the use of a key from one address has another line, and uses that are remembered at most."""


class Uses:
    """Notes the use of keys, tokens and sessions: once an hour for each caller and address, not for each request."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted: dict[tuple[Principal, str], float] = {}

    def note(self, scope: Scope, principal: Principal) -> None:
        """Write a line if this caller's last one from this address is an hour old."""
        use, now = (principal, _address(scope)), self._clock()
        if now - self._noted.get(use, -USED_AGAIN) >= USED_AGAIN:
            self._noted.pop(use, None)
            if len(self._noted) >= USES:
                del self._noted[next(iter(self._noted))]  # the oldest
            self._noted[use] = now
            note(scope, "key-used", principal)


def note(scope: Scope, act: Act, principal: Principal = _NOBODY, id: str = "") -> None:
    """Write one line; `id` is what was acted on, such as a log's."""
    who = {"tenant": principal.tenant, "subject": principal.subject}
    fields = {"act": act, **who, "id": id[:200], "address": _address(scope)}
    # As JSON, so that no name can look like another line.
    line = " ".join(f"{name}={json.dumps(value)}" for name, value in fields.items() if value and name != "act")
    _logger.info("%s %s", act, line, extra=fields)


def id_of(written: str | None) -> str:
    """The id of a key that a request brought, where the key has one: it tells which one was revoked."""
    found = _WRITTEN.match(written or "")
    return found[1] if found else ""


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""

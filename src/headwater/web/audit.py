"""The audit log: who did what to which id, from where. Never a prompt, a key or a token.

Each record of the logger `headwater.audit` has the fields `act`, `tenant`, `subject`, `id` and `address`, for handlers
that write JSON.
"""

import json
import logging
import re
from typing import Literal

from starlette.types import Scope

from headwater.principal import Principal

Act = Literal[
    "key-refused", "login", "logout", "join", "stop", "delete", "delete-conversation", "share", "unshare", "purge",
    "operator", "pin", "unpin",
]  # fmt: skip
"""What is noted."""
_logger = logging.getLogger("headwater.audit")
_NOBODY = Principal("", "")
_WRITTEN = re.compile(r"hw_([0-9a-f]{8})_", re.ASCII)


def note(scope: Scope, act: Act, principal: Principal = _NOBODY, id: str = "") -> None:
    """Write one line; `id` is what was acted on, such as a log's."""
    client = scope.get("client")
    address = client[0] if client else ""
    fields = {"act": act, "tenant": principal.tenant, "subject": principal.subject, "id": id[:200], "address": address}
    # As JSON, so that no name can look like another line.
    line = " ".join(f"{name}={json.dumps(value)}" for name, value in fields.items() if value and name != "act")
    _logger.info("%s %s", act, line, extra=fields)


def id_of(written: str | None) -> str:
    """The id of a key that a request brought, where the key has one: it tells which one was revoked."""
    found = _WRITTEN.match(written or "")
    return found[1] if found else ""

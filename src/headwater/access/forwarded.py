"""Users whom an application names beside its key: subjects within the key's tenant, and never of another one.

Whoever holds the key can name anybody of its tenant in a plain header or field, so that must be the operator's wish. A
signed header cannot be made up by somebody who has the key alone.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import quote

import msgspec

from headwater.access.refusals import InvalidToken
from headwater.principal import Principal

NAMED = "x-openwebui-user-id"
SIGNED = "x-openwebui-user-jwt"
LONGEST = 255
"""Characters of a subject's name; a longer one is refused, as a part of it might be somebody else's."""

Read = Callable[[Mapping[str, str]], str]
"""Returns the user whom a request's headers name, or an empty text."""


class _Body(msgspec.Struct):
    safety_identifier: Any = None
    user: Any = None
    metadata: Any = None


def by_header(headers: Mapping[str, str]) -> str:
    """The user of a plain header."""
    return headers.get(NAMED, "").strip()


def in_body(body: bytes) -> str:
    """The user whom a request's body names: in OpenAI's fields, or in Anthropic's."""
    try:
        read = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # the dialect says what is wrong with it
        return ""
    metadata: object = read.metadata
    user = cast("dict[str, Any]", metadata).get("user_id") if isinstance(metadata, dict) else None
    named: tuple[Any, ...] = (read.safety_identifier, read.user, user)
    return next((each.strip() for each in named if isinstance(each, str) and each.strip()), "")


def within(caller: Principal, user: str) -> Principal:
    """The user as a subject of the caller's tenant; the caller itself where nobody is named. Raises `InvalidToken`."""
    if not user:
        return caller
    subject = f"user:{quote(user, safe='@+|:')}"
    if len(subject) > LONGEST:
        raise InvalidToken(f"The user's name is longer than {LONGEST} characters. Name the user by a shorter id.")
    return Principal(caller.tenant, subject)

"""The key of a prompt: equal for requests that must have the same answer, different for all others. Pure.

An HMAC, so that nobody who sees a key can find its prompt by trying candidates. Its input is one canonical JSON array,
so that no two different requests have the same input, as concatenated fields could.
"""

import hashlib
import hmac
import itertools
import os
import re
import secrets
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from headwater.cache.form import form
from headwater.offsets import TAG
from headwater.prompt import Message, Prompt, Text

VERSION = 3
"""Raise it when the canonical form of a prompt changes: an upgraded server then misses, and never mixes answers up."""

_deciding = attrgetter(*(name for name in Prompt.__struct_fields__ if name != "carried"))
_encode = msgspec.json.Encoder(order="deterministic").encode
_REASONING = ("reasoning_content", "reasoning_details")
_SAFE = re.compile(r"[^a-z0-9]")


def fingerprint(prompt: Prompt, *, tenant: str, upstream: str, secret: bytes, salt: str = "", age: str = "") -> str:
    """The name that a prompt's log is bound to: 64 hex digits.

    Every field of the prompt but `carried` counts, `extra` included, so leave out beforehand what the model will not
    send (`Offer.addressed`). `upstream` is the model's address, since the same name elsewhere is another model. `salt`
    separates requests that would otherwise share a log, such as retries under different idempotency keys. `age` is the
    token of the tenant's last purge.

    Our own turns come back as each client tells them. So ids of tool calls count by their order, as a replayed call has
    a fresh one, their arguments count as JSON, and a turn's reasoning does not count.
    """
    if any(message.tool_calls or message.tool_call_id or message.provider for message in prompt.messages):
        prompt = msgspec.structs.replace(prompt, messages=_told_alike(prompt.messages))
    canonical: list[Any] = [VERSION, [tenant, age] if age else tenant, upstream, salt, *_deciding(prompt)]
    return hmac.new(secret, _encode(canonical), hashlib.sha256).hexdigest()


def form_of(prompt: Prompt) -> Prompt | None:
    """A chat with the form of its question in place of the question, if that has one: the last turn, of a user."""
    if (formed := form(asked(prompt))) is None:
        return None
    turn = msgspec.structs.replace(prompt.messages[-1], content=formed)
    return msgspec.structs.replace(prompt, messages=[*prompt.messages[:-1], turn])


def asked(prompt: Prompt) -> str:
    """The question of a chat: its last turn, if that is a user's and one plain text; else ""."""
    turn = prompt.messages[-1]
    if prompt.kind != "chat" or turn.role != "user":
        return ""
    if isinstance(turn.content, str):
        return turn.content
    return turn.content[0].text if len(turn.content) == 1 and isinstance(turn.content[0], Text) else ""


def _told_alike(messages: Sequence[Message]) -> list[Message]:
    numbers: dict[str, str] = {}

    def number(id: str) -> str:
        return numbers.setdefault(id, str(len(numbers) + 1))

    alike: list[Message] = []
    for message in messages:
        calls = message.tool_calls and [
            msgspec.structs.replace(call, id=number(call.id), arguments=_json(call.arguments))
            for call in message.tool_calls
        ]
        answered = message.tool_call_id and number(message.tool_call_id)
        provider = {name: value for name, value in message.provider.items() if name not in _REASONING}
        alike.append(msgspec.structs.replace(message, tool_calls=calls, tool_call_id=answered, provider=provider))
    return alike


def _json(arguments: str) -> str:
    """Arguments as a client that holds them as an object may write them again; text that is not JSON as it is."""
    try:
        return _encode(msgspec.json.decode(arguments or "{}")).decode()
    except (ValueError, RecursionError):
        return arguments


def conversation_key(prompt: Prompt, *, tenant: str, secret: bytes) -> str:
    """A `prompt_cache_key` that all turns of a conversation share, so that its provider's prefix cache hits: 32 digits.

    An HMAC of the tenant, the model and the messages up to the first one of a user, so it tells the provider nothing.
    """
    asked = next((number for number, message in enumerate(prompt.messages, 1) if message.role == "user"), None)
    canonical: list[Any] = ["prompt_cache_key", tenant, prompt.model, prompt.messages[:asked]]
    return hmac.new(secret, _encode(canonical), hashlib.sha256).hexdigest()[:32]


def log_id(name: str, random: str) -> str:
    """An id for a log that will be bound to `name`; its first bytes are the name's, so that both share a shard."""
    return f"{name[:TAG]}-{_SAFE.sub('', random.lower())}"


class Tokens:
    """Random tokens that cannot be guessed from earlier ones, without a system call for each.

    `os.urandom` took a tenth of the time of a stored answer. A keyed hash of a counter is as good. The process id is
    hashed too, so that a forked process does not repeat its parent's tokens.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._count = itertools.count()

    def new(self, size: int) -> str:
        """A token of `size` bytes, 32 at most, as hex digits."""
        counted = b"%d-%d" % (os.getpid(), next(self._count))
        return hashlib.blake2s(counted, key=self._key, digest_size=size).hexdigest()

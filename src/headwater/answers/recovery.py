"""What a log's store keeps for a successor of its writer, from the claim to the seal."""

import zlib

import msgspec

from headwater.log.store import MAX_RECOVERY
from headwater.models.catalogue import Offer
from headwater.principal import Principal
from headwater.prompt import Prompt

_LARGE = 4096
"""Bytes from which on compression is worth its time."""


class Recovery(msgspec.Struct, frozen=True):
    """The question behind a log: everything a server needs to ask its model again."""

    prompt: Prompt
    upstream: str
    """The address of the model that answers, as in its offer."""
    principal: Principal
    form: int = 1


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Recovery).decode


def kept(prompt: Prompt, offer: Offer, principal: Principal) -> bytes | None:
    """The recovery of a log; None where nobody may go on: an object of the app's own that may act, a huge prompt."""
    if not offer.continuable:
        return None
    data = _encode(Recovery(prompt, offer.upstream, principal))
    data = b"z" + zlib.compress(data, 1) if len(data) >= _LARGE else data
    return data if len(data) <= MAX_RECOVERY else None


def read(data: bytes) -> Recovery | None:
    """The recovery of a log; None for one that another version wrote in another form."""
    try:
        found = _decode(zlib.decompress(data[1:]) if data.startswith(b"z") else data)
    except (msgspec.MsgspecError, UnicodeDecodeError, zlib.error):
        return None
    return found if found.form == 1 else None

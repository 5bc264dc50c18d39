"""What the tests of the client share: a short patience, and an answer read to its end."""

import httpx
import msgspec

from headwater.client import Answer, Client, Patience
from headwater.client.patience import Notice
from headwater.events import Event, Start

QUICK = Patience(pause=0.001, longest=0.005)
"""Tries as often as ever, but does not wait for the seconds that `retry: 2000` asks for."""

HI = [{"role": "user", "content": "Hi"}]


def quick(url: httpx.URL | str, patience: Patience = QUICK, on_retry: Notice | None = None) -> Client:
    """A client that comes back at once."""
    return Client(str(url), patience=patience, on_retry=on_retry)


async def read(answer: Answer) -> list[Event]:
    """Every event of an answer; its `Start` without the id, which each replay has its own of."""
    return [msgspec.structs.replace(e, message_id="") if isinstance(e, Start) else e async for e in answer]

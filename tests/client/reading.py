"""What the client's tests share: short waits, and reading an answer to its end."""

import httpx
import msgspec

from headwater.client import Answer, Client, Patience
from headwater.client.patience import Notice
from headwater.events import Event, Start

QUICK = Patience(pause=0.001, longest=0.005)
"""As many retries as usual, without waiting for the 2 s of the server's `retry:`."""

HI = [{"role": "user", "content": "Hi"}]


def quick(url: httpx.URL | str, patience: Patience = QUICK, on_retry: Notice | None = None) -> Client:
    """A client that retries at once."""
    return Client(str(url), patience=patience, on_retry=on_retry)


async def read(answer: Answer) -> list[Event]:
    """Every event of an answer, with `Start` without what differs from run to run."""
    return [
        msgspec.structs.replace(e, message_id="", created=0, cache=None) if isinstance(e, Start) else e
        async for e in answer
    ]

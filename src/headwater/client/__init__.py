"""A Python client for Headwater servers. It reads an answer's events to their ending and reconnects by itself.

async with Client("http://127.0.0.1:8000") as client:
    answer = await client.chat([{"role": "user", "content": "Hi"}])
    async for event in answer:
        ...
"""

from headwater.client.answer import Answer
from headwater.client.client import About, Client
from headwater.client.failures import NotHeadwater, NothingListens, Unreachable
from headwater.client.patience import Patience

__all__ = ["About", "Answer", "Client", "NotHeadwater", "NothingListens", "Patience", "Unreachable"]

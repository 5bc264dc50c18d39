"""httpx-sse: the loop that reconnects is its user's, as the library's own documentation has it.

python eventsource_httpx.py httpx-sse <address> <address>…     reads all of them at once
"""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

import asyncio
import json
import sys
from typing import Any

import httpx
from httpx_sse import aconnect_sse


async def read(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """The events of a log, and their ids, until 204."""
    events: list[Any] = []
    ids: list[str] = []
    retry = 1.0
    while True:
        headers = {"Last-Event-ID": ids[-1]} if ids else {}
        try:
            async with aconnect_sse(client, "GET", url, headers=headers) as source:
                if source.response.status_code == 204:
                    return {"events": events, "ids": ids, "more": 0}
                async for event in source.aiter_sse():
                    events.append(event.json())
                    ids.append(event.id)
                    retry = event.retry / 1000 if event.retry else retry
        except httpx.TransportError:
            pass
        await asyncio.sleep(retry)


async def main() -> None:
    """Read every address at once."""
    async with httpx.AsyncClient() as client:
        print(json.dumps(await asyncio.gather(*(read(client, url) for url in sys.argv[2:]))))


asyncio.run(main())

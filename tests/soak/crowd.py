"""Many open streams of one server at once: all are held while nothing is said, and all get the ending."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from processes.servers import serve
from upstream import Upstream

from soak.watch import resident

QUESTION = b'{"messages": [{"role": "user", "content": "Hi"}]}'
REQUEST = (
    b"POST /api/stream/completion/chat HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(QUESTION), QUESTION)
)
AT_ONCE = 200
"""Connections that are opened at the same time."""


@dataclass(frozen=True)
class Held:
    """What became of a crowd."""

    streams: int
    opened: float
    """Seconds until all were open."""
    ended: float
    """Seconds from the last word until all had the ending."""
    memory: float
    """Kilobytes of the server for each stream."""
    calls: int
    """Requests to the provider."""
    wrong: int
    """Streams without the whole answer."""

    def __str__(self) -> str:
        return (
            f"{self.streams} streams open after {self.opened:.1f} s, {self.memory:.1f} kB each; all ended within "
            f"{self.ended:.1f} s; {self.wrong} without the whole answer; {self.calls} calls"
        )


async def hold(streams: int, quiet: float) -> Held:
    """Open so many streams of one answer, keep them for `quiet` seconds without a word, and let the answer end."""
    async with Upstream(tokens=["Hel", "lo"], gated=True) as provider:
        settings = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": provider.url}
        settings |= {"HEADWATER_MODEL": "openai:gpt-4o-mini", "HEADWATER_STORE": "memory:", "HEADWATER_HEARTBEAT": "5"}
        async with serve(Path.cwd(), HEADWATER_FIRST_TOKEN_TIMEOUT="900", **settings) as server:
            port, before = int(str(server.client.base_url).rpartition(":")[2]), resident(server.process.pid)
            gate, begun = asyncio.Semaphore(AT_ONCE), time.monotonic()
            crowd = await asyncio.gather(*(_opened(port, gate) for _ in range(streams)))
            opened = time.monotonic() - begun
            reading = [asyncio.create_task(reader.read()) for reader, _ in crowd]
            await asyncio.sleep(quiet)
            assert not [task for task in reading if task.done()], "a stream ended by itself"
            memory = 1000 * (resident(server.process.pid) - before) / streams
            begun = time.monotonic()
            provider.release(2)
            bodies = await asyncio.gather(*reading)
            ended = time.monotonic() - begun
            for _, writer in crowd:
                writer.close()
            whole = sum(b'"Hel"' in body and b'"lo"' in body and b'"finish"' in body for body in bodies)
            return Held(streams, opened, ended, memory, provider.calls, streams - whole)


async def _opened(port: int, gate: asyncio.Semaphore) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream of the answer, once its status line is here."""
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        status = await reader.readline()
        assert b" 200 " in status, status
        return reader, writer

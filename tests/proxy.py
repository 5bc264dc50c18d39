"""A TCP proxy that breaks connections: at a given byte of the server's response, or on command."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress

import httpx


class Proxy:
    """Stands between a client and a server, and counts the connections."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        """Where it listens, on 127.0.0.1."""
        self.url = ""
        self.connections = 0
        """Accepted so far."""
        self.refusing = False
        """Whether new connections are cut before the server accepts them."""
        self.cuts: list[int] = []
        """After how many bytes from the server each of the next connections is cut; those beyond are not."""
        self._target = (host, port)
        self._live: set[asyncio.StreamWriter] = set()

    def turn_to(self, server: httpx.AsyncClient) -> None:
        """Send new connections to another server, as a balancer does when one leaves; those that live stay."""
        assert server.base_url.port is not None
        self._target = (server.base_url.host, server.base_url.port)

    def cut(self) -> None:
        """Break every connection now."""
        for writer in self._live:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            return
        left = self.cuts.pop(0) if self.cuts else None
        up, upstream = await asyncio.open_connection(*self._target)
        self._live.add(writer)
        try:
            asking = asyncio.create_task(_carry(reader, upstream, None))
            await _carry(up, writer, left)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        finally:
            self._live.discard(writer)
            upstream.transport.abort()
            writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
    """Until one side is gone, or `left` bytes have passed."""
    with suppress(OSError):
        while left is None or left > 0:
            data = await reader.read(65_536 if left is None else left)
            if not data:
                break
            left = None if left is None else left - len(data)
            writer.write(data)
            await writer.drain()
        if left is None and writer.can_write_eof():
            writer.write_eof()


@asynccontextmanager
async def breakable(server: httpx.AsyncClient) -> AsyncGenerator[Proxy, None]:
    """A proxy in front of the server that this client talks to."""
    assert server.base_url.port is not None
    async with proxying(server.base_url.host, server.base_url.port) as proxy:
        yield proxy


@asynccontextmanager
async def proxying(host: str, port: int, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Proxy, None]:
    """A proxy in front of an address; with `tls` it speaks TLS to its clients, and plainly to the address."""
    proxy = Proxy(host, port)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(proxy.serve(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    async with listening:
        proxy.port = listening.sockets[0].getsockname()[1]
        proxy.url = f"http://127.0.0.1:{proxy.port}"
        try:
            yield proxy
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def spread(cuts: Iterable[int], size: int) -> list[int]:
    """Numbers of any size as positions in `size` bytes."""
    return [cut % (size + 1) for cut in cuts]

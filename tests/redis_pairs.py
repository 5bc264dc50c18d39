"""A primary and its replica for tests, and an address that switches between them, as in a failover."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from redis_servers import Engine, Server, follows, free_port, serving, wait


class Pair(NamedTuple):
    """Two servers; the second replicates the first."""

    primary: Server
    replica: Server

    def part(self) -> None:
        """Stop the replication; the replica keeps its data, and takes writes."""
        self.replica.command("REPLICAOF", "NO", "ONE")

    def promote(self) -> None:
        """Kill the primary once the replica has everything acknowledged, and make the replica a primary."""
        # No further write is acknowledged.
        self.primary.command("CLIENT", "PAUSE", 60_000, "WRITE")
        self.wait_for_the_copy()
        self.primary.kill()
        self.part()

    def wait_for_the_copy(self) -> None:
        """Wait until the replica has everything written to the primary so far."""
        wait(lambda: _copied(self.replica) >= self.primary.command("INFO", "replication")["master_repl_offset"])


@contextmanager
def replicated(engine: Engine, *options: str) -> Generator[Pair, None, None]:
    """A primary and its replica, for as long as the context lasts."""
    with serving(engine, "--repl-diskless-sync-delay", "0", *options, port=free_port()) as primary:
        source = ("--replicaof", f"127.0.0.1 {primary.port}")
        with serving(engine, *source, *options, port=free_port()) as replica:
            wait(lambda: follows(replica))
            # Some engines report the link as up a second before the first write arrives.
            primary.command("SET", "probe", "written", "PX", 60_000)
            wait(lambda: replica.command("EXISTS", "probe") == 1)
            primary.command("DEL", "probe")
            yield Pair(primary, replica)


class Switch:
    """An address that leads to one server, and after `lead_to` to another; open connections are cut then."""

    def __init__(self, to: Server, path: Path) -> None:
        self.path = path
        self.url = f"unix://{path}"
        self._to = to
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Switch":
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._cut()

    async def lead_to(self, to: Server) -> None:
        """Lead to another server from now on."""
        self._to = to
        await self._cut()

    async def _cut(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there = await asyncio.open_connection("127.0.0.1", self._to.port)
            pumps = [asyncio.create_task(_pump(reader, there[1])), asyncio.create_task(_pump(there[0], writer))]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                there[1].close()
        except (OSError, asyncio.CancelledError):
            pass  # no server is there; the client notices that its connection ends
        finally:
            self._tasks.discard(task)
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        return


def _copied(replica: Server) -> int:
    return replica.command("INFO", "replication")["slave_repl_offset"]

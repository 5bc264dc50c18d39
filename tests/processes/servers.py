"""Real `headwater serve` processes, as an operator starts them."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

_URL = re.compile(r"http://127\.0\.0\.1:\d+")


class Serving:
    """One server process and a client of it."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, said: str) -> None:
        self.process = process
        self.said = said
        """What it told its operator until it listened."""
        self.client = httpx.AsyncClient(base_url=url, timeout=30)

    async def kill(self) -> None:
        """End it as a crash would: no handler runs."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def serve(folder: Path, **settings: str) -> AsyncGenerator[Serving, None]:
    """Start a server whose data lies in `folder`; it listens on a free port and is ended with the context."""
    # Nothing of the machine's own configuration may decide what a test sees.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "OPENAI_"))}
    ours = {"HEADWATER_DATA_DIR": str(folder), "HEADWATER_PORT": "0", "HEADWATER_DRAIN": "0.2", "COLUMNS": "200"}
    environment = {**clean, **ours, **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headwater", "serve", env=environment, cwd=folder, stderr=asyncio.subprocess.PIPE
    )
    drain: asyncio.Task[bytes] | None = None
    serving: Serving | None = None
    try:
        assert process.stderr is not None
        said = ""
        async with asyncio.timeout(60):
            while not (found := _URL.search(said)):
                line = await process.stderr.readline()
                assert line, f"the server ended before it listened: {said}"
                said += line.decode()
        # Nobody reads on, and a full pipe would stop the server.
        drain = asyncio.create_task(process.stderr.read())
        serving = Serving(process, found[0], said)
        await _answering(serving)
        yield serving
    finally:
        if serving is not None:
            await serving.client.aclose()
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(15):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if drain is not None:
            print((await drain).decode(), file=sys.stderr)


async def _answering(serving: Serving) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                (await serving.client.get("/healthz")).raise_for_status()
                return
            except httpx.TransportError:
                await asyncio.sleep(0.02)

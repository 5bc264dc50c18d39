"""Server processes, started with `headwater serve` as an operator would start them."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

_URL = re.compile(r"http://127\.0\.0\.1:\d+")


class Serving:
    """One server process and a client of it."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, said: str) -> None:
        self.process = process
        self.said = said
        """What it printed before it listened."""
        self.client = httpx.AsyncClient(base_url=url, timeout=30)

    async def kill(self) -> None:
        """End the process as a crash would: no handler runs."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


HEADWATER = ("-m", "headwater")
"""The arguments of Python that run this version; `NEWER_VERSION` runs what a newer one might be."""
NEWER_VERSION = (str(Path(__file__).with_name("newer_version.py")),)


@asynccontextmanager
async def serve(folder: Path, *, program: Sequence[str] = HEADWATER, **settings: str) -> AsyncGenerator[Serving, None]:
    """Start a server with its data in `folder` and a free port; end it with the context."""
    # The machine's own configuration must not change what a test sees.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "OPENAI_"))}
    ours = {"HEADWATER_DATA_DIR": str(folder), "HEADWATER_PORT": "0", "HEADWATER_DRAIN": "0.2", "COLUMNS": "200"}
    environment = {**clean, **ours, **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *program, "serve", env=environment, cwd=folder, stderr=asyncio.subprocess.PIPE
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
        # Read on, because a full pipe would block the server.
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


def workers(server: Serving) -> list[int]:
    """The pids of a supervisor's workers, without multiprocessing's resource tracker."""
    pid = server.process.pid
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [child for child in children if b"spawn_main" in command(child)]


def command(pid: int) -> bytes:
    """The command line of a process; empty once the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def connected(pid: int) -> set[int]:
    """The ports that a process is connected to."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = {f"socket:[{row[9]}]": int(row[2].partition(":")[2], 16) for row in rows}
    files = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()]
    return {ports[each] for each in files if each in ports}


async def _answering(serving: Serving) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                (await serving.client.get("/healthz")).raise_for_status()
                return
            except httpx.TransportError:
                await asyncio.sleep(0.02)

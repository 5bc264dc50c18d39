"""A stand-in for Vercel's platform: it lays a built function out and starts it through Vercel's own Python runtime.

The platform starts the function's handler with the path of a socket in `VERCEL_IPC_PATH`. The runtime, which the
builder has put into the function, connects to the socket, serves the app over HTTP on a loopback port, and reports that
port: messages are JSON, each ended by a NUL.
"""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from readme import clean


class Function(NamedTuple):
    """A built function as it lies on the platform's disk."""

    folder: Path
    python: str
    config: dict[str, Any]
    """Its `.vc-config.json`."""

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


class Instance(NamedTuple):
    """A running instance of a function."""

    process: asyncio.subprocess.Process
    client: httpx.AsyncClient

    async def kill(self) -> None:
        """End the instance as the platform does at the time limit: no handler runs."""
        self.process.kill()
        await self.process.wait()


def laid_out(project: Path, built: Path, folder: Path, python: str) -> Function:
    """Bring the files of a function together: those in its folder, and those that its configuration refers to."""
    config = json.loads((built / ".vc-config.json").read_text())
    shutil.copytree(built, folder)
    for name, source in config.get("filePathMap", {}).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project / source, target)
    return Function(folder, python, config)


@asynccontextmanager
async def instance(function: Function, **settings: str) -> AsyncGenerator[Instance, None]:
    """Start an instance, and end it with the context."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while message := (await reader.readuntil(b"\0"))[:-1]:
                found = json.loads(message)
                if found["type"] == "server-started":
                    port.set_result(found["payload"]["httpPort"])
        except asyncio.IncompleteReadError:
            if not port.done():
                port.set_exception(AssertionError("the function ended before it listened"))
        finally:
            writer.close()

    module, _, _ = function.config["handler"].rpartition(".")
    with tempfile.TemporaryDirectory(prefix="vercel") as folder:
        ipc = f"{folder}/ipc"
        async with await asyncio.start_unix_server(listen, ipc):
            environment = clean(**function.config.get("environment", {}), VERCEL="1", VERCEL_IPC_PATH=ipc, **settings)
            # Instances share their bytecode; a build at Vercel puts it into the function, for a path of the platform.
            environment.update(PYTHONDONTWRITEBYTECODE="", PYTHONPYCACHEPREFIX=f"{function.folder}.bytecode")
            process = await asyncio.create_subprocess_exec(
                function.python, "-c", f"import {module}", cwd=function.folder, env=environment
            )
            try:
                async with asyncio.timeout(30):
                    url = f"http://127.0.0.1:{await port}"
                async with httpx.AsyncClient(base_url=url, timeout=30) as client:
                    yield Instance(process, client)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

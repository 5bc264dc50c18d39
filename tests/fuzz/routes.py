"""Requests to every route of a live server, made from its OpenAPI document."""

import asyncio
import sys
from pathlib import Path

from processes.servers import serve

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"
HUNG = 10
"""Seconds after which a request counts as hung."""


async def requests(folder: Path, examples: int) -> tuple[int, str]:
    """Send what is at the bounds of each schema, and so many examples to each route; the exit code and the report."""
    async with serve(folder, HEADWATER_MODEL="echo", HEADWATER_STORE="memory:") as server:
        document = f"{server.client.base_url}/openapi.json"
        limits = ["--max-examples", str(max(1, examples)), "--request-timeout", str(HUNG), "--checks", CHECKS]
        phases = ["--phases", "examples,coverage" if examples == 0 else "examples,coverage,fuzzing,stateful"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", document, *limits, *phases, "--no-color"),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        (await server.client.get("/healthz")).raise_for_status()
        return process.returncode or 0, said.decode()

"""The commands in a README, to be run as they are."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(readme: Path) -> list[str]:
    """The shell commands of a README, a text for each block."""
    return re.findall(r"^```sh\n(.*?)^```$", readme.read_text(), re.DOTALL | re.MULTILINE)


def clean(**settings: str) -> dict[str, str]:
    """The environment without this machine's own configuration of Headwater and its provider, and with `settings`."""
    ours = ("HEADWATER_", "OPENAI_", "UPSTASH_", "VERCEL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    quiet = {"NEXT_TELEMETRY_DISABLED": "1", "VERCEL_TELEMETRY_DISABLED": "1", "UV_PYTHON_DOWNLOADS": "never"}
    return {**kept, **quiet, **settings}


def run(commands: str, **settings: str) -> str:
    """Run commands from the root of the repository; returns what they print. Fails with that if one of them fails."""
    done = subprocess.run(
        ["sh", "-ec", commands],
        cwd=ROOT,
        env=clean(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout

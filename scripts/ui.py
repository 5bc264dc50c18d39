"""Run npm scripts of the front end (`test`, `check`, `build`, `pack`) with this machine's Node, or with PyPI's."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hatch_build import UI, npm  # noqa: E402 - hatchling wants this file beside pyproject.toml

command, environment = npm()
lock, installed = UI / "package-lock.json", UI / "node_modules" / ".package-lock.json"
if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
    print("[headwater] npm ci")
    subprocess.run([*command, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=UI, check=True, env=environment)
for script in sys.argv[1:]:
    # npm has printed what went wrong; a Python traceback would bury it.
    if status := subprocess.run([*command, "run", "--silent", script], cwd=UI, check=False, env=environment).returncode:
        sys.exit(status)

"""Run one of the front end's npm scripts (`test`, `check`, `build`) with the machine's Node, or the one from PyPI."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hatch_build import UI, npm  # noqa: E402 - it lies beside pyproject.toml, where hatchling wants it

command, environment = npm()
lock, installed = UI / "package-lock.json", UI / "node_modules" / ".package-lock.json"
if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
    print("[headwater] npm ci")
    subprocess.run([*command, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=UI, check=True, env=environment)
for script in sys.argv[1:]:
    # What npm printed says what went wrong; a Python traceback after it would bury that.
    if status := subprocess.run([*command, "run", "--silent", script], cwd=UI, check=False, env=environment).returncode:
        sys.exit(status)

"""Install the pinned clients of tests/clients: JavaScript into its node_modules, Python into `.venv-clients`."""

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hatch_build import npm  # noqa: E402 - hatchling wants this file beside pyproject.toml

FOLDER, PYTHON = ROOT / "tests" / "clients", ROOT / ".venv-clients"


def is_older(made: Path, source: Path) -> bool:
    """Whether what was installed does not come from this list of packages."""
    return not made.exists() or made.stat().st_mtime < source.stat().st_mtime


command, environment = npm()
if is_older(FOLDER / "node_modules" / ".package-lock.json", FOLDER / "package-lock.json"):
    print("[headwater] npm install in tests/clients")
    # Majors of one client side by side ask for different majors of their peers. `npm ci` would refuse a lock file made
    # where the registry lacks optional packages of other systems.
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--legacy-peer-deps", "--loglevel=error"]
    subprocess.run([*command, "install", "--no-save", *options], cwd=FOLDER, check=True, env=environment)
ready = PYTHON / ".ready"
if is_older(ready, FOLDER / "requirements.txt"):
    print("[headwater] pip install -r tests/clients/requirements.txt")
    venv.create(PYTHON, with_pip=True, clear=True)
    pip = [PYTHON / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", FOLDER / "requirements.txt"], check=True)
    ready.touch()

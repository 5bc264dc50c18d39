"""Both packages' tarballs, installed into an app's folder."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from hatch_build import npm

ROOT = Path(__file__).parents[2]
UI = ROOT / "ui"


class Installed(NamedTuple):
    """A folder into which both packages are installed, and the tarballs that they come from."""

    folder: Path
    tarballs: list[Path]
    environment: dict[str, str]

    def node(self, *arguments: str | Path) -> str:
        """Run Node in the folder, and return what it prints."""
        command = ["node", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Packed as a release packs them, and installed without a registry: they depend on nothing but React."""
    subprocess.run([sys.executable, ROOT / "scripts" / "ui.py", "pack"], check=True)
    tarballs = sorted((UI / "dist").glob("*.tgz"))
    folder = tmp_path_factory.mktemp("app")
    (folder / "package.json").write_text('{"name": "app", "private": true, "type": "module"}')
    command, environment = npm()
    install = ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps"]
    subprocess.run([*command, *install, *map(str, tarballs)], cwd=folder, env=environment, check=True)
    # The app's own React, and the compiler's types of it.
    for name in ("react", "react-dom", "scheduler", "csstype", "@types/react", "@types/react-dom"):
        link = folder / "node_modules" / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(UI / "node_modules" / name, target_is_directory=True)
    return Installed(folder, tarballs, environment)

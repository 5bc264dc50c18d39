"""Fixtures of the examples' tests: a browser, and npm as the commands in a README call it."""

import os
import shlex
from pathlib import Path

import pytest
from chromium import browser, page

from hatch_build import npm

__all__ = ["browser", "page", "path"]


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A `PATH` on which `npm` and `npx` are found, also where Node comes from PyPI, which has no such commands."""
    command, environment = npm()
    folder = tmp_path_factory.mktemp("node")
    for name in ("npm", "npx"):
        script = folder / name
        call = [*command[:-1], str(Path(command[-1]).with_name(Path(command[-1]).name.replace("npm", name)))]
        script.write_text(f'#!/bin/sh\nexec {shlex.join(call)} "$@"\n')
        script.chmod(0o755)
    return os.pathsep.join([str(folder), environment.get("PATH", "")])

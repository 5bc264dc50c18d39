"""OpenMP for the embedded model: the system's library, or else LLVM's under its name."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from headwater.models.embedded import openmp

pytestmark = [
    pytest.mark.local_model,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has no OpenMP within the package"),
]

PROGRAM = """
import ctypes, json, sys
from pathlib import Path
from headwater.models.embedded import openmp, preflight
openmp.PACKAGE, weights = sys.argv[1:]
said = {"reason": preflight.preflight()}
said["loaded"] = sorted({line.split()[5] for line in open("/proc/self/maps") if "omp.so" in line})
if weights:
    from headwater.models.embedded.llamacpp import LlamaCppChat
    said["answer"] = LlamaCppChat(path=Path(weights)).invoke("Hello!", max_tokens=8).text
    said["busy waiting"] = ctypes.CDLL(said["loaded"][0]).kmp_get_blocktime()
print(json.dumps(said))
"""


def said(system: Path, package: str = openmp.PACKAGE, weights: str = "") -> dict[str, Any]:
    """What a new process finds that looks into the folder `system` before the system's own folders of libraries."""
    command = [sys.executable, "-c", PROGRAM, package, weights]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(system)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture
def without(tmp_path: Path) -> Path:
    """A folder that hides the system's library, if there is one: the linker stops at the first file of the name."""
    (tmp_path / openmp.NEEDED).touch()
    return tmp_path


def llvm() -> Path:
    """LLVM's library, found in another way than the code finds it."""
    return Path(str(metadata.distribution("cmeel-libomp").locate_file("cmeel.prefix/lib/libomp.so")))


def test_without_the_systems_library_the_model_answers_on_llvms(without: Path, weights_path: Path) -> None:
    """Minimal images have none, and whoever starts a demo may have no right to install one."""
    found = said(without, weights=str(weights_path))
    assert found["reason"] is None
    assert found["loaded"] == [str(llvm().resolve())]
    assert found["answer"]
    assert found["busy waiting"] == 0, "milliseconds"


def test_the_systems_library_is_preferred(tmp_path: Path) -> None:
    """It is the one that llama.cpp's package was built for, and it gets the system's security updates."""
    stand_in = tmp_path / openmp.NEEDED
    stand_in.write_bytes(openmp.alias(llvm().read_bytes()[:64], openmp.NEEDED, str(llvm())))
    assert str(stand_in) in said(tmp_path, package="none-installed")["loaded"]


def test_with_neither_library_the_reason_names_both_remedies(without: Path) -> None:
    """A root user of Debian can install the system's library, anyone the package."""
    reason = said(without, package="none-installed")["reason"]
    assert "libgomp.so.1" in reason
    assert "apt-get install libgomp1" in reason
    assert "pip install none-installed" in reason

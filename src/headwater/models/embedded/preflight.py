"""Whether the embedded model can run on this computer; decided before it, or LangChain, is imported."""

import importlib
import importlib.util
import os
import platform
import sys
import sysconfig
from pathlib import Path
from typing import Any

from headwater.models.embedded import openmp

_PACKAGE = "xllamacpp"
_WHEELS = ("Linux x86_64", "Linux aarch64", "Darwin x86_64", "Darwin arm64", "Windows AMD64")
"""The systems for which the package has wheels, all of them for any CPython; the extra `local` lists the same."""
_FREE_THREADED = "CPython 3.14t"
"""The only free-threaded Python for which it has wheels."""


def preflight() -> str | None:
    """Why the embedded model cannot run on this computer, in plain words; None when it can.

    Imports the compiled library, but only on a processor that is known to have its instructions: an illegal instruction
    ends the process, and no `except` catches it.
    """
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text(errors="replace") if sys.platform == "linux" and cpuinfo.exists() else ""
    if reason := unfit(platform.machine(), flags):
        return reason
    if importlib.util.find_spec(_PACKAGE) is None:
        threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
        python = f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}{threads}"
        musl = " with musl" if "musl" in str(sysconfig.get_config_var("SOABI")) else ""
        return absent(python, f"{platform.system()} {platform.machine()}{musl}")
    try:
        library()
    except ImportError as failure:
        return f"the package {_PACKAGE} cannot be loaded: {failure}"
    return None


def unfit(machine: str, cpuinfo: str) -> str | None:
    """What the processor lacks, from the machine and the text of /proc/cpuinfo ("" if there is none); else None."""
    if machine.lower() in ("x86_64", "amd64") and cpuinfo and "avx2" not in cpuinfo.split():
        return "this processor, or the virtual machine around it, lacks the AVX2 instructions that llama.cpp needs"
    return None


def absent(python: str, system: str) -> str:
    """What to do about the missing package, on a Python such as `CPython 3.13` and a system such as `Linux x86_64`."""
    if system in _WHEELS and python.startswith("CPython") and (not python.endswith("t") or python == _FREE_THREADED):
        return f"the package {_PACKAGE} is not installed: pip install 'headwater[local]'"
    return (
        f"the package {_PACKAGE} has no wheel for {python} on {system}: set OPENAI_API_KEY or HEADWATER_MODEL to use "
        "another model, or run Headwater with CPython on Linux with glibc (x86_64, aarch64), macOS or Windows (AMD64)"
    )


def library() -> Any:
    """The compiled library. Raises `ImportError`; call it only after `preflight` has found no obstacle."""
    # OpenMP's busy waiting makes the library ten times slower on busy cores. OpenMP reads this variable once, when it
    # is loaded, and has no other switch.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        return importlib.import_module(_PACKAGE)
    except ImportError as failure:
        if openmp.NEEDED not in str(failure):
            raise
        _substitute(failure)
    return importlib.import_module(_PACKAGE)


def _substitute(failure: ImportError) -> None:
    # For LLVM's OpenMP the passive policy alone means 200 ms of busy waiting: a quarter of the speed on busy cores.
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    try:
        openmp.substitute()
    except ImportError as also:
        raise ImportError(
            f"{failure}, and {also}. On Debian and Ubuntu, apt-get install libgomp1 brings {openmp.NEEDED}; anywhere, "
            f"pip install {openmp.PACKAGE} brings a substitute"
        ) from also

"""Whether the embedded model can run on this computer; decided before it, or LangChain, is imported."""

import importlib
import importlib.util
import os
import platform
import sys
import sysconfig
from pathlib import Path
from typing import Any


def preflight() -> str | None:
    """Why the embedded model cannot run on this computer, in plain words; None when it can.

    Imports the compiled library, but only on a processor that is known to have its instructions: an illegal instruction
    ends the process, and no `except` catches it.
    """
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text(errors="replace") if sys.platform == "linux" and cpuinfo.exists() else ""
    reason = unfit(platform.machine(), flags, str(sysconfig.get_config_var("SOABI")))
    if reason:
        return reason
    if importlib.util.find_spec("xllamacpp") is None:
        return "the package xllamacpp is not installed (pip install 'headwater[local]')"
    try:
        library()
    except ImportError as failure:
        if "libgomp" in str(failure):
            return "the system library libgomp.so.1 is missing (on Debian and Ubuntu: apt-get install libgomp1)"
        return f"the package xllamacpp cannot be loaded: {failure}"
    return None


def unfit(machine: str, cpuinfo: str, soabi: str) -> str | None:
    """The pure part of `preflight`: machine, text of /proc/cpuinfo ("" if there is none) and Python's ABI → reason."""
    if "musl" in soabi:
        return "llama.cpp is not built for musl (Alpine Linux); use an image with glibc, such as one of Debian"
    if machine.lower() in ("x86_64", "amd64") and cpuinfo and "avx2" not in cpuinfo.split():
        return "this processor, or the virtual machine around it, lacks the AVX2 instructions that llama.cpp needs"
    return None


def library() -> Any:
    """The compiled library. Raises `ImportError`; call it only after `preflight` has found no obstacle."""
    # OpenMP's busy waiting makes the library ten times slower on busy cores. OpenMP reads this variable once, when it
    # is loaded, and has no other switch.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    return importlib.import_module("xllamacpp")

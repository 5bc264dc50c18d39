"""`python -m fuzz [RUNS]`, from `tests/`: so many inputs for each target, guided by the branches that they reach.

Each target runs in a process of its own, since the fuzzer ends its process. An input that breaks a target is printed.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LONGEST = 4096
"""Bytes of an input at most."""
SECONDS = 20
"""For which one input may take before it counts as hung."""


def main() -> int:
    """Fuzz every target, or the one that is named; 1 if any input broke one."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=10_000)
    parser.add_argument("--only", help="the name of a target; without it, all run one after another")
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args()
    if options.here:
        _fuzz(options.only, options.runs)
        return 0
    from fuzz.routes import requests
    from fuzz.targets import TARGETS

    broken = 0
    for name in [options.only] if options.only else TARGETS:
        begun = time.monotonic()
        command = [sys.executable, "-m", "fuzz", str(options.runs), "--here", "--only", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        spent = f"{options.runs} inputs in {time.monotonic() - begun:.0f} s"
        print(f"{name:26} {spent if done.returncode == 0 else 'BROKEN'}", flush=True)
        if done.returncode != 0:
            broken += 1
            print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
    if not options.only:
        with tempfile.TemporaryDirectory(prefix="hw-") as folder:
            status, report = asyncio.run(requests(Path(folder), options.runs // 100))
        print(report)
        broken += status != 0
    return 1 if broken else 0


def _fuzz(name: str, runs: int) -> None:
    import atheris  # has no types

    with atheris.instrument_imports(include=["headwater"]):  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
        from fuzz.targets import SEEDS, TARGETS
    with tempfile.TemporaryDirectory(prefix="hw-") as folder:
        for number, seed in enumerate(SEEDS[name]):
            Path(folder, str(number)).write_bytes(seed)
        target = TARGETS[name]

        def one(data: bytes) -> None:
            target(data)

        limits = [f"-runs={runs}", f"-max_len={LONGEST}", f"-timeout={SECONDS}", "-rss_limit_mb=4096"]
        atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={folder}/", folder], one)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())

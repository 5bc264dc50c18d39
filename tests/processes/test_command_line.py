"""Errors of the command line."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest


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
        (["--store", "postgres://x"], "is no store"),
        (["--store", "memory:", "--workers", "2"], "memory:"),
        (["--host", "192.0.2.1", "--insecure"], "cannot listen"),
        (["--host", "nosuchhost.invalid", "--insecure"], "cannot listen"),
        (["--store", "sqlite://here.sqlite"], "names no file"),
        (["--set", "origins=https://[x"], "is not an origin"),
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


def test_a_port_in_use_is_reported_and_an_empty_option_is_ignored(tmp_path: Path) -> None:
    """A script may pass on variables that are not set. An empty `--model` alone would fail before the port is tried."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        given = ("--set", "model=echo", "--model", "", "--host", "", "--store", "memory:", "--port", port)
        ended = headwater("serve", *given, folder=tmp_path)

    assert ended.returncode == 1
    assert "Try --port 8001" in ended.stderr


def test_help_and_version_are_printed(tmp_path: Path) -> None:
    """Without a server."""
    assert "serve" in headwater("--help", folder=tmp_path).stdout
    assert headwater("--version", folder=tmp_path).stdout.startswith("headwater ")

"""`headwater ask` without `--url` asks the server that `headwater serve` starts in the same folder and environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving import headwater
from test_ask import asking

from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}


@pytest.mark.parametrize("where", ["the environment", ".env"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_it_is_found_by_its_settings(where: str, host: str, tmp_path: Path) -> None:
    """A server that listens everywhere is asked over loopback."""
    async with headwater(Scripted([TextDelta("found"), Finish("stop")])) as server:
        settings = {"HEADWATER_HOST": host, "HEADWATER_PORT": str(server.client.base_url.port)}
        if where == ".env":
            (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
            settings = {}
        async with asking("Hi", folder=tmp_path, environment={**CLEAN, **settings}) as process:
            out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"found\n"), err


async def test_the_address_on_the_command_line_wins(tmp_path: Path) -> None:
    """Over the settings."""
    async with headwater(Scripted([TextDelta("found"), Finish("stop")])) as server:
        environment = {**CLEAN, "HEADWATER_PORT": "9"}
        url = server.client.base_url
        async with asking("Hi", url=url, folder=tmp_path, environment=environment) as process:
            out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"found\n"), err


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"HEADWATER_PORT": "9"}, 1, "Nothing listens at http://127.0.0.1:9. Start a server there with"),
        ({"HEADWATER_HOST": "::1", "HEADWATER_PORT": "9"}, 1, "Nothing listens at http://[::1]:9."),
        ({"HEADWATER_PORT": "0"}, 2, "HEADWATER_PORT is 0"),
        ({"HEADWATER_PORT": "many"}, 2, "port"),
        ({"HEADWATER_HOST": "nobody.invalid"}, 1, "There is no server of the name in http://nobody.invalid:8000."),
    ],
    ids=str,
)
def test_an_address_where_nobody_listens_is_named(
    settings: dict[str, str], code: int, words: str, tmp_path: Path
) -> None:
    """With what to do about it, and without a traceback."""
    command = [sys.executable, "-m", "headwater", "ask", "Hi"]
    environment = {**CLEAN, "COLUMNS": "200", **settings}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
    )

    assert run.returncode == code
    assert words in run.stderr
    assert "Traceback" not in run.stderr

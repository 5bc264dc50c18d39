"""The commands of `docs/deploy.md`, run in a folder that stands for the machine."""

import asyncio
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import NamedTuple

import dockerfile
import pytest
from serving import headwater, parse, post_chat, text_of

from headwater.answers.claim import Caching
from headwater.events import Finish, TextDelta
from headwater.log.sqlite.store import SqliteStore
from headwater.models.scripted import Scripted
from headwater.settings import Settings

ROOT = dockerfile.ROOT
GUIDE = (ROOT / "docs" / "deploy.md").read_text()
ELSEWHERE = (
    *("apt-get", "useradd", "userdel", "chown", "systemctl", "certbot", "nginx", "caddy", "docker", "kubectl"),
    "opt/headwater/bin/pip",
)
"""Programs that change the machine or need another one; the machine has stand-ins for them, which only take notes."""


def blocks(heading: str = "") -> list[str]:
    """The shell commands below a heading, or all of them."""
    text = re.split(rf"^## {heading}$", GUIDE, flags=re.MULTILINE)[1].partition("\n## ")[0] if heading else GUIDE
    return re.findall(r"^```sh\n(.+?)^```$", text, re.MULTILINE | re.DOTALL)


class Machine(NamedTuple):
    """A folder in which `/etc`, `/opt` and `/var` lie, and a checkout."""

    root: Path
    server: str = "127.0.0.1:8000"
    """Where Headwater runs."""

    @property
    def noted(self) -> list[str]:
        """The calls of the stand-ins."""
        notes = self.root / "notes"
        return notes.read_text().splitlines() if notes.exists() else []

    async def run(self, block: str) -> str:
        """Run a block with the paths of this machine; returns its output. The first command that fails ends it."""
        here = re.sub(r"(?<![\w./])/(etc|opt|var)/", rf"{self.root}/\1/", block).replace(
            "127.0.0.1:8000/", f"{self.server}/"
        )
        here = here.replace("file:/var", f"file:{self.root}/var")
        environment = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "HOME": str(self.root), "KEY": "hw_key"}
        shell = await asyncio.create_subprocess_exec(
            "sh", "-euc", here, cwd=self.root / "checkout", env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(40):
            said, _ = await shell.communicate()
        assert shell.returncode == 0, f"{block}\n{said.decode()}"
        return said.decode()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with the folders that a fresh Debian has, and a checkout."""
    for folder in ("bin", "etc/systemd/system", "etc/nginx/conf.d", "etc/caddy", "opt/headwater/bin", "var/backups"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/lib").mkdir()
    for name in ELSEWHERE:
        path = tmp_path / (name if "/" in name else f"bin/{name}")
        path.write_text(f'#!/bin/sh\necho "{path.name} $*" >> {tmp_path}/notes\n')
        path.chmod(0o755)
    # The environment is made and filled in tests/deploy/test_image.py.
    (tmp_path / "bin/python3").write_text(f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] || exec {sys.executable} "$@"\n')
    (tmp_path / "bin/python3").chmod(0o755)
    (tmp_path / "opt/headwater/bin/python").symlink_to(sys.executable)
    (tmp_path / "opt/headwater/bin/headwater").symlink_to(Path(sys.executable).with_name("headwater"))
    (tmp_path / "checkout").mkdir()
    shutil.copytree(ROOT / "deploy", tmp_path / "checkout/deploy")
    for name in ("Dockerfile", "compose.yaml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / "checkout")
    return Machine(tmp_path)


@asynccontextmanager
async def served(machine: Machine) -> AsyncGenerator[tuple[Machine, Scripted], None]:
    """The machine with a server on the SQLite file of the unit; its answer is "kept"."""
    store = SqliteStore(machine.root / "var/lib/headwater/logs.sqlite")
    model = Scripted([TextDelta("kept"), Finish("stop")])
    async with headwater(model, store, caching=Caching(secret=b"secret")) as server:
        address = f"127.0.0.1:{server.client.base_url.port}"
        assert text_of(parse((await post_chat(server.client)).content)) == "kept"
        yield machine._replace(server=address), model


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("heading", ["One machine", "TLS in front", "Docker", "Docker Compose", "Kubernetes"])
async def test_the_commands_of_each_deployment_run_in_their_order(machine: Machine, heading: str) -> None:
    """And write what the deployment needs: settings that only root may read, and files with the host's own name."""
    async with served(machine) as (running, _):
        for block in blocks(heading):
            # The name is not to be found here, and the ticks through a web server are tested with one.
            await running.run(re.sub(r"^curl .*https://.*\n", "", block, flags=re.MULTILINE))
    root, noted = machine.root, machine.noted
    match heading:
        case "One machine":
            assert (root / "etc/headwater.env").stat().st_mode & 0o777 == 0o600
            assert (root / "etc/systemd/system/headwater.service").is_file()
            assert '"label":"me"' in (root / "var/lib/headwater/keys.json").read_text().replace(" ", "")
        case "TLS in front":
            for name in ("nginx/conf.d/headwater.conf", "caddy/Caddyfile"):
                assert "app.example" in (root / "etc" / name).read_text()
            assert "nginx -t" in noted
        case "Docker":
            assert "docker build -t headwater ." in noted
        case "Docker Compose":
            (key,) = (root / "checkout/.env").read_text().splitlines()
            assert re.fullmatch(r"HEADWATER_API_KEYS=default:[\w-]{43}", key)
        case _:
            settings = root / "checkout/headwater.env"
            assert settings.stat().st_mode & 0o777 == 0o600
            assert {line.partition("=")[0] for line in settings.read_text().splitlines()} == {
                *("HEADWATER_STORE", "OPENAI_API_KEY", "HEADWATER_API_KEYS")
            }
            assert "kubectl apply -f deploy/kubernetes.yaml" in noted


async def test_a_backup_of_a_running_server_is_restored_whole(machine: Machine) -> None:
    """The answer in it is a hit for a server that starts on the restored file."""
    back_up, restore = blocks("Backup")
    async with served(machine) as (running, _):
        await running.run(back_up)
    file = machine.root / "var/lib/headwater/logs.sqlite"
    file.write_bytes(b"not a database any more")
    await machine.run(restore)
    with closing(sqlite3.connect(file)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    async with served(machine) as (_, model):
        pass
    assert model.prompts == []


async def test_nothing_is_left_after_the_commands_that_uninstall(machine: Machine) -> None:
    """Of one machine; the other commands undo what the pages of each deployment have made elsewhere."""
    for block in [*blocks("One machine")[:-1], *blocks("Uninstall")]:
        await machine.run(block)
    left = [path for path in machine.root.rglob("*") if "headwater" in path.name and "checkout" not in path.parts]

    assert left == []
    assert [note for note in machine.noted if note.startswith("docker ")][-1] == "docker compose down --volumes"


async def test_the_commands_of_an_upgrade_run(machine: Machine) -> None:
    """In their order."""
    for block in blocks("Upgrades"):
        await machine.run(block)
    assert machine.noted[:2] == ["pip install -c requirements.lock .[local]", "systemctl restart headwater"]


def test_every_command_is_run() -> None:
    """A section with commands that no test runs would look tested."""
    tested = [
        "One machine",
        "TLS in front",
        "Docker",
        "Docker Compose",
        "Kubernetes",
        "Upgrades",
        "Backup",
        "Uninstall",
    ]
    assert [block for heading in tested for block in blocks(heading)] == blocks()


def test_the_time_limits_are_those_of_the_server() -> None:
    """The guide names the defaults of the settings that it is about."""
    text = " ".join(GUIDE.split())
    before: list[tuple[str, str]] = re.findall(r"`HEADWATER_(\w+)` \((\d+) s\)", text)
    after: list[tuple[str, str]] = re.findall(r"(\d+) s \(`HEADWATER_(\w+)`\)", text)
    named = {name.lower(): float(value) for name, value in [*before, *(pair[::-1] for pair in after)]}

    assert named == {name: Settings.model_fields[name].default for name in ("drain", "heartbeat", "keep_alive")}

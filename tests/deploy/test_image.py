"""The container image, as far as it can be proved without a container: its files, its user, its commands, its end.

`docs/deploy.md` says what else was tried by hand.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import dockerfile
import httpx
import pytest
import redis_servers
import yaml
from redis_servers import Server, free_port
from serving import chat, frames
from upstream import Upstream

ROOT = dockerfile.ROOT
CHAT = "/api/stream/completion/chat"
KEY = "hw_00000001_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTU"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def copied() -> list[str]:
    """The files of a clean checkout that the build copies."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *dockerfile.sources()],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel from the files that the build copies; the page, which Node makes of them, is taken as it is built."""
    folder = tmp_path_factory.mktemp("build")
    for name in copied():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    shutil.copytree(ROOT / "src/headwater/static", folder / "src/headwater/static", dirs_exist_ok=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "out")]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "npm" not in done.stderr, "the page would be another one: the build copies too little of ui/"
    (built,) = (folder / "out").glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Path, None, None]:
    """A fresh environment with the wheel in it, which nobody may write to, as `/opt/headwater` in the image."""
    home = tmp_path_factory.mktemp("opt") / "headwater"
    venv.create(home, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin/python"), "--disable-pip-version-check"]
    install = ["install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*pip, *install], check=True, env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"})
    packages = next(home.glob("lib/*/site-packages"))
    # What the wheel requires is taken from the tests' own environment, after the wheel itself.
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib"))
    paths = [home, *home.rglob("*")]
    for path in paths:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)
    yield home
    for path in paths:
        if path.is_dir():
            path.chmod(0o700)


class Container(NamedTuple):
    """What a container runs, without the container: the image's commands in its environment, by its user."""

    process: asyncio.subprocess.Process
    client: httpx.AsyncClient
    environment: dict[str, str]


@cache
def can_be_another() -> bool:
    """Whether this is root, and the kernel lets it become another user in a namespace; in a chroot it does not."""
    probe = ["unshare", "--user", "true"]
    return os.geteuid() == 0 and subprocess.run(probe, capture_output=True, check=False).returncode == 0


def as_user(*command: str) -> list[str]:
    """The command by the image's user, without rights over anything; by this user, if it cannot become that one."""
    if not can_be_another():
        return list(command)
    uid, _, gid = dockerfile.only("USER").rest.partition(":")
    return ["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}", "--", *command]


async def healthy(environment: dict[str, str]) -> bool:
    """Whether the image's own health check passes."""
    check = await asyncio.create_subprocess_exec(
        *as_user(*dockerfile.only("HEALTHCHECK").command),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await check.wait() == 0


@asynccontextmanager
async def container(installed: Path, data: Path, **given: str) -> AsyncGenerator[Container, None]:
    """Start the image's command with these variables, as `docker run -e … -v data:/data` would."""
    ours = dockerfile.environment()
    ours["PATH"] = ours["PATH"].replace("/opt/headwater", str(installed)).replace("$PATH", os.environ["PATH"])
    ours |= {"HEADWATER_PORT": str(free_port()), "HEADWATER_DATA_DIR": str(data)} | given
    command = [*dockerfile.only("ENTRYPOINT").command, *dockerfile.only("CMD").command]
    with (data / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*as_user(*command), cwd=data, env=ours, stderr=log)
    address = f"http://127.0.0.1:{ours['HEADWATER_PORT']}"
    try:
        async with httpx.AsyncClient(
            base_url=address, timeout=20, headers={"authorization": f"Bearer {KEY}"}
        ) as client:
            yield Container(process, client, ours)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        print((data / "log").read_text(), file=sys.stderr)


async def answers(running: Container) -> None:
    """Wait until the server is ready."""
    async with asyncio.timeout(30):
        while True:
            assert running.process.returncode is None, "the server ended"
            try:
                if (await running.client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


@pytest.fixture
def valkey() -> Generator[Server, None, None]:
    """A Valkey with the options of `compose.yaml`."""
    program, *options = COMPOSE["valkey"]["command"]
    assert program == "valkey-server"
    with redis_servers.serving(redis_servers.engines()[0], *options, port=free_port()) as server:
        yield server


def test_the_build_copies_what_is_there_and_ignores_everything_else() -> None:
    """An `.env` with a key, or a page that was built elsewhere, never reaches the builder."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line.removeprefix("!") for line in ignored if line.startswith("!")]

    assert ignored[[not line.startswith("#") for line in ignored].index(True)] == "*"
    assert sorted(sent) == sorted(dockerfile.sources())
    assert all((ROOT / name).exists() for name in sent)
    assert {"src/headwater/static", "**/node_modules", "**/.env"} <= {*ignored}


def test_the_image_has_the_page_the_model_and_the_licence(wheel: Path) -> None:
    """The wheel of the build holds them, or names them as its requirements."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    assert "headwater/static/index.html" in names
    assert any(name.startswith("headwater/static/assets/") and name.endswith(".js") for name in names)
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert "xllamacpp" in metadata
    assert "Provides-Extra: local" in metadata


def test_the_image_runs_as_a_numbered_user_without_a_shell() -> None:
    """Kubernetes can tell that a number is not root; in the exec form the server gets the signals itself."""
    assert dockerfile.only("USER").rest == "10001:10001"
    assert dockerfile.only("STOPSIGNAL").rest == "SIGTERM"
    assert dockerfile.only("VOLUME").rest == dockerfile.environment()["HEADWATER_DATA_DIR"] == "/data"
    assert dockerfile.only("EXPOSE").rest == dockerfile.environment()["HEADWATER_PORT"]
    assert [*dockerfile.only("ENTRYPOINT").command, *dockerfile.only("CMD").command] == ["headwater", "serve"]


async def test_the_image_is_healthy_streams_and_drains(installed: Path, tmp_path: Path, valkey: Server) -> None:
    """Two workers with the Valkey of `compose.yaml`, and `docker stop` while an answer is made."""
    async with Upstream(tokens=["a", "b"], gated=True) as upstream:
        given = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url, "HEADWATER_API_KEYS": f"default:{KEY}"}
        store = {"HEADWATER_STORE": valkey.url, "HEADWATER_WORKERS": "2"}
        async with container(installed, tmp_path, **given, **store) as running:
            assert not await healthy(running.environment)
            await answers(running)
            assert await healthy(running.environment)
            page = await running.client.get("/")
            upstream.release()
            async with running.client.stream("POST", CHAT, json=chat()) as response:
                read = frames(response)
                seen = [(await anext(read))["type"] for _ in range(2)]

                running.process.send_signal(signal.Signals[dockerfile.only("STOPSIGNAL").rest])
                async with httpx.AsyncClient(base_url=running.client.base_url) as probe:
                    ready = await probe.get("/readyz")
                    while ready.status_code == 200:
                        ready = await probe.get("/readyz")
                upstream.release()
                seen += [frame["type"] async for frame in read]
            async with asyncio.timeout(20):
                status = await running.process.wait()
    assert page.headers["content-type"].startswith("text/html")
    assert (ready.status_code, ready.json()["code"]) == (503, "shutdown")
    assert "shutting down" in ready.json()["detail"]
    assert seen == ["start", "text-delta", "text-delta", "finish"]
    assert status in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"HEADWATER_DATA_DIR": ""}, "set HEADWATER_DATA_DIR"), ({}, ".env: This user may not read it")],
    ids=["no home directory", "a secret file of another user"],
)
async def test_a_user_who_lacks_something_is_told_what(
    given: dict[str, str], words: str, installed: Path, tmp_path: Path
) -> None:
    """In one line; some clusters run every image as a user whom the image does not know."""
    if not can_be_another() and (given or os.geteuid() == 0):
        pytest.skip("this user has a home, or is root, and cannot become another one here")
    if not given:
        (tmp_path / ".env").touch(0o000)
    async with container(installed, tmp_path, HEADWATER_API_KEYS=KEY, **given) as running:
        async with asyncio.timeout(20):
            status = await running.process.wait()
    assert status == 2
    said = (tmp_path / "log").read_text()
    assert words in said
    assert "Traceback" not in said


async def test_a_server_without_its_store_is_alive_and_not_ready(
    installed: Path, tmp_path: Path, valkey: Server
) -> None:
    """So it is taken out of rotation, with the reason, and not restarted; it is ready when the store is back."""
    given = {"HEADWATER_MODEL": "echo", "HEADWATER_API_KEYS": KEY, "HEADWATER_STORE": valkey.url}
    async with container(installed, tmp_path, **given) as running:
        await answers(running)
        valkey.kill()
        unready = await running.client.get("/readyz")
        alive = await healthy(running.environment)
        valkey.start()
        await answers(running)
    assert alive
    assert (unready.status_code, unready.json()["code"]) == (503, "store")
    assert "store" in unready.json()["detail"]

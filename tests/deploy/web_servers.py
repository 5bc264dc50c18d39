"""nginx and Caddy as users run them: with the files in `deploy/`, of which only ports and certificates are replaced."""

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import trustme
from redis_servers import free_port

ROOT = Path(__file__).parents[2]
HOST = "app.example"
"""The host name in the files."""

NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/errors;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/headwater.conf;
}}
"""
"""What a distribution's own nginx.conf has around the file, as far as it matters here."""

CADDY = """
{{
	admin off
	http_port {http}
	https_port {https}
	default_bind 127.0.0.1
	storage file_system {folder}/storage
}}
"""


class Certificate(NamedTuple):
    """A certificate of `HOST`, and the authority that issued it."""

    chain: Path
    key: Path
    authority: trustme.CA

    def trust(self) -> ssl.SSLContext:
        """A context that trusts the authority; a new one each time, because httpx writes its protocols into it."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
        return context


class Ports(NamedTuple):
    """Where the web server listens, and where Headwater does."""

    http: int
    https: int
    headwater: int


class WebServer(NamedTuple):
    """A web server that can run here."""

    name: str
    path: str
    configure: Callable[[Path, Ports, Certificate], list[str]]
    """Writes its configuration into a folder; returns its arguments."""


class Front(NamedTuple):
    """A running web server in front of Headwater."""

    ports: Ports
    certified: Certificate

    def client(self, *, http2: bool) -> httpx.AsyncClient:
        """A client that believes to be connected to `https://app.example`, with one version of HTTP."""

        async def name_the_host(request: httpx.Request) -> None:
            request.extensions = {**request.extensions, "sni_hostname": HOST}

        return httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{self.ports.https}",
            headers={"Host": HOST},
            http1=not http2,
            http2=http2,
            verify=self.certified.trust(),
            timeout=20,
            event_hooks={"request": [name_the_host]},
        )


def certificate(folder: Path) -> Certificate:
    """A new authority, and a certificate of it for `HOST`."""
    authority = trustme.CA()
    issued = authority.issue_cert(HOST)
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for part in issued.cert_chain_pems:
        part.write_to_path(folder / "chain.pem", append=True)
    return Certificate(folder / "chain.pem", folder / "key.pem", authority)


def nginx() -> WebServer | None:
    """nginx, if it is installed."""
    # Debian installs it in /usr/sbin, which is not on every user's PATH.
    path = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    return WebServer("nginx", path, _configure_nginx) if path else None


def caddy() -> WebServer | None:
    """Caddy, if it is installed."""
    path = shutil.which("caddy")
    return WebServer("caddy", path, _configure_caddy) if path else None


@asynccontextmanager
async def serving(
    server: WebServer, headwater: int, certified: Certificate, folder: Path
) -> AsyncGenerator[Front, None]:
    """The web server in front of a Headwater on this port, for as long as the context lasts."""
    ports = Ports(free_port(), free_port(), headwater)
    arguments = server.configure(folder, ports, certified)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            server.path, *arguments, cwd=folder, env={**os.environ, "HOME": str(folder)}, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(20):
            while not all(map(_listens, ports[:2])):
                assert process.returncode is None, (folder / "log").read_text()
                await asyncio.sleep(0.01)
        yield Front(ports, certified)
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(10):
            await process.wait()


def _configure_nginx(folder: Path, ports: Ports, certified: Certificate) -> list[str]:
    shipped = replaced(
        "nginx.conf",
        {
            "    listen [::]:80;\n": "",  # not every machine has IPv6
            "    listen [::]:443 ssl http2;\n": "",
            "listen 80;": f"listen 127.0.0.1:{ports.http};",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{ports.https} ssl http2;",
            "/etc/letsencrypt/live/app.example/fullchain.pem": str(certified.chain),
            "/etc/letsencrypt/live/app.example/privkey.pem": str(certified.key),
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{ports.headwater};",
        },
    )
    (folder / "headwater.conf").write_text(shipped)
    user = "user root;" if os.geteuid() == 0 else ""  # a test's folder is closed to any other user
    (folder / "nginx.conf").write_text(NGINX.format(user=user, folder=folder))
    return ["-c", f"{folder}/nginx.conf", "-p", str(folder), "-e", f"{folder}/errors"]


def _configure_caddy(folder: Path, ports: Ports, certified: Certificate) -> list[str]:
    shipped = replaced(
        "Caddyfile",
        {
            "# tls /etc/ssl/app.example.pem /etc/ssl/app.example.key": f"tls {certified.chain} {certified.key}",
            "reverse_proxy 127.0.0.1:8000 {": f"reverse_proxy 127.0.0.1:{ports.headwater} {{",
        },
    )
    settings = CADDY.format(http=ports.http, https=ports.https, folder=folder)
    (folder / "Caddyfile").write_text(settings + shipped)
    return ["run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]


def replaced(name: str, replacements: Mapping[str, str]) -> str:
    """A file of `deploy/` with some of its parts replaced, each of which must be there."""
    text = (ROOT / "deploy" / name).read_text()
    for old, new in replacements.items():
        assert old in text, f"deploy/{name} no longer has {old!r}"
        text = text.replace(old, new)
    return text


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

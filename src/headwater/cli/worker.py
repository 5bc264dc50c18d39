"""One server process: builds the app, serves it, and drains before it ends."""

import asyncio
import contextlib
import gc
import resource
import signal
import socket
import sys
import time
from ctypes import c_bool
from functools import partial
from types import FrameType
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from headwater.answers.answers import Answers
from headwater.cli.connection import STALLED, Connection
from headwater.cli.listener import Listener
from headwater.cli.logs import configure
from headwater.cli.proxies import Proxies
from headwater.settings import Settings, export_env_file
from headwater.web.capacity import connections
from headwater.wiring.server import server

CLOSE_WITHIN = 10
"""Seconds that open responses get to end after their logs have ended."""


def raise_file_limit() -> int:
    """Raise this process's soft limit on open files to the hard one; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS has a further limit, below a hard one of infinity
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else sys.maxsize


def _notice_the_dead(listening: socket.socket) -> None:
    """Have the kernel close connections whose clients are gone without a word; accepted sockets inherit this."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":  # elsewhere after the system's own times
        for option, value in (
            (socket.TCP_KEEPIDLE, 60),
            (socket.TCP_KEEPINTVL, 15),
            (socket.TCP_KEEPCNT, 4),
            (socket.TCP_USER_TIMEOUT, round(STALLED * 1000)),
        ):
            listening.setsockopt(socket.IPPROTO_TCP, option, value)


class Factory:
    """Builds the app inside the serving process, so that only the settings cross the process boundary."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.answers: Answers | None = None

    def __call__(self) -> ASGIApp:
        configure(self.settings)
        export_env_file()
        built = server(self.settings, raise_file_limit())
        self.answers = built.answers
        return Proxies(built.asgi, self.settings.proxies) if self.settings.proxies else built.asgi


class Worker(uvicorn.Server):
    """A uvicorn server that ends answers before connections, so that readers learn why and responses end cleanly.

    After SIGTERM, running answers get `HEADWATER_DRAIN` seconds to finish; meanwhile the port stays open, `/readyz`
    says 503 and new answers are refused. Ctrl-C, or a second signal, skips the wait. `serves` is set at its start.
    """

    def __init__(self, factory: Factory, serves: c_bool | None = None) -> None:
        self._factory = factory
        self._serves = serves
        self._hurry = False
        super().__init__(
            uvicorn.Config(
                factory,
                factory=True,
                workers=factory.settings.workers,
                http=Connection,
                timeout_keep_alive=factory.settings.keep_alive,
                log_config=None,  # the handlers of `logs.py` write all
                log_level="warning",
                access_log=factory.settings.access_log,
                ws="none",
                timeout_graceful_shutdown=CLOSE_WITHIN,
                server_header=False,
                proxy_headers=False,  # it would trust 127.0.0.1, and FORWARDED_ALLOW_IPS; see `Proxies`
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._hurry = self._hurry or self.should_exit or sig == signal.SIGINT
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        config = self.config
        serve = partial(
            Connection,
            config=config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            within=self._factory.settings.request_timeout,
        )
        for listening in sockets or []:
            _notice_the_dead(listening)
            listening.listen(config.backlog)
            listener = Listener(listening, serve, connections(raise_file_limit()))
            self.servers.append(cast("asyncio.Server", listener))
        # Objects made at start-up live for ever, and answers are short-lived and hold no cycles. Scanning them as often
        # as Python does by default costs several µs per token.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        # SQLite's writer thread releases the GIL at every statement. Under a burst of tokens it would wait 5 ms, the
        # default, to get the GIL back each time, and hold up the readers who wait for the commit.
        sys.setswitchinterval(0.0005)
        if self._serves is not None:
            self._serves.value = self.started

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        answers = self._factory.answers
        if answers is not None:
            answers.drain()
            give_up = time.monotonic() + self._factory.settings.drain
            while not self._hurry and time.monotonic() < give_up:
                # In short waits, so that a second signal is noticed.
                if await answers.drained(within=min(0.2, max(give_up - time.monotonic(), 0))):
                    break
            await answers.end()
        await super().shutdown(sockets)

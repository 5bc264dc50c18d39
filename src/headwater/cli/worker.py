"""One server process: builds the app where it runs, and drains before it ends."""

import gc
import logging
import signal
import socket
import sys
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from headwater.answers.answers import Attacher
from headwater.settings import Settings, export_env_file
from headwater.wiring.server import server

PATIENCE = 10
"""Seconds in which open responses may end once their logs have."""


class Factory:
    """Makes the app in the process that serves it; what is handed to that process is the settings alone."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.attacher: Attacher | None = None

    def __call__(self) -> FastAPI:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        for chatty in ("httpx", "httpx2", "openai"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        export_env_file()
        built = server(self.settings)
        self.attacher = built.attacher
        return built.app


class Worker(uvicorn.Server):
    """Ends the answers before the connections: readers are told why, and their responses end by themselves.

    After SIGTERM running answers may finish for as long as the settings say, while the port stays open to tell
    `/readyz` and to refuse new work; after Ctrl-C nobody wants to wait, and a second signal ends that wait too.
    """

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._hurry = False
        super().__init__(
            uvicorn.Config(
                factory,
                factory=True,
                workers=factory.settings.workers,
                log_level="warning",
                ws="none",
                timeout_graceful_shutdown=PATIENCE,
                server_header=False,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._hurry = self._hurry or self.should_exit or sig == signal.SIGINT
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What the start has made stays for ever, and answers are short-lived and hold no cycles: looking through
        # either as often as Python does by default costs several µs for every token.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        # The thread that writes to SQLite lets go of the interpreter at every statement, and while many tokens come at
        # once it would wait 5 ms, the default, to have it back: longer for one commit than its readers have patience.
        sys.setswitchinterval(0.0005)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        attacher = self._factory.attacher
        if attacher is not None:
            attacher.draining.begin()
            give_up = time.monotonic() + self._factory.settings.drain
            while not self._hurry and time.monotonic() < give_up:
                # In short naps, so that a second signal is heard.
                if await attacher.nursery.finished(within=min(0.2, max(give_up - time.monotonic(), 0))):
                    break
            await attacher.aclose()
        await super().shutdown(sockets)

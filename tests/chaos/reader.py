"""A reader like a careful client: resumes at its offset, at whichever server answers, and records every byte."""

import asyncio
import itertools
import json
import re
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

import h11
from serving import chat, parse_frame

from chaos.judge import Record
from headwater.offsets import ORIGIN, Offset, parse

PATIENCE = 40.0
"""Seconds after which a reader without an end counts as hanging; far above any lease and any time limit of a case."""
PAUSE = 0.05
"""Seconds before it reconnects, so that a server that is down does not get a thousand requests a second."""


class Broken(Exception):
    """The connection ended before the answer did."""


class Reader:
    """Reads one answer from the first of some servers that answers, to its end.

    It sends a `question`, or joins the log at `location` after an offset. With a `pace` it takes one byte and pauses
    for so many seconds, until `hurry` is set.
    """

    def __init__(
        self,
        name: str,
        servers: Sequence[str],
        *,
        question: str = "",
        location: str = "",
        after: Offset = ORIGIN,
        pace: float = 0.0,
    ) -> None:
        self.record = Record(name, after)
        self.location = location
        self.connections = 0
        self.answered = 0
        """Connections over which an answer began to come."""
        self.taken = 0
        """Bytes that came, in all."""
        self.hurry = asyncio.Event()
        self.patience = PATIENCE
        self.servers = servers
        self._question = question
        self._pace = pace
        self._rest = b""
        self._socket: socket.socket | None = None

    @property
    def port(self) -> int:
        """The port of its end of the connection; 0 without one."""
        return self._socket.getsockname()[1] if self._socket is not None else 0

    async def read(self) -> None:
        """Read to the end; afterwards the record holds all there was."""
        try:
            async with asyncio.timeout(self.patience):
                for server in itertools.cycle(self.servers):
                    try:
                        await self._connect(server)
                    except (OSError, Broken, h11.RemoteProtocolError):
                        await asyncio.sleep(PAUSE)
                    if self.record.end is not None:
                        return
        except TimeoutError:
            return

    def cut(self) -> None:
        """Break the connection, if there is one."""
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)

    async def _connect(self, server: str) -> None:
        """One connection, until it ends or the answer does."""
        loop = asyncio.get_running_loop()
        self.connections += 1
        self._rest = b""
        where = urlsplit(server)
        with socket.socket() as connection:
            connection.setblocking(False)
            if self._pace:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(connection, (where.hostname, where.port))
            self._socket = connection
            try:
                await self._converse(connection)
            finally:
                self._socket = None

    async def _converse(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        speech = h11.Connection(h11.CLIENT)
        await loop.sock_sendall(connection, self._request(speech))
        status, refusal = 200, b""
        while self.record.end is None:
            event = speech.next_event()
            match event:
                case h11.NEED_DATA:
                    speech.receive_data(await self._take(connection))
                case h11.Response():
                    status = event.status_code
                    self.answered += 1
                    found = {bytes(name): bytes(value) for name, value in event.headers}.get(b"location")
                    self.location = self.location or (found.decode() if found and status == 200 else "")
                case h11.Data() if status == 200:
                    self._feed(bytes(event.data))
                case h11.Data():
                    refusal += bytes(event.data)
                case h11.EndOfMessage():
                    self._refused(status, refusal)
                    return
                case _:
                    raise Broken

    def _request(self, speech: h11.Connection) -> bytes:
        headers = [("Host", "127.0.0.1"), ("Accept", "text/event-stream"), ("Connection", "close")]
        body = b""
        if self.location:
            method, path = "GET", self.location
            if self.record.last != ORIGIN:
                headers.append(("Last-Event-ID", str(self.record.last)))
        else:
            method, path = "POST", "/api/stream/completion/chat"
            body = json.dumps(chat(self._question)).encode()
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        parts = [h11.Request(method=method, target=path, headers=headers), h11.Data(body), h11.EndOfMessage()]
        return b"".join(speech.send(part) or b"" for part in parts if body or not isinstance(part, h11.Data))

    async def _take(self, connection: socket.socket) -> bytes:
        slowly = self._pace > 0 and not self.hurry.is_set()
        data = await asyncio.get_running_loop().sock_recv(connection, 1 if slowly else 65_536)
        self.taken += len(data)
        if slowly:
            try:
                async with asyncio.timeout(self._pace):
                    await self.hurry.wait()
            except TimeoutError:
                pass
        return data

    def _feed(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n\n")
        for block in whole:
            frame = parse_frame(block)
            if frame is None or self.record.end is not None:
                continue
            if frame.id is not None:
                # A replay has an id of its own, and is told how the cache answered; all other bytes must be the same.
                log = self.location.rpartition("/")[2]
                lines = b"\n".join(line for line in block.split(b"\n") if not line.startswith((b":", b"retry: ")))
                sent = lines.replace(log.encode(), log.partition("~")[0].encode()) + b"\n\n"
                if "cache" in frame:
                    sent = re.sub(rb',"cache":\{.*\}\}', b"}", sent)
                self.record.frames.append((parse(frame.id), sent))
            match frame["type"]:
                case "finish" | "stop":
                    self.record.end = frame["type"]
                case "continued" if frame.get("rewind"):
                    self.record.rewind(parse(frame["rewind"]))
                case "start":
                    self.record.rewind(ORIGIN)  # the answer begins anew
                case "error" if frame.id is not None or not frame["retryable"]:
                    self.record.end = _gone(frame["code"])
                case "error":
                    raise Broken  # the log could not be read on, which is not the answer's ending
                case _:
                    pass

    def _refused(self, status: int, body: bytes) -> None:
        """The response is over. Without an ending the reader resumes, also after some refusals."""
        if status == 200 or status == 503:
            raise Broken
        self.record.end = _gone(json.loads(body)["code"]) if body else str(status)


def _gone(code: str) -> str:
    return "gone" if code in ("expired", "no_such_log") else code

"""Connections of `headwater serve`: its event loop, its protocol and its settings together."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from servers import Serving, serve

QUESTION = json.dumps({"message": "Hi"}).encode()


async def connected(server: Serving) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw connection to the server."""
    url = server.client.base_url
    return await asyncio.open_connection(url.host, url.port)


async def test_an_idle_connection_is_kept_for_as_long_as_the_setting_says(tmp_path: Path) -> None:
    """A proxy that sends its next request just when the server closes would see a failure."""
    async with serve(tmp_path, HEADWATER_MODEL="echo", HEADWATER_KEEP_ALIVE="1") as server:
        reader, writer = await connected(server)
        began = 0.0
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await reader.readuntil(b'{"status":"alive"}')
            began = time.monotonic()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        assert time.monotonic() - began >= 0.8
        writer.close()


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_client_that_half_closes_gets_its_answer(version: bytes, tmp_path: Path) -> None:
    """Without chunks in 1.0."""
    request = b"POST /api/stream/completion HTTP/%b\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
    async with serve(tmp_path, HEADWATER_MODEL="echo") as server:
        reader, writer = await connected(server)
        writer.write(request % (version, len(QUESTION), QUESTION))
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b'"type":"finish"' in answer
    assert (b"transfer-encoding: chunked" in answer) == (version == b"1.1")
    assert answer.endswith(b"0\r\n\r\n" if version == b"1.1" else b"\n\n")


async def test_bare_text_that_breaks_off_resets_a_connection_of_http_1_0(tmp_path: Path) -> None:
    """As the answer is stopped before its end."""
    request = (
        b"POST /api/stream/completion HTTP/1.0\r\nHost: localhost\r\nAccept: text/plain\r\nContent-Length: %d\r\n\r\n%b"
    )
    question = json.dumps({"message": "word " * 20_000}).encode()
    async with serve(tmp_path, HEADWATER_MODEL="echo") as server:
        reader, writer = await connected(server)
        writer.write(request % (len(question), question))
        head = await reader.readuntil(b"\r\n\r\n")
        location = next(line[10:] for line in head.decode().split("\r\n") if line.startswith("location: "))
        stopped = await server.client.post(location + "/stop")
        assert stopped.json()["state"] == "stopped"
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 10)
        writer.close()

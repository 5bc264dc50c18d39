"""The Python client and `headwater ask` at a server with keys."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from serving import headwater

from headwater.access.keyfile import KeyFile, Keys
from headwater.access.keys import parse
from headwater.client import Client, RequestError
from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted

KEY = "client-key-0001"
ANSWER = [TextDelta("x"), Finish("stop")]


def keys() -> Keys:
    """One key."""
    return Keys(parse(KEY), KeyFile(Path("/nonexistent/keys.json")))


async def test_the_client_brings_its_key() -> None:
    """Without one it gets the server's words, and tries no second time."""
    async with headwater(Scripted(ANSWER), keys=keys()) as server:
        url = str(server.client.base_url)
        async with Client(url, api_key=f" {KEY}\n") as client:
            answer = await client.complete("Hi")
            assert [event async for event in answer][-1] == Finish("stop")
            assert (await client.about()).model == "scripted"
        async with Client(url) as stranger:
            with pytest.raises(RequestError, match="needs a key") as refused:
                await stranger.complete("Hi")

    assert (refused.value.status, refused.value.code) == (401, "unauthorized")


@pytest.mark.parametrize("key", ["", "client key", "client-kéy", "client\nkey"])
def test_a_malformed_key_is_refused_without_quoting_it(key: str) -> None:
    """The HTTP library would put it into its error, and that into a log."""
    with pytest.raises(RequestError, match="API key") as refused:
        Client(api_key=key)
    assert not key or key not in str(refused.value)


async def test_ask_takes_its_key_from_the_environment(tmp_path: Path) -> None:
    """Or from `.env`; without a key it says what to set."""
    outcomes: list[tuple[int | None, bytes, bytes]] = []
    async with headwater(Scripted(ANSWER), keys=keys()) as server:
        for environment, file in (({"HEADWATER_API_KEY": KEY}, ""), ({}, f"HEADWATER_API_KEY={KEY}\n"), ({}, "")):
            (tmp_path / ".env").write_text(file)
            asking = [sys.executable, "-m", "headwater", "ask", "Hi", "--url", str(server.client.base_url)]
            clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
            process = await asyncio.create_subprocess_exec(
                *asking,
                env={**clean, **environment},
                cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
            outcomes.append((process.returncode, out, err))

    assert [outcome[:2] for outcome in outcomes] == [(0, b"x\n"), (0, b"x\n"), (1, b"")]
    assert b"HEADWATER_API_KEY" in outcomes[2][2]

"""`headwater tail` as a process, against real servers."""

import asyncio
import json
import os
import pty
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
from proxy import breakable
from serving import Headwater, chat, headwater, post_chat, until
from test_ask import asking
from test_ask_address import CLEAN
from test_client_keys import KEY, keys

from headwater.errors import ModelError
from headwater.events import (
    Event,
    Finish,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    Usage,
)
from headwater.log.sqlite.store import SqliteStore
from headwater.models.scripted import SILENCE, Scripted

RICH: list[Event] = [
    ReasoningDelta("It "),
    ReasoningDelta("rains?"),
    ToolCallStart("1", "weather"),
    ToolCallDelta("1", '{"city":'),
    ToolCallDelta("1", '"Ghent"}'),
    ToolCallEnd("1"),
    ToolResult("1", "wet"),
    TextDelta("Yes"),
    TextDelta(", it does."),
    Finish("stop", Usage(3, 2)),
]
BESIDE = 'It rains?\n[calls weather]\n{"city":"Ghent"}\nwet\n[finished: stop; 3 tokens in, 2 out]\n'


async def tail(*arguments: str, url: httpx.URL | str = "", **options: object) -> tuple[int | None, str, str]:
    """The exit code, standard output and standard error of `headwater tail`."""
    async with asking(*arguments, command="tail", url=url, **options) as process:  # pyright: ignore[reportArgumentType]
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def asked(server: Headwater) -> AsyncGenerator[str, None]:
    """The location of an answer whose asker has gone."""
    async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
        location = response.headers["location"]
    yield location


async def test_a_log_is_named_by_its_id_its_address_or_its_location(tmp_path: Path) -> None:
    """Whatever it was asked in. The answer goes to standard output, thoughts and what tools said to standard error."""
    async with headwater(Scripted(RICH)) as server:
        location = (await post_chat(server.client, accept="text/plain")).headers["location"]
        url = server.client.base_url
        here = {**CLEAN, "HEADWATER_PORT": str(url.port)}
        followed = await asyncio.gather(
            tail(location.rpartition("/")[2], url=url),
            tail(location, folder=tmp_path, environment=here),
            tail(f"{str(url).rstrip('/')}{location}", folder=tmp_path, environment={**CLEAN, "HEADWATER_PORT": "0"}),
        )
    assert followed == [(0, "Yes, it does.\n", BESIDE)] * 3


async def test_a_terminal_shows_the_thoughts_dimmed() -> None:
    """Each on lines of their own, so that they are not taken for the answer."""
    async with headwater(Scripted(RICH)) as server:
        location = (await post_chat(server.client)).headers["location"]
        outside, inside = pty.openpty()
        async with asking(location, command="tail", url=server.client.base_url, stdout=inside, stderr=inside) as shown:
            os.close(inside)
            assert await shown.wait() == 0
    lines = os.read(outside, 10_000).decode().split("\r\n")
    os.close(outside)
    assert lines[0] == "\x1b[2mIt \x1b[0m\x1b[2mrains?\x1b[0m"
    assert lines[-3:] == ["Yes, it does.", "[finished: stop; 3 tokens in, 2 out]", ""]


async def test_json_has_the_offset_to_read_on_after() -> None:
    """One event a line; with `--after` come those that follow, and after the last of them only the ending."""
    async with headwater(Scripted(RICH)) as server:
        location = (await post_chat(server.client)).headers["location"]
        code, out, _ = await tail(location, "--json", url=server.client.base_url)
        lines = out.splitlines()
        offsets = [json.loads(line)["offset"] for line in lines]
        rests = await asyncio.gather(
            *(tail(location, "--json", "--after", offsets[at], url=server.client.base_url) for at in (0, 5, -1))
        )
    assert (code, [json.loads(line)["type"] for line in lines][:2]) == (0, ["start", "reasoning-delta"])
    assert [rest[1].splitlines() for rest in rests] == [lines[1:], lines[6:], lines[-1:]]


async def test_a_running_answer_is_shown_as_it_comes_and_the_exit_code_depends_on_its_ending() -> None:
    """Stopped is 3, failed is 1, as with `headwater ask`; a log that is not there is 1."""
    async with headwater(Scripted([TextDelta("a"), SILENCE])) as server, asked(server) as location:
        async with asking(location, command="tail", url=server.client.base_url) as process:
            assert process.stdout is not None
            assert await process.stdout.read(100) == b"a"
            await server.client.post(f"{location}/stop")
            _, err = await process.communicate()
    assert (process.returncode, err) == (3, b"[stopped]\n")

    async with headwater(Scripted([TextDelta("a"), ModelError("the provider failed")])) as server:
        async with asked(server) as location:
            await until(lambda: not server.answers.running, "it has failed")
            failed, absent, strange, other = await asyncio.gather(
                tail(location, url=server.client.base_url),
                tail("abcdefgh-nothing", url=server.client.base_url),
                tail(location, "--after", "yesterday", url=server.client.base_url),
                tail(location, "--after", "1-2.anotherlog", url=server.client.base_url),
            )
    assert failed == (1, "a\n", "headwater: The provider failed.\n")
    assert (absent[:2], strange[:2], other[:2]) == ((1, ""), (1, ""), (1, ""))
    assert "There is no log abcdefgh-nothing" in absent[2]
    assert '"yesterday" is not an offset' in strange[2]
    assert "1-2.anotherlog is of another log" in other[2]


async def test_a_broken_connection_and_a_restarted_server_cost_nothing(tmp_path: Path) -> None:
    """The log outlives the server that it was read from; another one writes it."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    path = tmp_path / "logs.sqlite"
    async with headwater(model, SqliteStore(path)) as writing, AsyncExitStack() as stack:
        first = await stack.enter_async_context(headwater(model, SqliteStore(path)))
        async with asked(writing) as location, breakable(first.client) as proxy:
            async with asking(location, command="tail", url=proxy.url) as process:
                assert process.stdout is not None
                assert await process.stdout.read(100) == b"a"
                proxy.refusing = True
                proxy.cut()
                await stack.aclose()
                async with headwater(model, SqliteStore(path)) as restarted:
                    proxy.turn_to(restarted.client)
                    proxy.refusing = False
                    gate.set()
                    out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"b\n")
    assert b"; reconnecting in " in err


async def test_ctrl_c_leaves_the_answer_running_and_says_how_to_read_on() -> None:
    """Who looks at an answer does not end it for those who asked for it."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with headwater(model) as server, asked(server) as location:
        async with asking(location, command="tail", url=server.client.base_url, stderr=PIPE) as process:
            assert process.stdout is not None
            assert await process.stdout.read(100) == b"a"
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        assert process.returncode == 130
        assert model.running == 1
        gate.set()
        again = err.decode().strip("[]\n").partition("headwater tail ")[2].split()
        assert (await tail(*again, url=server.client.base_url))[:2] == (0, "b\n")


async def test_the_key_is_that_of_the_environment() -> None:
    """As for `headwater ask`; without it, what to set."""
    async with headwater(Scripted(RICH), keys=keys()) as server:
        bearer = {"authorization": f"Bearer {KEY}"}
        location = (await post_chat(server.client, **bearer)).headers["location"]
        known, stranger = await asyncio.gather(
            tail(location, url=server.client.base_url, environment={**CLEAN, "HEADWATER_API_KEY": KEY}),
            tail(location, url=server.client.base_url, environment=CLEAN),
        )
    assert known == (0, "Yes, it does.\n", BESIDE)
    assert stranger[:2] == (1, "")
    assert "Set HEADWATER_API_KEY to a key of this server." in stranger[2]

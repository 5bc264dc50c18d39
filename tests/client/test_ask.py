"""`headwater ask` as a process, against a real server."""

import asyncio
import json
import os
import pty
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from canned import canned, events, response
from proxy import breakable
from serving import headwater, until

from headwater.errors import ModelError
from headwater.events import Event, Finish, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage
from headwater.models.scripted import SILENCE, Scripted
from headwater.observe import Observer, Request
from headwater.web.response import Pace

HELLO = [ReasoningDelta("Hm"), TextDelta("Hel"), TextDelta("lo é"), Finish("stop", Usage(3, 2))]


@asynccontextmanager
async def asking(
    *arguments: str,
    command: str = "ask",
    url: httpx.URL | str = "",
    stdin: int = DEVNULL,
    stdout: int = PIPE,
    stderr: int = PIPE,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> AsyncGenerator[Process, None]:
    """A running `headwater ask`, or another command of a client, killed at the end of the context."""
    program = (sys.executable, "-m", "headwater", command)
    at = ("--url", str(url)) if url else ()
    process = await asyncio.create_subprocess_exec(
        *program, *arguments, *at, stdin=stdin, stdout=stdout, stderr=stderr, cwd=folder, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def ask(*arguments: str, url: httpx.URL | str, given: bytes | None = None) -> tuple[int | None, str, str]:
    """The exit code, standard output and standard error of `headwater ask`, given this standard input."""
    async with asking(*arguments, url=url, stdin=DEVNULL if given is None else PIPE) as process:
        out, err = await process.communicate(given)
        return process.returncode, out.decode(), err.decode()


async def test_the_answer_goes_to_standard_output_and_the_rest_to_standard_error() -> None:
    """So the answer can be piped; a remark says when it comes from the cache."""
    model = Scripted(HELLO)
    async with headwater(model) as server:
        code, out, err = await ask("Hi", url=server.client.base_url)
        assert (code, out) == (0, "Hello é\n")
        assert "[thinking …]" in err
        assert "[first token after 0." in err
        assert " tokens/s]" in err

        code, out, err = await ask("Hi", url=server.client.base_url)
        assert (code, out) == (0, "Hello é\n")
        assert re.search(r"\[cached, \d s old\]", err)

        assert len(model.prompts) == 1
        assert "cached" not in (await ask("Hi", "--no-cache", url=server.client.base_url))[2]
        assert len(model.prompts) == 2


async def test_the_answer_is_printed_as_it_arrives() -> None:
    """The first words appear while the model is still generating, in a pipe too."""
    gate = asyncio.Event()
    async with headwater(Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])) as server:
        async with asking("Hi", url=server.client.base_url) as process:
            assert process.stdout is not None
            assert await process.stdout.read(100) == b"a"
            gate.set()
            assert await process.stdout.read() == b"b\n"
            assert await process.wait() == 0


async def test_the_question_may_come_from_standard_input() -> None:
    """With `-`, and without a question if standard input is not a terminal."""
    model = Scripted([TextDelta("x"), Finish("stop")])
    async with headwater(model) as server:
        url = server.client.base_url
        named, bare, empty = await asyncio.gather(
            ask("-", url=url, given="Wie spät?\n".encode()),
            ask(url=url, given=b"How \xff late?"),
            ask(url=url, given=b""),
        )
    assert (named[:2], bare[:2]) == ((0, "x\n"), (0, "x\n"))
    assert {str(prompt.messages[0].content) for prompt in model.prompts} == {"Wie spät?", "How \ufffd late?"}
    code, out, err = empty
    assert (code, out) == (1, "")
    assert "messages[0] has no content" in err


async def test_json_prints_one_event_a_line() -> None:
    """For other programs: ASCII-only, the ending included."""
    async with headwater(Scripted(HELLO)) as server:
        code, out, _ = await ask("Hi", "--json", url=server.client.base_url)
    told = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [event["type"] for event in told] == ["start", "reasoning-delta", "text-delta", "text-delta", "finish"]
    assert told[3]["text"] == "lo é"
    assert out.isascii()


async def test_the_exit_code_depends_on_the_ending() -> None:
    """Finished is 0, truncated is 3, failed is 1; what arrived is printed in each case."""
    endings: list[tuple[Event | ModelError, int, str]] = [
        (Finish("length"), 0, "[cut at the length limit]"),
        (ToolCallStart("1", "weather"), 3, "[calls weather]"),
        (ModelError("the provider failed"), 1, "headwater: The provider failed."),
    ]

    async def check(ending: Event | ModelError, code: int, words: str) -> None:
        async with headwater(Scripted([TextDelta("a"), ending])) as server:
            exited, out, err = await ask("Hi", url=server.client.base_url)
        assert (exited, out) == (code, "a\n")
        assert words in err

    await asyncio.gather(*(check(*ending) for ending in endings))


async def test_a_tool_call_is_a_first_token_too() -> None:
    """An answer that only calls a tool was as fast as any other."""
    script = [ToolCallStart("1", "weather"), ToolCallDelta("1", "{}"), ToolCallEnd("1"), Finish("tool_calls")]
    async with headwater(Scripted([script])) as server:
        code, out, err = await ask("Hi", url=server.client.base_url)
    assert (code, out) == (0, "")
    assert err.startswith("[calls weather]\n[first token after 0.")


async def test_an_answer_that_somebody_else_stopped_is_partial() -> None:
    """The exit code is 3, and a remark says why."""
    logs: list[str] = []

    class Claims(Observer):
        def claimed(self, request: Request) -> None:
            logs.append(request.log)

    async with headwater(Scripted([TextDelta("a"), SILENCE]), observers=[Claims()]) as server:
        async with asking("Hi", url=server.client.base_url) as process:
            assert process.stdout is not None
            assert await process.stdout.read(100) == b"a"
            (log,) = logs
            await server.client.post(f"/api/streams/{log}/stop")
            _, err = await process.communicate()
    assert process.returncode == 3
    assert b"[stopped]" in err


async def test_a_server_that_is_not_running_is_reported() -> None:
    """At once, with the command that starts one and without a traceback."""
    code, out, err = await ask("Hi", url="http://127.0.0.1:9")
    assert (code, out) == (1, "")
    ways_out = "Start a server there with `headwater serve`, or name another one with --url."
    assert err == f"headwater: Nothing listens at http://127.0.0.1:9. {ways_out}\n"


async def test_a_refusal_is_printed_in_the_words_of_the_server() -> None:
    """The detail of the problem JSON and the time to wait; a malformed address needs no server."""
    limit = ModelError("too fast", code="rate_limited", status=429, retry_after=7)
    async with headwater(Scripted([limit])) as server:
        limited, unknown, strange = await asyncio.gather(
            ask("Hi", url=server.client.base_url),
            ask("Hi", "--model", "gpt-0", url=server.client.base_url),
            ask("Hi", url="localhost"),
        )
    assert limited == (1, "", "headwater: Too fast. Try again in 7 s.\n")
    assert unknown[:2] == (1, "")
    assert unknown[2].startswith('headwater: The model "gpt-0" is not offered here')
    assert strange == (1, "", 'headwater: "localhost" is not an address; write it as http://127.0.0.1:8000.\n')


async def test_a_lost_answer_is_reported_in_the_words_of_the_server() -> None:
    """After a crash of the writing server a part of the answer does not look whole."""
    at = {"Location": "/api/streams/abcdefgh-1"}
    about = response("404 Not Found", b"")
    part = 'id: 1-1\ndata: {"type":"text-delta","text":"a"}'
    lost = 'id: 2-2\ndata: {"type":"error","code":"lost","message":"The server is gone.","retryable":true}'
    async with canned(about, events(part, lost, **at)) as peer:
        code, out, err = await ask("Hi", url=peer.url)
    assert (code, out) == (1, "a\n")
    assert "headwater: The server is gone.\n" in err


async def test_a_broken_connection_is_reported_and_resumed() -> None:
    """The printed answer is whole."""
    gate = asyncio.Event()
    model = Scripted([TextDelta("a"), gate, TextDelta("b"), Finish("stop")])
    async with headwater(model) as server, breakable(server.client) as proxy:
        async with asking("Hi", url=proxy.url) as process:
            assert process.stdout is not None
            assert await process.stdout.read(100) == b"a"
            proxy.cut()
            gate.set()
            out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"b\n")
    assert b"; reconnecting in " in err


@pytest.mark.parametrize("begun", [True, False], ids=["in mid-answer", "before the first token"])
async def test_ctrl_c_stops_the_answer_on_the_server(begun: bool) -> None:
    """Also before the response has begun, because the model is running, and billed, from then on."""
    model = Scripted([TextDelta("a"), SILENCE] if begun else [SILENCE])
    async with headwater(model, pace=Pace(hold=0.5)) as server:
        async with asking("Hi", url=server.client.base_url) as process:
            if begun:
                assert process.stdout is not None
                assert await process.stdout.read(100) == b"a"
            await until(lambda: model.running, "the model is asked")
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
        assert process.returncode == 130
        assert model.running == 0
    assert out == (b"\n" if begun else b"")
    assert b"[stopped]" in err
    assert b"Traceback" not in err


async def test_a_terminal_shows_that_a_model_is_a_demo_and_no_control_characters() -> None:
    """A model must not move the cursor. In a pipe the answer is unchanged."""
    about = b'{"version":"0","model":"m","demo":true,"notice":"It knows nothing."}'
    start = 'id: 1-1\ndata: {"type":"start","message_id":"abcdefgh-1","model":"m"}'
    text = 'id: 1-2\ndata: {"type":"text-delta","text":"a\\u001b[2Jb"}'
    finish = 'id: 1-3\ndata: {"type":"finish","reason":"stop"}'
    told = (response("200 OK", about), events(start, text, finish, Location="/api/streams/abcdefgh-1"))
    async with canned(*told, *told) as peer:
        outside, inside = pty.openpty()
        async with asking("Hi", url=peer.url, stdout=inside, stderr=inside) as process:
            os.close(inside)
            assert await process.wait() == 0
        shown = os.read(outside, 10_000).replace(b"\r\n", b"\n").decode()
        os.close(outside)
        _, out, err = await ask("Hi", url=peer.url)
    assert shown.startswith("[demo model: It knows nothing.]\na[2Jb\n[first token after ")
    assert out == "a\x1b[2Jb\n"
    assert "demo" not in err


async def test_without_a_question_in_a_terminal_the_usage_is_printed() -> None:
    """Instead of waiting for standard input."""
    outside, inside = pty.openpty()
    async with asking(url="http://127.0.0.1:9", stdin=inside) as process:
        _, err = await process.communicate()
    os.close(inside)
    os.close(outside)
    assert process.returncode == 2
    assert b"there is no question" in err

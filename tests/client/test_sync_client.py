"""The Python client in blocking form: in a plain script, in threads, in a notebook, and when it is interrupted."""

import asyncio
import signal
import sys
import threading
from asyncio.subprocess import PIPE

import pytest
from proxy import breakable
from reading import QUICK, quick
from serving import Headwater, headwater, until

from headwater.client import ModelError, RequestError, SyncClient
from headwater.errors import Expired
from headwater.events import Error, Event, Finish, Start, Stop, TextDelta
from headwater.models.scripted import SILENCE, Scripted
from headwater.observe import Observer
from headwater.web.response import Pace

ANSWER = [TextDelta("Hel"), TextDelta("lo"), Finish("stop")]


class Readers(Observer):
    """Who reads now."""

    def __init__(self) -> None:
        self.now = 0

    def reader_came(self, log: str, dialect: str) -> None:
        self.now += 1

    def reader_left(self, log: str, dialect: str) -> None:
        self.now -= 1


def blocking(server: Headwater) -> SyncClient:
    """A client of this server; only a thread other than the server's may use it."""
    return SyncClient(str(server.client.base_url), patience=QUICK)


def threads() -> list[threading.Thread]:
    """The threads of clients."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("headwater client")]


async def test_a_plain_script_asks_reads_and_attaches() -> None:
    """Without a word of `async`; afterwards no thread is left."""

    def script() -> tuple[list[Event], list[Event]]:
        with blocking(server) as client:
            assert client.about().model == "scripted"
            answer = client.chat("Hi", temperature=0)
            events = list(answer)
            assert (answer.text, answer.ending, str(answer.offset)) == ("Hello", Finish("stop"), "1-4")
            again = client.attach(answer.id, after="1-2")
            assert client.complete("Once").read().text == "Hello"
            return events, list(again)

    async with headwater(Scripted(ANSWER)) as server:
        events, rest = await asyncio.to_thread(script)
    assert (type(events[0]), events[1:], rest) == (Start, ANSWER, ANSWER[1:])
    assert threads() == []


async def test_an_answer_is_read_as_it_comes_through_a_broken_connection_and_stopped() -> None:
    """The loop gets each event when it is there."""
    gate = asyncio.Event()
    first = threading.Event()

    def script() -> list[Event]:
        with SyncClient(proxy.url, patience=QUICK) as client:
            answer = client.chat("Hi")
            seen = [next(answer), next(answer)]
            first.set()
            seen.append(next(answer))
            assert answer.stop() == "stopped"
            return [*seen, *answer]

    model = Scripted([TextDelta("a"), gate, TextDelta("b"), SILENCE])
    async with headwater(model) as server, breakable(server.client) as proxy:
        reading = asyncio.create_task(asyncio.to_thread(script))
        await until(first.is_set, "the first word is read")
        proxy.cut()
        gate.set()
        assert (await reading)[1:] == [TextDelta("a"), TextDelta("b"), Stop("anyone")]


async def test_a_failure_is_an_event_to_a_loop_and_raised_by_reading_all_at_once() -> None:
    """In both forms of the client; what came before it stays."""
    model = Scripted([TextDelta("a"), ModelError("the provider failed", code="provider_error")])

    def script() -> None:
        with blocking(server) as client:
            answer = client.chat("Hi", no_cache=True)
            with pytest.raises(ModelError, match="provider failed") as failure:
                answer.read()
            assert (answer.text, failure.value.code) == ("a", "provider_error")
            assert isinstance(list(client.attach(answer.location))[-1], Error)
            with pytest.raises(Expired, match="another log"):
                client.attach(answer.location, after="1-2.anotherlog")
            with pytest.raises(RequestError):
                client.chat([])

    async with headwater(model) as server, quick(server.client.base_url) as client:
        await asyncio.to_thread(script)
        with pytest.raises(ModelError, match="provider failed"):
            await (await client.chat("Hi")).read()


async def test_leaving_early_closes_the_connection() -> None:
    """That of an answer with `close`, all with the client; the thread ends also when a client is merely forgotten."""
    readers = Readers()
    answered = asyncio.Event()

    def leave() -> None:
        with blocking(server) as client:
            for _ in client.chat("Hi"):
                break
            with client.chat("Hi") as answer:
                next(answer)

    def forget() -> None:
        next(blocking(server).chat("Hi"))

    async with headwater(
        Scripted([TextDelta("a"), answered, *ANSWER]), observers=[readers], pace=Pace(heartbeat=0.02)
    ) as server:
        await asyncio.to_thread(leave)
        await asyncio.to_thread(forget)
        await until(lambda: not readers.now, "nobody reads")
        await until(lambda: not threads(), "the threads have ended")
        answered.set()


async def test_threads_share_a_client_and_even_an_answer() -> None:
    """Each event goes to one of them."""
    words = [TextDelta(f"{n} ") for n in range(200)]
    taken: list[Event] = []

    def script() -> str:
        with blocking(server) as client:
            answers = [client.chat(f"Question {n}") for n in range(4)]
            shared = client.chat("Shared")
            running = [threading.Thread(target=answer.read) for answer in answers]
            running += [threading.Thread(target=lambda: taken.extend(shared)) for _ in range(3)]
            for thread in running:
                thread.start()
            for thread in running:
                thread.join()
            assert {answer.text for answer in answers} == {shared.text}
            return shared.text

    async with headwater(Scripted([*words, Finish("stop")])) as server:
        text = await asyncio.to_thread(script)
    assert text == "".join(word.text for word in words)
    assert len(taken) == len(words) + 2


async def test_closing_ends_the_wait_of_another_thread_with_an_error() -> None:
    """And a closed client says so, as does one that its own callback uses."""

    def script() -> None:
        client = blocking(server)
        answer = client.chat("Hi")
        waiting = threading.Thread(target=wait, args=(answer.read,))
        waiting.start()
        client.close()
        waiting.join()
        with pytest.raises(RuntimeError, match="closed"):
            client.about()
        client.close()

    def wait(read: object) -> None:
        assert callable(read)
        with pytest.raises(RuntimeError, match="closed") as failure:
            read()
        failures.append(failure.value)

    failures: list[BaseException] = []
    async with headwater(Scripted([TextDelta("a"), SILENCE])) as server:
        await asyncio.to_thread(script)
    assert len(failures) == 1

    def nested() -> None:
        def use(why: str, pause: float) -> None:
            client.about()

        with SyncClient("http://127.0.0.1:9", patience=QUICK, on_retry=use) as client:
            client.chat("Hi")

    with pytest.raises(RuntimeError, match="on_retry"):
        await asyncio.to_thread(nested)


async def test_it_works_where_an_event_loop_runs() -> None:
    """Such as in a notebook."""

    async def cell() -> str:
        with blocking(server) as client:
            return client.chat("Hi").read().text

    async with headwater(Scripted(ANSWER)) as server:
        assert await asyncio.to_thread(asyncio.run, cell()) == "Hello"


SCRIPT = """
import os, sys
from headwater.client import SyncClient

client = SyncClient(sys.argv[1])
answer = client.chat("Hi")
try:
    for event in answer:
        print(event, flush=True)
except KeyboardInterrupt:
    print("interrupted", answer.stop(), [type(event).__name__ for event in answer], flush=True)

if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
try:
    client.about()
except RuntimeError as error:
    assert "forked" in str(error)
"""


async def test_ctrl_c_interrupts_a_script_and_a_client_left_open_does_not_hold_it() -> None:
    """The script may go on with the answer, and ends without a word; a forked process gets an error, and no hang."""
    async with headwater(Scripted([TextDelta("a"), SILENCE])) as server:
        program = (sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT, str(server.client.base_url))
        process = await asyncio.create_subprocess_exec(*program, stdout=PIPE, stderr=PIPE)
        try:
            assert process.stdout is not None
            while b"TextDelta" not in await process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
    assert (out, err, process.returncode) == (b"interrupted stopped ['Stop']\n", b"", 0)

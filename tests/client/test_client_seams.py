"""A reader whose server died: it may have received more than was stored, and takes that back where the log goes on."""

import asyncio
import os
import pty
from collections.abc import Sequence

import pytest
from canned import canned, events, response
from reading import HI, quick
from test_ask import asking

from headwater.client import Answer, Continued, Finish, SyncClient, TextDelta
from headwater.dialects.native.reader import NativeReader
from headwater.entries import Entry, record
from headwater.events import Event, ReasoningDelta, Start, ToolCallStart
from headwater.offsets import Offset

ID = "0123456789ab-fedcba9876543210"
LOCATION = {"Location": f"/api/streams/{ID}"}


def log(epoch: int, begin: int, *events: Event) -> list[Entry]:
    """Consecutive entries of one epoch."""
    return [record(Offset(epoch, n), n / 10, event) for n, event in enumerate(events, begin)]


OLD = TextDelta("old ")
SHOWN = log(1, 1, Start(ID, "m", 1), ReasoningDelta("Hm"), TextDelta("A river "), OLD, OLD, ToolCallStart("c", "x"))
STORED = 3
SEAM = Continued("server", "prompt", "1-3", model="other", rewind="1-3")
FURTHER = log(2, STORED + 1, SEAM, TextDelta("begins."), Finish("stop"))
WHOLE = [*SHOWN[:STORED], *FURTHER]


def sent(entries: Sequence[Entry]) -> bytes:
    """A response with these entries that breaks off unless the last is an ending."""
    frames = NativeReader(ID).feed(entries).decode().strip().split("\n\n")
    return events(*frames, **LOCATION)


def connections(seen: int) -> list[bytes]:
    """What the servers answer, one connection after the other, to a client that got `seen` entries from the first."""
    beyond = [sent(WHOLE[:2]), sent(WHOLE[2:])] if seen > STORED else []
    return [sent(SHOWN[:seen]), sent(WHOLE[min(seen, STORED) :]), *beyond]


def is_whole(answer: Answer) -> None:
    """The answer is that of the log, and of nothing else."""
    assert (answer.text, answer.reasoning, answer.tools) == ("A river begins.", "Hm", ())
    assert (answer.continued, answer.ending, answer.offset) == ((SEAM,), Finish("stop"), Offset(2, 6))


@pytest.mark.parametrize("seen", range(1, len(SHOWN) + 1))
async def test_a_client_ends_with_the_answer_of_the_log_however_much_it_had_seen(seen: int) -> None:
    """It hears each event once; after the seam its text is right already, and a break meanwhile costs nothing."""
    async with canned(*connections(seen)) as peer, quick(peer.url) as client:
        answer = await client.chat(HI)
        heard = [(event, answer.text) async for event in answer]
        is_whole(answer)

    assert [event for event, _ in heard] == [entry.event for entry in (*SHOWN[:seen], *WHOLE[min(seen, STORED) :])]
    assert dict(heard)[SEAM] == "A river "
    asked_from_the_beginning = sum("last-event-id" not in request.lower() for request in peer.requests)
    assert asked_from_the_beginning == (2 if seen > STORED else 1)


async def test_a_client_whose_server_was_only_slow_takes_back_on_the_same_connection() -> None:
    """The seam follows what the server had shown, with no break between."""
    first = sent([*SHOWN[:5], *FURTHER])
    async with canned(first, sent(WHOLE)) as peer, quick(peer.url) as client:
        is_whole(await (await client.chat(HI)).read())


async def test_a_program_without_async_gets_the_same_answer() -> None:
    """It shares the reader."""
    async with canned(*connections(5)) as peer:

        def ask() -> str:
            with SyncClient(peer.url) as client:
                return client.chat(HI).read().text

        assert await asyncio.to_thread(ask) == "A river begins."


@pytest.mark.parametrize("seen", [2, STORED, 5])
async def test_a_pipe_gets_the_whole_answer_or_none_that_looks_whole(seen: int) -> None:
    """Nothing marks the seam there. What was printed cannot be taken back, so the command fails and says what to do."""
    async with canned(response("404 Not Found", b""), *connections(seen)) as peer:
        async with asking("Hi", url=peer.url) as process:
            out, err = (each.decode() for each in await process.communicate())
    if seen <= STORED:
        assert (process.returncode, out) == (0, "A river begins.\n")
        assert "broke off" not in err
    else:
        assert (process.returncode, out) == (1, "A river old old ")
        assert "read it again from the beginning" in err


@pytest.mark.parametrize("seen", [STORED, 5])
async def test_a_terminal_notes_the_seam_and_prints_the_answer_again_where_it_changed(seen: int) -> None:
    """Dimmed, on a line of its own."""
    async with canned(response("404 Not Found", b""), *connections(seen)) as peer:
        outside, inside = pty.openpty()
        async with asking("Hi", url=peer.url, stdout=inside, stderr=inside) as process:
            os.close(inside)
            assert await process.wait() == 0
    shown = os.read(outside, 10_000).decode().replace("\r\n", "\n")
    os.close(outside)
    if seen == STORED:
        assert "\n\x1b[2m[the server broke off here; the answer goes on:]\x1b[0m\nbegins.\n" in shown
    else:
        assert (
            "\n\x1b[2m[the server broke off here; the answer so far, and how it goes on:]\x1b[0m\nA river begins.\n"
            in shown
        )

"""Several logs over one connection: what a tab that follows many answers reads."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Frame, Headwater, chat, headwater, parse, parse_frame, until
from test_keys import ANN, EVE, bearer, keys

from headwater.dialects.native.dialect import Native
from headwater.dialects.native.reader import NamedReader
from headwater.entries import record
from headwater.errors import StoreError
from headwater.events import Event, Finish, Start, TextDelta
from headwater.log.memory import MemoryStore
from headwater.offsets import ORIGIN, Offset
from headwater.principal import ANYONE
from headwater.prompt import Prompt, text_of
from headwater.web.follow import Followed, FollowResponse
from headwater.web.response import Delivery, Pace

CHAT = "/api/stream/completion/chat"


class Words:
    """Answers with the words of the question, one by one, each after the others have had a turn."""

    name = "words"

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        """Play; waits at the gate after each word."""
        for word in text_of(prompt.messages[-1]).split():
            yield [TextDelta(f"{word} ")]
            await asyncio.sleep(random.random() / 1000)
            await self.gate.wait()
        yield [Finish("stop")]


async def begin(server: Headwater, question: str, **headers: str) -> str:
    """Ask, and leave at once; the id of the log."""
    async with server.client.stream("POST", CHAT, json=chat(question), headers=headers) as answer:
        return answer.headers["location"].rpartition("/")[2]


def split(body: bytes) -> dict[str, list[Frame]]:
    """The frames of a body by their event, each of which must have one."""
    logs: dict[str, list[Frame]] = {}
    for block in body.removeprefix(b"retry: 2000\n").split(b"\n\n"):
        lines = [line for line in block.split(b"\n") if line and not line.startswith(b":")]
        if lines:
            assert lines[0].startswith(b"event: ")
            frame = parse_frame(b"\n".join(lines[1:]))
            assert frame is not None
            logs.setdefault(lines[0][7:].decode(), []).append(frame)
    return logs


def same(one: Sequence[Frame], other: Sequence[Frame]) -> bool:
    """Whether two readers have got the same events at the same offsets."""
    return [(frame, frame.id) for frame in one] == [(frame, frame.id) for frame in other]


async def read(server: Headwater, *logs: str, **headers: str) -> dict[str, list[Frame]]:
    """Follow these logs until all have ended."""
    response = await server.client.get("/api/streams", params={"read": logs}, headers=headers)
    assert response.status_code == 200, response.text
    return split(response.content)


async def test_eight_running_logs_are_each_what_they_are_alone() -> None:
    """They come interleaved, as they are written, and the response ends with the last of them."""
    model = Words()
    model.gate.clear()
    async with headwater(model, pace=Pace(hold=0.01)) as server:
        logs = [await begin(server, f"question {n} " * (4 + n)) for n in range(8)]
        async with server.client.stream("GET", "/api/streams", params={"read": logs}) as response:
            body = b""
            async for piece in response.aiter_raw():
                body += piece
                if body.count(b'"start"') == 8:
                    model.gate.set()
        alone = {log: parse((await server.client.get(f"/api/streams/{log}")).content) for log in logs}

    together = split(body)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert all(same(together[log], alone[log]) for log in logs)
    ends = [body.rindex(b"event: " + log.encode()) for log in logs]
    assert body.count(b"event: ", 0, min(ends)) > 8 * 3, "they were not read at once"


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=3), lengths=st.lists(st.integers(0, 8), min_size=1, max_size=4)
)
def test_cut_and_resume_is_uncut(cuts: list[float], lengths: list[int]) -> None:
    """A client that comes back with the last id of each log gets the rest of each, and is told which have ended."""

    async def run() -> None:
        async with headwater(Words(), pace=Pace(hold=0.01)) as server:
            logs = [await begin(server, " ".join([f"word{n}"] * length) or "?") for n, length in enumerate(lengths)]
            whole = await read(server, *logs)
            got: dict[str, list[Frame]] = {log: [] for log in logs}
            for cut in [*cuts, 1.0]:
                cursors = [f"{log}@{got[log][-1].id}" if got[log] else log for log in logs]
                body = (await server.client.get("/api/streams", params={"read": cursors})).content
                for log, frames in split(_cut(body, cut)).items():
                    if frames[0]["type"] == "settled":
                        assert same(got[log], whole[log])
                    else:
                        got[log] += frames
            assert all(same(got[log], whole[log]) for log in logs)

    asyncio.run(run())


def _cut(body: bytes, where: float) -> bytes:
    """What a client keeps of a body that breaks there: whole frames."""
    cut = body[: int(where * len(body))]
    return cut[: cut.rfind(b"\n\n") + 2] if b"\n\n" in cut else b""


async def test_what_cannot_be_read_is_refused_alone() -> None:
    """Another tenant's log looks like none, and an offset of another log is said to be one; the rest comes."""
    async with headwater(Words(), keys=keys()) as server:
        mine, foreign = await begin(server, "mine", **bearer(ANN)), await begin(server, "theirs", **bearer(EVE))
        other = (await read(server, await begin(server, "other", **bearer(ANN)), **bearer(ANN))).popitem()[1][-1].id
        logs = await read(server, mine, foreign, "nothing-at-all", **bearer(ANN))
        expired = await read(server, f"{mine}@{other}", **bearer(ANN))
        wrong = await read(server, f"{mine}@x y", **bearer(ANN))

    assert "".join(frame.get("text", "") for frame in logs[mine]) == "mine "
    for none in (foreign, "nothing-at-all"):
        [refused] = logs[none]
        assert refused.id is None
        assert {key: refused[key] for key in ("type", "status", "code", "retryable")} == {
            "type": "refused",
            "status": 404,
            "code": "no_such_log",
            "retryable": False,
        }
        assert "ask again" in refused["message"]
    assert [frame["code"] for frame in (expired[mine][0], wrong[mine][0])] == ["expired", "bad_request"]


@pytest.mark.parametrize(
    "asked", [[], [f"abcdefgh-{n}" for n in range(33)], ["abcdefgh-1"] * 2, ["ABC"], ["a\nb"], [""]], ids=len
)
async def test_a_request_that_names_no_logs_too_many_or_one_twice_is_refused(asked: list[str]) -> None:
    """The refusal says how it is written."""
    async with headwater(Words()) as server:
        response = await server.client.get("/api/streams", params={"read": asked})
        head = await server.client.head("/api/streams")

    assert (response.status_code, response.json()["code"]) == (422, "invalid_read")
    assert "read=<id>" in response.json()["detail"]
    assert (head.status_code, head.content) == (200, b"")


async def test_a_log_that_breaks_off_is_said_to_and_the_others_go_on() -> None:
    """As in a stream of its own: an error without an id, after which the client comes back."""

    class Breaks(MemoryStore):
        broken = ""

        async def _broken(self) -> AsyncGenerator[Sequence[Any], None]:
            raise StoreError("the disk is on fire")
            yield ()

        def read(self, log: str, after: Offset = ORIGIN, *, follow: bool = True) -> Any:
            return self._broken() if log == self.broken else super().read(log, after, follow=follow)

    store = Breaks()
    async with headwater(Words(), store) as server:
        one, two = await begin(server, "one"), await begin(server, "two")
        await read(server, two)
        await until(lambda: not server.answers.running, "both have ended")
        store.broken = one
        logs = await read(server, one, two)

    [broken] = logs[one]
    assert (broken["type"], broken["code"], broken["retryable"], broken.id) == ("error", "store", True, None)
    assert "fire" not in broken["message"]
    assert logs[two][-1]["type"] == "finish"


async def test_a_client_that_leaves_ends_its_reading_alone() -> None:
    """Its tasks end; the answers go on."""
    model = Words()
    model.gate.clear()
    async with headwater(model, pace=Pace(hold=0.01, heartbeat=0.02)) as server:
        before = len(asyncio.all_tasks())
        logs = [await begin(server, f"a question {n}") for n in range(8)]
        async with server.client.stream("GET", "/api/streams", params={"read": logs}) as response:
            pieces = response.aiter_raw()
            body = b""
            while b"\n:\n" not in body:
                body += await anext(pieces)
            assert sum(task.get_name() == "follow" for task in asyncio.all_tasks()) == 8
        await until(lambda: not any(task.get_name() == "follow" for task in asyncio.all_tasks()), "the tasks end")
        assert server.answers.running == 8
        model.gate.set()
        assert {log: frames[-1]["type"] for log, frames in (await read(server, *logs)).items()} == dict.fromkeys(
            logs, "finish"
        )
        await until(lambda: len(asyncio.all_tasks()) <= before + 4, "nothing is left")


async def test_a_client_that_takes_nothing_holds_one_page_of_each_log() -> None:
    """What it has not taken stays in the logs, and it gets all of it when it goes on."""
    taken, gate, sent = [0, 0], asyncio.Event(), bytearray()

    async def pages(which: int) -> AsyncGenerator[Sequence[Any], None]:
        for n in range(1, 100):
            taken[which] += 1
            yield [record(Offset(1, n), 0.0, Finish("stop") if n == 99 else TextDelta(f"{which}"))]

    async def send(message: Any) -> None:
        sent.extend(message.get("body", b""))
        if b"data" in sent:
            await gate.wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    logs = [Followed(NamedReader(f"log-{which}"), pages(which)) for which in (0, 1)]
    response = FollowResponse(logs, Delivery(Native(), "", {}), Pace(), None)
    reading = asyncio.create_task(response({"type": "http", "http_version": "1.1"}, receive, send))
    await until(lambda: taken == [1, 1], "each has a page")
    for _ in range(50):
        await asyncio.sleep(0)
    assert taken == [1, 1]
    gate.set()
    await reading
    assert {log: len(frames) for log, frames in split(bytes(sent)).items()} == {"log-0": 99, "log-1": 99}


async def test_a_draining_server_lets_go_of_readers_of_what_another_one_writes() -> None:
    """They go on there with all that they read; readers of this server's own answers stay to the end."""
    store, model = MemoryStore(), Words()
    model.gate.clear()
    lease = await store.open("0123456789ab-1", ANYONE, ttl=60)
    events = [Start(lease.log, "elsewhere"), TextDelta("part")]
    await store.append([record(Offset(1, place), 0.0, event) for place, event in enumerate(events, 1)], lease)
    async with headwater(model, store, pace=Pace(hold=0.01, spread=0.0)) as server:
        mine = await begin(server, "one two")
        foreign, own = await _drained(server, [lease.log, mine]), asyncio.create_task(read(server, mine))
        await until(lambda: any(task.get_name() == "follow" for task in asyncio.all_tasks()), "it is read")
        model.gate.set()
        ended = await own

    assert [frame["type"] for frame in foreign[lease.log]] == ["start", "text-delta"]
    assert foreign[mine][-1]["type"] == "text-delta"
    assert ended[mine][-1]["type"] == "finish"


async def _drained(server: Headwater, logs: list[str]) -> dict[str, list[Frame]]:
    body = b""
    async with server.client.stream("GET", "/api/streams", params={"read": logs}) as response:
        async for piece in response.aiter_raw():
            body += piece
            if b'"part"' in body and b'"one' in body:
                server.answers.drain()
    return split(body)

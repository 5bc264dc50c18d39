"""The pace of a stored answer: at once, as it came, or so many tokens per second."""

import time

import httpx
import pytest
from serving import Headwater, headwater, parse, text_of

from headwater.entries import record
from headwater.events import Continued, Finish, Start, TextDelta
from headwater.log.memory import MemoryStore
from headwater.models.scripted import Scripted
from headwater.offsets import Offset
from headwater.principal import ANYONE

CHAT = "/api/stream/completion/chat"
BODY = {"messages": [{"role": "user", "content": "Hi"}]}
WORDS = [TextDelta(f"w{n} ") for n in range(8)]
TEXT = "".join(word.text for word in WORDS)


async def timed(server: Headwater, path: str, **headers: str) -> tuple[float, httpx.Response]:
    """A response, and the seconds that it took."""
    begin = time.monotonic()
    post = path.startswith(CHAT)
    response = await server.client.request(
        "POST" if post else "GET", path, json=BODY if post else None, headers=headers
    )
    return time.monotonic() - begin, response


async def test_a_hit_comes_at_once_unless_the_request_names_a_pace() -> None:
    """Every pace gives the same bytes but for the message id; a miss and one JSON object have none."""
    model = Scripted([*(step for word in WORDS for step in (0.05, word)), Finish("stop")])
    async with headwater(model) as server:
        _, live = await timed(server, f"{CHAT}?pace=10")
        for pace, least, most in (
            ("", 0, 0.35),
            ("?pace=instant", 0, 0.35),
            ("?pace=original", 0.35, 9),
            ("?pace=20", 0.39, 9),
        ):
            spent, hit = await timed(server, CHAT + pace)
            own = hit.headers["location"].rpartition("/")[2]
            start, *rest = parse(hit.content)
            assert start["message_id"] == own
            assert rest == parse(live.content)[1:]
            assert least <= spent < most, pace
        spent, _ = await timed(server, f"{CHAT}?pace=1", accept="application/json")
        assert spent < 1
        assert len(model.prompts) == 1


async def test_a_log_that_has_ended_is_told_at_the_pace_of_the_request_from_any_offset() -> None:
    """Beginning with what follows the offset."""
    async with headwater(Scripted([*WORDS, Finish("stop")])) as server:
        log = (await timed(server, CHAT))[1].headers["location"]
        frames = parse((await timed(server, log))[1].content)
        spent, rest = await timed(server, f"{log}?pace=20", **{"last-event-id": frames[4].id or ""})
        assert text_of(parse(rest.content)) == text_of(frames[5:])
        assert spent >= 0.19


@pytest.mark.parametrize(("pace", "least", "most"), [("original", 0.5, 9), ("9999", 0, 0.45)])
async def test_the_pause_of_a_seam_is_told_at_the_original_pace_alone(pace: str, least: float, most: float) -> None:
    """A steady rate leaves it out."""
    seam = Continued("provider", "prefill", "1-2", waited=0.5)
    events = [(0.0, Start("m", "m")), (0.0, WORDS[0]), (0.5, seam), (0.5, WORDS[1]), (0.5, Finish("stop"))]
    store, log = MemoryStore(), "0123456789ab-1"
    entries = [record(Offset(1, n), at, event) for n, (at, event) in enumerate(events, 1)]
    await store.seal(entries, await store.open(log, ANYONE, ttl=60))
    async with headwater(Scripted([]), store) as server:
        spent, told = await timed(server, f"/api/streams/{log}?pace={pace}")
    assert text_of(parse(told.content)) == "w0 w1 "
    assert least <= spent < most


@pytest.mark.parametrize("pace", ["fast", "0", "-3", "1e9", "nan", ""])
async def test_a_pace_that_is_none_is_refused(pace: str) -> None:
    """Whether the answer is stored or not, and on a log that is still written."""
    store, log = MemoryStore(), "0123456789ab-1"
    await store.open(log, ANYONE, ttl=60)
    async with headwater(Scripted([*WORDS, Finish("stop")]), store) as server:
        for path in (CHAT, CHAT, f"/api/streams/{log}"):
            _, refused = await timed(server, f"{path}?pace={pace}")
            assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
            assert "tokens per second" in refused.json()["detail"]

"""A server of the version before, which knows no recoveries and no later epochs, beside one of this version.

`lua_before/` holds its scripts for a read, as that version had them. Its other steps seal a lapsed log in the same way.
"""

from collections.abc import Generator
from pathlib import Path

import pytest
from redis_servers import Server, engines, serving

from headwater.entries import Entry
from headwater.errors import Sealed
from headwater.events import Continued, Error, TextDelta
from headwater.log.lua import script, steps
from headwater.log.lua.packs import opened
from headwater.log.packs import PACK
from headwater.log.redis.store import RedisStore
from headwater.log.store import Lease, lost_ending
from headwater.offsets import ORIGIN, TAG, Offset
from headwater.testing.contract import LIMITS
from headwater.testing.contract_harness import ALICE, TTL, WHOLE, entries, entry, run, until

BEFORE = Path(__file__).with_name("lua_before")
FIELDS = {b"state", b"epoch", b"ttl", b"opened", b"tenant", b"name", b"claimed", b"kept", b"subjects", b"by:alice"}
SEAM = Continued("server", "prefill", "1-2")


@pytest.fixture(scope="module")
def server() -> Generator[Server, None, None]:
    with serving(engines()[0]) as server:
        yield server


@pytest.fixture
async def lease(server: Server) -> Lease:
    """A log of two entries with a recovery, that its writer has released."""
    server.command("FLUSHALL")
    store = RedisStore(server.url, LIMITS)
    lease = await store.open("log", ALICE, ttl=TTL, recovery=b"prompt")
    await store.append(run("a", "b"), lease)
    await store.release(lease)
    await store.aclose()
    return lease


def older_read(server: Server, log: str, after: Offset) -> tuple[str, list[Entry]]:
    """The state and the entries that a server of the version before reads after an offset."""
    pack = script.script("pack").text
    text = "\n".join([(BEFORE / "log.lua").read_text(), pack, (BEFORE / "read.lua").read_text()])
    lost = lost_ending(0, 0, 0.0).data.split(b"0.0", 1)
    times = [0, 15_000, 600_000, 86_400_000]
    keys = steps.keys_of(log)
    answer = server.command(
        "EVAL", text.replace("TAG_SIZE", str(TAG)), len(keys), *keys, *times, *lost, log, *after, PACK, 0
    )
    _, state, _, _, _, begin, packs = answer
    return state.decode(), opened(log, packs, begin).entries


async def test_an_older_server_that_finds_an_abandoned_log(server: Server, lease: Lease) -> None:
    """It ends the log `lost`, as it always did, and no server of this version goes on behind that."""
    store = RedisStore(server.url, LIMITS)
    state, got = older_read(server, lease.log, ORIGIN)
    assert state == "lost"
    assert [each.offset for each in got] == [(1, 1), (1, 2), (2, 3)]
    assert isinstance(got[-1].event, Error)
    assert await store.abandoned(lease.log) is None
    with pytest.raises(Sealed):
        await store.take_over([entry(3, SEAM, 2)], lease.log)
    assert await entries(store, lease.log) == got
    assert server.keys_without_ttl() == []
    await store.aclose()


@pytest.mark.parametrize("sealed", [False, True], ids=["live", "sealed"])
async def test_an_older_server_that_reads_on(server: Server, lease: Lease, sealed: bool) -> None:
    """It serves a log with a seam whole, and the rest to whoever has seen no more than was stored of each epoch.

    To a reader ahead of that, which only the dead server can have served, it does not repeat anything.
    """
    store = RedisStore(server.url, LIMITS)
    heir = await store.take_over([entry(3, SEAM, 2), entry(4, TextDelta("c"), 2)], lease.log)
    if sealed:
        await store.seal([entry(5, WHOLE, 2)], heir)
    whole = await entries(store, lease.log, follow=False)
    for seen, after in enumerate([ORIGIN, *(each.offset for each in whole[:-1])]):
        assert older_read(server, lease.log, after) == ("finished" if sealed else "open", whole[seen:])
    ahead = older_read(server, lease.log, Offset(1, 9))[1]
    assert ahead == whole[len(whole) - len(ahead) :]
    assert all(each.offset.epoch == 2 for each in ahead)
    await store.aclose()


async def test_a_log_without_a_recovery_is_kept_as_before(server: Server) -> None:
    """Nothing new is written for it: servers of both versions may read it and find it lapsed."""
    store = RedisStore(server.url, LIMITS)
    server.command("FLUSHALL")
    lease = await store.open("log", ALICE, ttl=TTL)
    await store.append(run("a", "b"), lease)
    assert set(server.command("HGETALL", "headwater:{log}:log:log")) == FIELDS
    assert len(server.command("KEYS", "*")) == 3
    assert [each.offset for each in older_read(server, "log", ORIGIN)[1]] == [(1, 1), (1, 2)]
    server.command("PEXPIRE", "headwater:{log}:lease:log", 1)
    await until(lambda: not server.command("EXISTS", "headwater:{log}:lease:log"))
    assert (await store.describe("log")).state == "lost"
    assert older_read(server, "log", Offset(1, 1))[0] == "lost"
    await store.aclose()

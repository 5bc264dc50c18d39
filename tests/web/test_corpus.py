"""Every transcript, cut at every byte and resumed over HTTP, is the transcript."""

from corpus import MESSAGE_ID, TRANSCRIPTS
from serving import headwater, seen

from headwater.events import Ending
from headwater.log.memory import MemoryStore
from headwater.models.scripted import Scripted
from headwater.offsets import run_of
from headwater.principal import ANYONE


async def test_every_transcript_cut_at_every_byte_and_resumed_is_uncut() -> None:
    """All cuts that leave a client with the same last id lead to the same request, so each id is requested once."""
    store = MemoryStore()
    async with headwater(Scripted([]), store) as server:
        for transcript in (t for t in TRANSCRIPTS if isinstance(t.entries[-1].event, Ending)):
            if transcript.name in ("lost", "limited"):
                continue  # the first has two writers, the second is a problem JSON when it is read from the beginning
            log = f"{transcript.name}-{run_of(MESSAGE_ID)}"
            await store.seal(transcript.entries, await store.open(log, ANYONE, ttl=60))
            whole = (await server.client.get(f"/api/streams/{log}")).content
            assert whole == transcript.sse.read_bytes().replace(MESSAGE_ID.encode(), log.encode(), 1)

            rest: dict[str | None, bytes] = {None: whole}
            for cut in range(len(whole) + 1):
                kept, last = seen(whole[:cut])
                if last not in rest:
                    answer = await server.client.get(f"/api/streams/{log}", headers={"last-event-id": last or ""})
                    assert answer.status_code == (204 if kept == whole else 200)
                    rest[last] = answer.content.removeprefix(b"retry: 2000\n")
                assert (kept if last else b"") + rest[last] == whole

"""Who copies an answer into its conversation, and what is there when nobody could."""

import asyncio
from collections.abc import Sequence

import pytest
from kept import ANN, BOB, CHAT, kept
from serving import until

from headwater.conversations.asking import Ask, Busy
from headwater.conversations.nodes import Reply, Settings, title_of
from headwater.conversations.records import DAY, KEPT, Kept, NoSuchConversation, owner_of
from headwater.conversations.settling import RESERVED, SETTLING
from headwater.entries import Entry, record
from headwater.errors import InvalidPrompt, OutOfSequence, ShuttingDown, StoreError, UnknownModel
from headwater.events import Finish, Start, TextDelta
from headwater.log.memory import MemoryStore
from headwater.log.store import Lease, Receipt
from headwater.models.scripted import SILENCE, Scripted
from headwater.offsets import ORIGIN, Offset

HELLO = [TextDelta("Hello"), Finish("stop")]
ASK = Ask(id="question-1", answer="answer-001", content="Hi")


async def test_a_server_settles_what_another_has_left() -> None:
    """Nobody reads the conversation meanwhile; afterwards nothing is left to be settled."""
    store = MemoryStore()
    one, two = kept(store, Scripted(HELLO)), kept(store, Scripted(HELLO))
    asked = await one.ask(ASK)
    one.conversations.settling._followers._latest[f"{asked.head.place}.1"].cancel()  # pyright: ignore[reportPrivateUsage]
    await one.answers.drained(5)
    left = await store.list_documents(SETTLING)
    await two.conversations.settling.sweep()
    head = await two.conversations.records.head(owner_of(ANN), CHAT)

    assert len(left) == 1
    assert head is not None
    assert head.live is None
    assert await store.list_documents(SETTLING) == []
    await one.answers.aclose()
    await two.answers.aclose()


async def test_an_answer_whose_log_is_gone_says_so() -> None:
    """It is `lost`, with an ending; never empty without a word."""
    store = MemoryStore()
    server = kept(store, Scripted([TextDelta("Hel"), SILENCE]))
    asked = await server.ask(ASK)
    await until(lambda: server.answers.running, "the model runs")
    server.conversations.settling._followers._latest[f"{asked.head.place}.1"].cancel()  # pyright: ignore[reportPrivateUsage]
    await store.forget(asked.reply.location or "")
    answer = (await server.nodes())["answer-001"]

    assert isinstance(answer, Reply)
    assert answer.state == "lost"
    assert "expired" in str(answer.ending)
    await server.answers.aclose()


async def test_an_ending_that_only_one_server_saw_is_not_kept() -> None:
    """Its store refused the answer while another server went on with the log, whose ending counts."""

    class Refusing(MemoryStore):
        async def append(self, entries: Sequence[Entry], lease: Lease) -> Receipt:
            raise OutOfSequence("another process writes")

    store = Refusing()
    server = kept(store, Scripted([TextDelta("Hel"), SILENCE]))
    log = (await server.ask(ASK)).reply.location or ""
    followers = server.conversations.settling._followers  # pyright: ignore[reportPrivateUsage]
    await until(lambda: not len(followers), "the follower has read the ending")
    before = (await server.nodes())["answer-001"]
    events = enumerate((Start(log, "scripted"), *HELLO), 1)
    await store.seal([record(Offset(1, number), 0.0, event) for number, event in events], Lease(log))
    at_once = (await server.nodes())["answer-001"]  # its writer here may just be leaving
    assert await server.answers.drained(5)
    after = (await server.nodes())["answer-001"]

    assert isinstance(before, Reply)
    assert isinstance(at_once, Reply)
    assert isinstance(after, Reply)
    assert at_once.state != "lost"
    assert (before.state, after.state, after.text) == ("open", "finished", "Hello")
    await server.answers.aclose()


async def test_a_conversation_is_read_while_the_store_takes_no_writes() -> None:
    """Its answer is settled later."""
    store = MemoryStore()
    server = kept(store, Scripted(HELLO))
    asked = await server.ask(ASK)
    server.conversations.settling._followers._latest[f"{asked.head.place}.1"].cancel()  # pyright: ignore[reportPrivateUsage]
    await server.answers.drained(5)
    put = store.put

    async def fails(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    store.put = fails  # pyright: ignore[reportAttributeAccessIssue]
    during = await server.conversations.find(CHAT, ANN)
    store.put = put
    after = await server.conversations.find(CHAT, ANN)

    assert during.live is not None
    assert after.live is None
    await server.answers.aclose()


async def test_a_question_that_was_never_asked_blocks_for_half_a_minute() -> None:
    """Its server died between the two steps; the client that sends it again goes on at once."""
    store, now = MemoryStore(), [1000.0]
    server = kept(store, Scripted(HELLO), lambda: now[0])
    failing = server.answers.ask

    async def fails(*_: object, **__: object) -> None:
        raise StoreError("it died here")

    server.answers.ask = fails  # pyright: ignore[reportAttributeAccessIssue]
    for ask in (ASK, Ask(id="question-2", answer="answer-002", content="Hi")):
        with pytest.raises((StoreError, Busy)):
            await server.ask(ask)
    server.answers.ask = failing
    same = await server.say(ASK)
    blocked = Ask(id="question-3", answer="answer-003", content="Hi")
    server.answers.ask = fails  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(StoreError):
        await server.ask(blocked)
    server.answers.ask = failing
    with pytest.raises(Busy):
        await server.ask(Ask(content="Another"))
    now[0] += RESERVED + 1
    later = await server.say(Ask(content="Another"))
    nodes = await server.nodes()

    assert (same.question.id, same.reply.id) == ("question-1", "answer-001")
    assert {"question-1", "answer-001", later.question.id, later.reply.id} == set(nodes)
    await server.answers.aclose()


async def test_a_question_that_others_have_outrun_looks_again() -> None:
    """The same request was served whole, and another one too, between this one's reading and its claim."""
    store = MemoryStore()
    one, two = kept(store, Scripted(HELLO)), kept(store, Scripted(HELLO))
    await one.say(Ask(id="question-0", answer="answer-000", content="Hi"), chat="conv-0000")  # cached from now on
    reads, late = two.conversations.records.nodes, [ASK, Ask(id="question-2", answer="answer-002", content="Two")]
    await one.say(Ask(content="Before"))

    async def outrun(place: str) -> dict[str, Kept]:
        seen = await reads(place)
        while late:
            await one.say(late.pop())
        return seen

    two.conversations.records.nodes = outrun
    asked = await two.ask(ASK)

    assert asked.reply.text == "Hello"
    assert len(await one.nodes()) == 6
    assert (await one.conversations.find(CHAT, ANN)).size == 6
    await one.answers.aclose()
    await two.answers.aclose()


async def test_a_refused_question_leaves_no_trace() -> None:
    """And does not block the next one."""
    server = kept(MemoryStore(), Scripted(HELLO))
    await server.say(ASK)
    asks = server.answers.ask

    async def refuses(*_: object, **__: object) -> None:
        raise ShuttingDown("no new work")

    server.answers.ask = refuses  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ShuttingDown):
        await server.ask(Ask(content="Two", parent="answer-001"))
    server.answers.ask = asks
    for refused in (Ask(content="Two", parent="answer-001", settings=Settings(model="none:such")), Ask(content="")):
        with pytest.raises((UnknownModel, InvalidPrompt)):
            await server.ask(refused)
    conversation = await server.conversations.read(CHAT, ANN)

    assert [node.id for node in conversation.nodes] == ["question-1", "answer-001"]
    assert (conversation.head.live, conversation.head.leaf) == (None, "answer-001")
    await server.answers.aclose()


async def test_a_refused_question_leaves_neither_title_nor_settings() -> None:
    """The conversation is called after the first question that is asked, and what a person changes stays."""
    server = kept(MemoryStore(), Scripted(HELLO))
    conversations, asks = server.conversations, server.answers.ask

    async def refuses(*_: object, **__: object) -> None:
        raise ShuttingDown("no new work")

    async def refuses_late(*_: object, **__: object) -> None:
        await conversations.patch("conv-0002", ANN, None, None, Settings(top_p=0.5))
        await refuses()

    ask = Ask(content="One", settings=Settings(temperature=0.5))
    for chat, refusal in ((CHAT, refuses), ("conv-0002", refuses_late)):
        server.answers.ask = refusal  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(ShuttingDown):
            await server.ask(ask, chat=chat)
    server.answers.ask = asks
    await server.say(Ask(content="Two"))
    head, changed = await conversations.find(CHAT, ANN), await conversations.find("conv-0002", ANN)

    assert (head.title, head.settings) == ("Two", Settings())
    assert (changed.live, changed.settings) == (None, Settings(top_p=0.5))
    await server.answers.aclose()


async def test_a_conversation_is_kept_from_its_last_use_on() -> None:
    """A look each month keeps all of it; a month without one, and all of it is gone."""
    now = [1_000_000.0]
    store = MemoryStore(clock=lambda: now[0])
    server = kept(store, Scripted(HELLO), lambda: now[0])
    await server.say(ASK)
    for _ in range(4):
        now[0] += KEPT - DAY
        assert len(await server.nodes()) == 2
    now[0] += KEPT + 2 * DAY
    with pytest.raises(NoSuchConversation):
        await server.nodes()
    now[0] += 2 * DAY
    await store.put("another", b"", ttl=1)

    assert [owner for owner, _ in store._documents if owner.startswith("chat")] == []  # pyright: ignore[reportPrivateUsage]
    await server.answers.aclose()


async def test_a_moved_conversation_loses_no_change() -> None:
    """Renamed, asked in and moved at once: the new owner has all, the old one nothing, and a taken id is no loss."""
    server = kept(MemoryStore(), Scripted(HELLO))
    move, patch = server.conversations.move_all, server.conversations.patch
    await server.say(ASK)
    await server.say(ASK, BOB)
    token = await server.conversations.share(CHAT, ANN)
    await asyncio.gather(
        *(patch(CHAT, ANN, f"Title {number}", None, None) for number in range(5)),
        move(ANN, BOB),
        return_exceptions=True,
    )
    moved = await server.conversations.heads(BOB)
    shown, tenant = await server.conversations.shared(token)

    assert await server.conversations.heads(ANN) == []
    assert (len(moved), len({head.id for head in moved}), tenant) == (2, 2, "acme")
    assert shown.head.title.startswith("Title")
    assert len(shown.nodes) == 2
    await server.answers.aclose()


async def test_a_revoked_link_shows_nothing() -> None:
    """Nor that of a deleted conversation."""
    server = kept(MemoryStore(), Scripted(HELLO))
    await server.say(ASK)
    first = await server.conversations.share(CHAT, ANN)
    same = await server.conversations.share(CHAT, ANN)
    await server.conversations.unshare(CHAT, ANN)
    second = await server.conversations.share(CHAT, ANN)
    await server.conversations.delete(CHAT, ANN)

    assert first == same != second
    for token in (first, second):
        with pytest.raises(NoSuchConversation):
            await server.conversations.shared(token)
    await server.answers.aclose()


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What is a river? Tell me.", "What is a river?"),
        ("\n# **Rivers** of `Asia`\nand more", "Rivers of Asia"),
        ("- [The Nile](https://a.example) is long", "The Nile is long"),
        ("Use v1.2 here. Then stop", "Use v1.2 here"),
        ("河流是什么？请告诉我。", "河流是什么？"),
        ("word " * 40, "word word word word word word word word word word word word…"),
        ("x" * 100, "x" * 59 + "…"),
        ("```", ""),
        ("", ""),
    ],
)
def test_a_title_is_the_first_sentence(question: str, title: str) -> None:
    """In whole words, without the signs of Markdown, at most 60 letters."""
    assert title_of(question) == title
    assert len(title) <= 60


def test_the_title_of_a_long_question_takes_no_time() -> None:
    """It is made on the event loop, where everybody waits for it."""
    assert title_of("[" * 200_000) == "[" * 59 + "…"
    assert title_of(" \n" * 200_000 + "Late") == "Late"


async def test_the_followers_reading_ends_with_the_answer() -> None:
    """The copy is there without anybody looking, and no task is left."""
    store = MemoryStore()
    server = kept(store, Scripted(HELLO))
    asked = await server.say(ASK)
    async with asyncio.timeout(5):
        while await store.list_documents(SETTLING):
            await asyncio.sleep(0)
    node = await server.conversations.records.node(asked.head.place, 1)
    found = await server.answers.find(asked.reply.location or "", ANN)

    assert node is not None
    assert isinstance(node.node, Reply)
    assert node.node.text == "Hello"
    assert found.last > ORIGIN
    assert len(server.conversations.settling._followers) == 0  # pyright: ignore[reportPrivateUsage]
    await server.answers.aclose()

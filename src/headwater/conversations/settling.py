"""Settling: an answer that has ended is copied from its log into its conversation.

Whoever took the question follows the log as any reader does and writes the copy. Until then a document in `settling`
says what is expected, so that another server does it if that one has died: at its start and every few minutes. Who
reads a conversation settles what it meets. A copy is written once, whoever comes first: it names the version of the
open node.
"""

import asyncio
import logging
from contextlib import aclosing, suppress

import msgspec

from headwater.answer import Fold
from headwater.answers.answers import Answers
from headwater.answers.nursery import Nursery
from headwater.conversations.nodes import Head, Reply
from headwater.conversations.records import Kept, NoSuchConversation, Records
from headwater.errors import Expired, HeadwaterError, NoSuchLog, ShuttingDown, StoreError
from headwater.events import Error
from headwater.log.store import listed
from headwater.principal import Principal

SETTLING = "settling"
"""The collection of what is not settled yet."""
EVERY = 300.0
"""Seconds between two looks for what others have left unsettled."""
RESERVED = 30.0
"""Seconds after which a question counts as never asked, if there is no trace of its answer."""
LAST = 1.0
"""Seconds that followers have at the server's end for the copies of answers that have just ended."""
GONE = "This answer was not kept: its log had expired before it could be copied. Ask again."
FORGOTTEN_AFTER = 7 * 24 * 3600.0

logger = logging.getLogger(__name__)


class Pending(msgspec.Struct, frozen=True):
    """An answer that is to be settled."""

    owner: str
    id: str
    """The conversation's."""
    place: str
    number: int
    tenant: str
    log: str
    """The message id."""

    @property
    def name(self) -> str:
        """The name of the document, which is this answer's own."""
        return f"{self.place}.{self.number}"


class Settling:
    """Copies ended answers into conversations."""

    def __init__(self, answers: Answers, records: Records) -> None:
        self._answers = answers
        self._records = records
        self._followers = Nursery("settling")
        self._sweeper = Nursery("settling")
        answers.accompany(lambda: self._sweeper.start("sweeper", self._sweep_for_ever()), self._end)

    async def expect(self, pending: Pending) -> None:
        """Keep that this answer is to be settled."""
        put = self._answers.documents.put
        await put(pending.name, msgspec.json.encode(pending), ttl=FORGOTTEN_AFTER, collection=SETTLING)

    def follow(self, pending: Pending) -> None:
        """Read the answer's log to its ending, in a task, and settle it then."""
        if not self._followers.has(pending.name):
            self._followers.start(pending.name, self._follow(pending))

    async def settled(self, owner: str, head: Head, tenant: str) -> Head:
        """The head with no live answer that has ended. A store that fails leaves it as it is."""
        live = head.live
        if live is None:
            return head
        pending = Pending(owner, head.id, head.place, live.number, tenant, "")
        try:
            kept = await self._records.node(head.place, live.number)
            if kept is None and self._records.clock() - live.at > RESERVED:
                return await self.withdraw(owner, head.id, live.answer)
            if kept is None or not isinstance(kept.node, Reply):
                return head
            reply = await self._settle(pending, kept, kept.node)
            return head if reply is None else await self.release(owner, head.id, reply)
        except StoreError:
            return head

    async def release(self, owner: str, id: str, reply: Reply) -> Head:
        """Take a settled answer out of the head's `live`, and count it. Raises `NoSuchConversation`."""
        return await self._records.change(owner, id, lambda head: _released(head, reply.id, reply))

    async def withdraw(self, owner: str, id: str, answer: str, before: Head | None = None) -> Head:
        """Take an answer that was never asked for out of the head's `live`, and its title and settings if they are new.

        `before` is the head that its question has met, if that is known. Raises `NoSuchConversation`.
        """
        return await self._records.change(owner, id, lambda head: _released(head, answer, None, before))

    async def _settle(self, pending: Pending, kept: Kept, reply: Reply, ended: Fold | None = None) -> Reply | None:
        """The answer's node once it is settled; None if the answer goes on, or was deleted."""
        if reply.state != "open":
            return reply
        settled = reply.settled(ended.answer()) if ended else await self._copy(reply, pending.tenant)
        if settled is None:
            return None
        if await self._records.put_node(pending.place, pending.number, settled, kept.version):
            self._answers.observers.saved(pending.tenant, settled.saved)
            return settled
        now = await self._records.node(pending.place, pending.number)  # somebody else was faster
        return now.node if now is not None and isinstance(now.node, Reply) else None

    async def _copy(self, reply: Reply, tenant: str) -> Reply | None:
        reader = Principal(tenant, "")
        try:
            found = await self._answers.find(reply.location or "", reader)
            if found.state == "open":
                return None
            settled = reply.settled(await self._answers.answer(found, reader))
            # A writer that is just leaving here shows readers an ending of its own; what the store has counts.
            return None if settled.state == "lost" != found.state else settled
        except (NoSuchLog, Expired):
            return reply.lost(GONE)

    async def _follow(self, pending: Pending) -> None:
        reader, fold = Principal(pending.tenant, ""), Fold()
        try:
            async with asyncio.timeout(self._answers.kept_for):
                found = await self._answers.find(pending.log, reader)
                async with aclosing(self._answers.read(found, reader)) as pages:
                    async for page in pages:
                        for entry in page:
                            fold.feed(entry)
            ended = fold if fold.ending is not None else None
            if isinstance(fold.ending, Error):  # perhaps of this process alone, and the log goes on elsewhere
                with suppress(NoSuchLog, Expired):
                    await self._answers.find(pending.log, reader)
                    ended = None  # what the store has counts
            await self._finish(pending, ended)
        except (NoSuchLog, Expired):
            await self._finish(pending)
        except ShuttingDown:
            pass  # another server goes on with the answer, and settles it
        except (HeadwaterError, TimeoutError) as error:
            logger.warning("the answer %s could not be settled yet: %s", pending.log, error)

    async def _finish(self, pending: Pending, ended: Fold | None = None) -> None:
        """Settle an answer and let go of it. One that goes on stays as it is."""
        kept = await self._records.node(pending.place, pending.number)
        if kept is not None and isinstance(kept.node, Reply):
            reply = await self._settle(pending, kept, kept.node, ended)
            if reply is None and await self._records.node(pending.place, pending.number) is not None:
                return
            if reply is not None:
                with suppress(NoSuchConversation):  # it has moved to another subject, whose next reader does the same
                    await self.release(pending.owner, pending.id, reply)
        await self._answers.documents.delete(pending.name, collection=SETTLING)

    async def _end(self) -> None:
        await self._sweeper.aclose()
        await self._followers.finished(LAST)
        await self._followers.aclose()

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self.sweep()
            except HeadwaterError as error:
                logger.warning("what other servers have left unsettled was not looked at: %s", error)
            await asyncio.sleep(EVERY)

    async def sweep(self) -> None:
        """Settle what has ended and nobody follows here. Raises `StoreError`."""
        async for name, document in listed(self._answers.documents, SETTLING):
            if not self._followers.has(name):
                await self._finish(msgspec.json.decode(document.value, type=Pending))


def _released(head: Head, answer: str, reply: Reply | None, before: Head | None = None) -> Head | None:
    live = head.live
    if live is None or live.answer != answer:
        return None
    if reply is not None:
        return msgspec.structs.replace(head, live=None, tally=head.tally.plus(reply))
    if before is not None and head.revision == before.revision + 1:  # nothing else has changed it since
        head = msgspec.structs.replace(head, title=before.title, settings=before.settings)
    return msgspec.structs.replace(head, live=None, leaf=live.before if head.leaf == answer else head.leaf)

"""Conversations of a subject: found, listed, made, changed, shared, moved and deleted."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from headwater.answers.answers import Answers
from headwater.conversations.nodes import (
    ID,
    Head,
    InvalidConversation,
    Node,
    Question,
    Reply,
    Settings,
    checked_id,
    written,
)
from headwater.conversations.records import Kept, NoSuchConversation, Records, Share, owner_of
from headwater.conversations.settling import Settling
from headwater.conversations.transfer import Imported
from headwater.errors import Expired, InvalidPrompt, NoSuchLog, UnknownModel
from headwater.log.store import Description
from headwater.principal import Principal
from headwater.prompt import Message, Parameters, Prompt, check

TOGETHER = 50
"""Messages of a file, or logs, that are worked on beside each other."""
SETTLED_AT_ONCE = 20
"""Conversations of a list whose answers are looked at, at most, each time that it is read."""


class Conversation(NamedTuple):
    """A conversation with all its nodes, the oldest first."""

    head: Head
    nodes: list[Node]


class Conversations:
    """The conversations of all subjects. `clock` gives wall time in seconds."""

    def __init__(self, answers: Answers, clock: Callable[[], float] = time.time) -> None:
        self._answers = answers
        self.records = Records(lambda: answers.documents, clock)
        self.settling = Settling(answers, self.records)
        self._clock = clock

    async def find(self, id: str, principal: Principal) -> Head:
        """The head of a conversation, its live answer settled if that has ended. Raises `NoSuchConversation`."""
        owner = owner_of(principal)
        head = await self.records.head(owner, id)
        if head is None:
            raise NoSuchConversation(id)
        return await self.settling.settled(owner, head, principal.tenant)

    async def use(self, id: str, principal: Principal) -> Head:
        """The head as `find` has it, and all documents kept from today on. Raises `NoSuchConversation`."""
        return await self.records.renewed(owner_of(principal), await self.find(id, principal))

    async def read(self, id: str, principal: Principal) -> Conversation:
        """A conversation. Raises `NoSuchConversation`."""
        return await self.whole(await self.use(id, principal))

    async def whole(self, head: Head) -> Conversation:
        """The conversation of a head."""
        return Conversation(head, [kept.node for kept in (await self.records.nodes(head.place)).values()])

    async def files(self, conversation: Conversation) -> dict[str, bytes]:
        """The data of all attachments that are there, by their ids."""
        attached = [file for node in conversation.nodes if isinstance(node, Question) for file in node.attachments]
        found = {file.id: await self.records.file(conversation.head.place, file) for file in attached}
        return {id: data for id, data in found.items() if data is not None}

    async def heads(self, principal: Principal) -> list[Head]:
        """The heads of a subject's conversations, newest first; live answers that have ended are settled."""
        owner = owner_of(principal)
        heads = await self.records.heads(owner)
        live = [head for head in heads if head.live is not None][:SETTLED_AT_ONCE]
        settling = (self.settling.settled(owner, head, principal.tenant) for head in live)
        # One that is deleted meanwhile hides no other.
        settled = await asyncio.gather(*settling, return_exceptions=True)
        newer = {head.id: head for head in settled if isinstance(head, Head)}
        return [newer.get(head.id, head) for head in heads]

    async def create(
        self, id: str, principal: Principal, title: str | None = None, settings: Settings | None = None
    ) -> tuple[Head, bool]:
        """The conversation of this id, made if there is none; whether it was made.

        Raises `InvalidConversation`, `UnknownModel` or `InvalidPrompt`.
        """
        if settings is not None:
            self.check(settings)
        head = self.new(id, settings)
        if title := clean_title(title):
            head = msgspec.structs.replace(head, title=title, titled="person")
        if await self.records.add(owner_of(principal), head):
            return head, True
        return await self.find(id, principal), False

    def new(self, id: str, settings: Settings | None = None) -> Head:
        """A head that is not kept yet. Raises `InvalidConversation` for what is no id."""
        at, place = self._clock(), secrets.token_urlsafe(24)
        now = written(at)
        head = Head(id=checked_id(id), place=place, created_at=now, updated_at=now, used=at)
        return msgspec.structs.replace(head, settings=settings or Settings())

    async def patch(
        self, id: str, principal: Principal, title: str | None, leaf: str | None, settings: Settings | None
    ) -> Head:
        """Change what is given. Raises `NoSuchConversation`, `InvalidConversation`, `UnknownModel`, `InvalidPrompt`."""
        owner = owner_of(principal)
        if settings is not None:
            self.check(settings)
        if leaf is not None:
            head = await self.find(id, principal)
            if leaf not in await self.records.nodes(head.place):
                raise InvalidConversation(f"there is no message {leaf[:80]} in this conversation")
        named = clean_title(title)

        def new(head: Head) -> Head:
            if title is not None:
                head = msgspec.structs.replace(head, title=named, titled="person" if named else "auto")
            leaf_now = head.leaf if leaf is None else leaf
            return msgspec.structs.replace(head, leaf=leaf_now, settings=settings or head.settings)

        return await self.records.change(owner, id, new)

    async def delete(self, id: str, principal: Principal) -> None:
        """Forget a conversation with its files, logs and cache entries; a running answer is stopped.

        Raises `NoSuchConversation`.
        """
        owner = owner_of(principal)
        head = await self.records.head(owner, id)
        if head is None:
            raise NoSuchConversation(id)
        nodes = await self.records.nodes(head.place)
        await self.records.delete(owner, head)
        await self.forget(_logs(nodes.values()), principal)

    async def take(self, conversations: Sequence[Imported], principal: Principal) -> list[Head]:
        """Keep conversations that were read from a file; each under a new id, if its own is taken or none.

        Raises `InvalidPrompt` for settings that nothing can be asked with, before any is kept.
        """
        settings = [self._usable(each.sent.settings) for each in conversations]
        return [await self._take(*each, principal) for each in zip(conversations, settings, strict=True)]

    def _usable(self, settings: Settings) -> Settings:
        """The settings of a file without a model of another server. Raises `InvalidPrompt`."""
        try:
            self.check(settings)
        except UnknownModel:
            settings = msgspec.structs.replace(settings, model=None)
            self.check(settings)
        return settings

    async def _take(self, imported: Imported, settings: Settings, principal: Principal) -> Head:
        sent, at = imported.sent, self._clock()
        place, now, size = secrets.token_urlsafe(24), written(at), len(imported.nodes)
        for file, data in imported.files:
            await self.records.put_file(place, file.id, data)
        for begin in range(0, size, TOGETHER):
            some = enumerate(imported.nodes[begin : begin + TOGETHER], begin)
            await asyncio.gather(*(self.records.put_node(place, number, node, 0) for number, node in some))
        head = Head(id=sent.id, place=place, created_at=now, updated_at=now, title=sent.title, titled="person")
        head = msgspec.structs.replace(head, leaf=sent.leaf, settings=settings, size=size, used=at)
        if not re.fullmatch(ID, head.id):
            head = msgspec.structs.replace(head, id=new_id())
        while not await self.records.add(owner_of(principal), head):  # last, so that it is there as a whole
            head = msgspec.structs.replace(head, id=new_id())
        return head

    async def logs(self, principal: Principal) -> list[Description]:
        """The logs of a subject's answers that are still kept."""
        recent = written(self._clock() - self._answers.kept_for)
        heads = [head for head in await self.records.heads(owner_of(principal)) if head.updated_at >= recent]
        kept = [each for head in heads for each in (await self.records.nodes(head.place)).values()]
        logs = sorted(_logs(kept))
        found: list[Description | None] = []
        for begin in range(0, len(logs), TOGETHER):
            found += await asyncio.gather(*(self._log(log, principal) for log in logs[begin : begin + TOGETHER]))
        return [log for log in found if log is not None]

    async def forget(self, logs: Iterable[str], principal: Principal) -> None:
        """Forget logs and the cache entries that they are; one that runs is stopped, unless somebody else wants it."""
        left = [*logs]
        for begin in range(0, len(left), TOGETHER):
            await asyncio.gather(*(self._forget(log, principal) for log in left[begin : begin + TOGETHER]))

    async def _forget(self, log: str, principal: Principal) -> None:
        found = await self._log(log, principal)
        if found is not None and (found.state != "open" or await self._answers.stop(found, principal)):
            with suppress(NoSuchLog, Expired):
                await self._answers.forget(found, principal)

    async def _log(self, log: str, principal: Principal) -> Description | None:
        try:
            return await self._answers.find(log, principal)
        except (NoSuchLog, Expired):
            return None

    async def move_all(self, source: Principal, target: Principal) -> int:
        """Give every conversation of a subject to another one of the same tenant; how many there were."""
        begin, end = owner_of(source), owner_of(target)
        heads = await self.records.heads(begin)
        for head in heads:
            await self._move(begin, end, head, target.tenant)
        return len(heads)

    async def share(self, id: str, principal: Principal) -> str:
        """The token of the link that shows a conversation to anybody, made if there is none."""
        token = secrets.token_urlsafe(24)
        owner = owner_of(principal)
        head = await self.records.change(
            owner, id, lambda head: None if head.shared else msgspec.structs.replace(head, shared=token)
        )
        assert head.shared is not None
        await self.records.put_share(head.shared, Share(owner, id, principal.tenant))
        return head.shared

    async def unshare(self, id: str, principal: Principal) -> None:
        """Revoke the link, if there is one."""
        head = await self.find(id, principal)
        if head.shared is not None:
            await self.records.drop_share(head.shared)
            await self.records.change(owner_of(principal), id, lambda head: msgspec.structs.replace(head, shared=None))

    async def shared_head(self, token: str) -> tuple[Head, Share]:
        """The head of the conversation that a link shows, and whose it is. Raises `NoSuchConversation`."""
        share = await self.records.share(token)
        head = share and await self.records.head(share.owner, share.id)
        if share is None or head is None or head.shared != token:
            raise NoSuchConversation(token)
        return head, share

    async def shared(self, token: str) -> tuple[Conversation, str]:
        """The conversation that a link shows, and its tenant. Raises `NoSuchConversation`."""
        head, share = await self.shared_head(token)
        head = await self.settling.settled(share.owner, head, share.tenant)
        return await self.whole(head), share.tenant

    async def _move(self, begin: str, end: str, head: Head, tenant: str) -> None:
        """Move a head: kept at its new owner first, so that it is at one of them at any time."""
        moved = head
        while not await self.records.add(end, moved):
            moved = msgspec.structs.replace(moved, id=new_id())
        while not await self.records.leave(begin, head.id, moved.revision):  # changed meanwhile
            found = await self.records.head(begin, head.id)
            if found is None:  # or deleted
                await self.records.delete_head(end, moved.id)
                return
            moved = msgspec.structs.replace(found, id=moved.id)
            await self.records.add(end, moved, replaced=True)
        if moved.shared is not None:
            await self.records.put_share(moved.shared, Share(end, moved.id, tenant))

    def check(self, settings: Settings) -> None:
        """Refuse settings that no question could be asked with. Raises `UnknownModel` or `InvalidPrompt`."""
        self._answers.offer(settings.model or "")
        check(settings_prompt(settings, [Message("user", "?")]))


def settings_prompt(settings: Settings, messages: list[Message]) -> Prompt:
    """The prompt that asks these messages under these settings."""
    parameters = Parameters(settings.temperature, settings.top_p, settings.max_tokens)
    return Prompt(model=settings.model or "", messages=messages, parameters=parameters)


def _logs(nodes: Iterable[Kept]) -> set[str]:
    found = (kept.node.location for kept in nodes if isinstance(kept.node, Reply) and kept.node.location)
    return {log.partition("~")[0] for log in found}


def new_id() -> str:
    """An id that the server makes where the client has not chosen one."""
    return secrets.token_urlsafe(12)


def clean_title(title: str | None) -> str:
    """A title on one line, 200 letters at most. Raises `InvalidPrompt`."""
    title = " ".join((title or "").split())
    if len(title) > 200:
        raise InvalidPrompt(f"the title has {len(title)} letters; 200 are kept")
    return title

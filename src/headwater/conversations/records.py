"""Conversations in a store's documents: heads by subject, and nodes and files by place.

A head lies in a collection of its subject; it alone is changed by several requests, so each change names the version
that it replaces. Its nodes lie in a collection of the head's `place`, under their numbers, so that they come in the
order in which they were begun. A node is written at most twice: open, and settled. One that is larger than a document
goes on in further documents, which are written before the first: whoever finds the first finds them all.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from headwater.conversations.nodes import Attached, Head, Node
from headwater.errors import Conflict, RequestError
from headwater.log.store import MAX_DOCUMENT, Document, Documents, listed
from headwater.principal import Principal

DAY = 24 * 3600.0
KEPT = 30 * DAY
"""Seconds for which a conversation is kept from its last use on; up to a day longer, as uses are noted once a day."""
OUTLIVES = 3 * DAY
"""Seconds for which nodes, files and links are kept beyond that, so that a head is never there without them."""
SHARES = "shares"
ATTEMPTS = 50
"""How often a change is tried anew, because others have changed the head meanwhile."""

_of_node = msgspec.json.Decoder(Node).decode  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
_of_head = msgspec.json.Decoder(Head).decode
_encode = msgspec.json.Encoder().encode


class NoSuchConversation(RequestError):
    """No conversation has this id, or it is somebody else's: the two look the same on purpose."""

    code = "no_such_conversation"
    status = 404

    def __init__(self, id: str) -> None:
        super().__init__(f"there is no conversation {id[:80]} of yours; it may have been deleted")


class Share(msgspec.Struct, frozen=True):
    """The conversation that a link shows."""

    owner: str
    id: str
    tenant: str


class Kept(NamedTuple):
    """A node as it is stored."""

    node: Node
    number: int
    version: int


def owner_of(principal: Principal) -> str:
    """The collection of a subject's heads. Hashed, since a name has any length and must not look like another's."""
    return "chats:" + hashlib.sha256(msgspec.json.encode(principal)).hexdigest()


def chat_of(place: str) -> str:
    """The collection of a conversation's nodes."""
    return f"chat:{place}"


def files_of(place: str) -> str:
    """The collection of a conversation's files."""
    return f"files:{place}"


class Records:
    """Heads, nodes and files. `documents` keeps them; `clock` gives wall time. Every method may raise `StoreError`."""

    def __init__(self, documents: Callable[[], Documents], clock: Callable[[], float] = time.time) -> None:
        self._documents = documents
        self.clock = clock

    async def head(self, owner: str, id: str) -> Head | None:
        """The head of this id, if the subject has one."""
        found = await self._documents().get(id, collection=owner)
        head = found and _of_head(found.value)
        return None if head is None or head.moved else head

    async def heads(self, owner: str) -> list[Head]:
        """Every head of a subject, newest first."""
        heads = [_of_head(document.value) async for _, document in listed(self._documents(), owner)]
        return sorted((head for head in heads if not head.moved), key=lambda head: (head.updated_at, head.id))[::-1]

    async def add(self, owner: str, head: Head, *, replaced: bool = False) -> bool:
        """Keep a new head; False if its id is taken and it is not to be `replaced`."""
        try:
            version = None if replaced else 0
            await self._put_head(owner, head, version)
        except Conflict:
            return False
        return True

    async def leave(self, owner: str, id: str, revision: int) -> bool:
        """Forget a head that has moved to another owner; False if it was changed since this revision, or deleted."""
        found = await self._documents().get(id, collection=owner)
        head = found and _of_head(found.value)
        if found is None or head is None or head.revision != revision:
            return False
        try:
            await self._put_head(owner, msgspec.structs.replace(head, moved=True), found.version)
        except Conflict:
            return False
        await self.delete_head(owner, id)
        return True

    async def change(self, owner: str, id: str, new: Callable[[Head], Head | None]) -> Head:
        """Replace a head by what `new` makes of it, once more for as long as others change it first.

        `new` returns None to leave it. Returns the head as it is now. Raises `NoSuchConversation`, `Conflict`, and what
        `new` raises.
        """
        for _ in range(ATTEMPTS):
            found = await self._documents().get(id, collection=owner)
            head = found and _of_head(found.value)
            if found is None or head is None or head.moved:
                raise NoSuchConversation(id)
            changed = new(head)
            if changed is None:
                return head
            changed = msgspec.structs.replace(changed, revision=head.revision + 1)
            try:
                await self._put_head(owner, changed, found.version)
            except Conflict:
                await asyncio.sleep(secrets.randbelow(10) / 1000)  # apart, so that one of many gets through
                continue
            return changed
        raise Conflict(f"other requests keep changing the conversation {id}; try again")

    async def renewed(self, owner: str, head: Head) -> Head:
        """The head, with all its documents kept from today on."""
        now = self.clock()
        if now - head.used < DAY:
            return head
        for collection in (chat_of(head.place), files_of(head.place)):
            await self._documents().renew_documents(collection, KEPT + OUTLIVES)
        head = await self.change(owner, head.id, lambda head: msgspec.structs.replace(head, used=now))
        if head.shared is not None and (share := await self.share(head.shared)) is not None:
            await self.put_share(head.shared, share)
        return head

    async def delete(self, owner: str, head: Head) -> None:
        """Forget a conversation; its head first, so that nobody asks in it any more."""
        await self.delete_head(owner, head.id)
        if head.shared is not None:
            await self.drop_share(head.shared)
        for collection in (chat_of(head.place), files_of(head.place)):
            await self._documents().delete_documents(collection)

    async def delete_head(self, owner: str, id: str) -> None:
        """Forget a head alone."""
        await self._documents().delete(id, collection=owner)

    async def share(self, token: str) -> Share | None:
        """Which conversation a link shows."""
        found = await self._documents().get(_hash(token), collection=SHARES)
        return found and msgspec.json.decode(found.value, type=Share)

    async def put_share(self, token: str, share: Share) -> None:
        """Keep which conversation a link shows."""
        await self._documents().put(_hash(token), _encode(share), ttl=KEPT + OUTLIVES, collection=SHARES)

    async def drop_share(self, token: str) -> None:
        """Revoke a link."""
        await self._documents().delete(_hash(token), collection=SHARES)

    async def nodes(self, place: str) -> dict[str, Kept]:
        """Every node of a conversation by its id, in the order in which they were begun."""
        firsts: list[tuple[str, Document]] = []
        rest: dict[str, bytes] = {}
        async for name, document in listed(self._documents(), chat_of(place)):
            if "." in name:
                rest[name] = document.value
            else:
                firsts.append((name, document))
        kept = [_joined(name, document, rest) for name, document in firsts]
        return {each.node.id: each for each in kept if each is not None}

    async def node(self, place: str, number: int) -> Kept | None:
        """The node at this place."""
        name, get = _name(number), self._documents().get
        first = await get(name, collection=chat_of(place))
        if first is None:
            return None
        further = {each: await get(each, collection=chat_of(place)) for each in _further(name, first.value)}
        return _joined(name, first, {each: document.value for each, document in further.items() if document})

    async def put_node(self, place: str, number: int, node: Node, version: int) -> bool:
        """Keep a node in place of the one of this version, 0 for none; False if another is there."""
        name, value, put = _name(number), _encode(node), self._documents().put
        room = MAX_DOCUMENT - 64
        pieces = [value[begin : begin + room] for begin in range(0, len(value), room)]
        first = f"{len(pieces)} {secrets.token_hex(4)}\n".encode() + pieces[0]
        for further, piece in zip(_further(name, first), pieces[1:], strict=True):
            await put(further, piece, ttl=KEPT + OUTLIVES, collection=chat_of(place))
        try:
            await put(name, first, ttl=KEPT + OUTLIVES, version=version, collection=chat_of(place))
        except Conflict:
            return False
        return True

    async def put_file(self, place: str, id: str, data: bytes) -> None:
        """Keep the data of an attachment."""
        put = self._documents().put
        for part in range(0, len(data), MAX_DOCUMENT):
            piece = data[part : part + MAX_DOCUMENT]
            await put(f"{id}.{part // MAX_DOCUMENT}", piece, ttl=KEPT + OUTLIVES, collection=files_of(place))

    async def file(self, place: str, attached: Attached) -> bytes | None:
        """The data of an attachment; None if they are not there."""
        get, collection = self._documents().get, files_of(place)
        parts = [
            await get(f"{attached.id}.{part}", collection=collection)
            for part in range(-(-attached.size // MAX_DOCUMENT))
        ]
        data = b"".join(part.value for part in parts if part is not None)
        return data if len(data) == attached.size else None

    async def _put_head(self, owner: str, head: Head, version: int | None) -> None:
        await self._documents().put(head.id, _encode(head), ttl=KEPT + DAY, version=version, collection=owner)


def _hash(token: str) -> str:
    """A link's token as the store's names have it: whoever lists them has no link."""
    return hashlib.sha256(token.encode()).hexdigest()


def _name(number: int) -> str:
    return f"{number:08d}"


def _further(name: str, first: bytes) -> list[str]:
    """The names of the documents in which a node goes on."""
    count, _, mark = first[: first.index(b"\n")].decode().partition(" ")
    return [f"{name}.{mark}.{part:04d}" for part in range(1, int(count))]


def _joined(name: str, first: Document, rest: dict[str, bytes]) -> Kept | None:
    begin = first.value.index(b"\n") + 1
    pieces = [rest.get(each) for each in _further(name, first.value)]
    if None in pieces:  # expired between two reads, or deleted
        return None
    value = b"".join((first.value[begin:], *(piece for piece in pieces if piece is not None)))
    return Kept(_of_node(value), int(name), first.version)

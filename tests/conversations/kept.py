"""A server's conversations without HTTP, for tests that look closer."""

from collections.abc import Callable
from typing import NamedTuple

from headwater.answers.answers import Answers, Policy
from headwater.answers.claim import Caching
from headwater.answers.generation import Timeouts
from headwater.conversations.asking import Ask, Asked, Asking
from headwater.conversations.conversations import Conversations
from headwater.conversations.nodes import Node
from headwater.log.store import Store
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import Model
from headwater.principal import Principal

ANN, BOB = Principal("acme", "ann"), Principal("acme", "bob")
CHAT = "conv-0001"


class Kept(NamedTuple):
    """The parts of one server."""

    answers: Answers
    conversations: Conversations
    asking: Asking

    async def ask(self, ask: Ask, principal: Principal = ANN, chat: str = CHAT) -> Asked:
        """Ask, and return at once."""
        return await self.asking.ask(chat, principal, ask)

    async def say(self, ask: Ask, principal: Principal = ANN, chat: str = CHAT) -> Asked:
        """Ask, and return when the answer has ended."""
        asked = await self.ask(ask, principal, chat)
        await self.answers.drained(5)
        return asked

    async def nodes(self, principal: Principal = ANN, chat: str = CHAT) -> dict[str, Node]:
        """The nodes of a conversation by their ids."""
        return {node.id: node for node in (await self.conversations.read(chat, principal)).nodes}


def kept(store: Store, model: Model, clock: Callable[[], float] | None = None) -> Kept:
    """A server on this store."""

    async def build() -> Model:
        return model

    policy = Policy(Caching(secret=b"secret"), Timeouts(retries=0))
    answers = Answers(lambda: store, Catalogue(Offer(model.name, "test", True, build)), policy, borrowed=True)
    clocks = () if clock is None else (clock,)
    conversations = Conversations(answers, *clocks)
    return Kept(answers, conversations, Asking(answers, conversations, *clocks))

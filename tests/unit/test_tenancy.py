"""Tenants never meet: whatever a principal calls, it neither reads, stops nor deletes another tenant's answer."""

import asyncio
from collections.abc import Sequence
from typing import Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.answers.answers import Answers, Policy
from headwater.answers.attachment import Attachment
from headwater.answers.claim import Caching
from headwater.errors import NoSuchLog
from headwater.events import Finish, TextDelta
from headwater.log.memory import MemoryStore
from headwater.log.store import Description
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.model import Model
from headwater.models.scripted import Scripted
from headwater.offsets import ORIGIN
from headwater.principal import Principal
from headwater.prompt import Message, Prompt

TENANTS = ("a", "b", "c")


class Call(NamedTuple):
    """One call by a principal, on an answer that was requested before."""

    principal: Principal
    method: Literal["ask", "find", "read", "answer", "stop", "forget"]
    which: int
    """The index of the answer among all that were requested; for `ask`, the number of the prompt."""


principals = st.builds(Principal, st.sampled_from(TENANTS), st.sampled_from(("ann", "bob")))
calls = st.builds(
    Call, principals, st.sampled_from(("ask", "find", "read", "answer", "stop", "forget")), st.integers(0, 9)
)


class World:
    """One server's answers, what is known of them outside, and the calls that change them."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.model = Scripted([TextDelta("secret"), Finish("stop")])
        offer = Offer(self.model.name, "test", True, self._build)
        policy = Policy(Caching(secret=b"secret"), stop_wait=0.5)
        self.answers = Answers(lambda: self.store, Catalogue(offer), policy)
        self.attached: list[tuple[Principal, Attachment]] = []

    async def _build(self) -> Model:
        return self.model

    async def make(self, call: Call) -> None:
        """Make a call; one on another tenant's answer must find nothing, with the id as with what was found by it."""
        if call.method == "ask" or not self.attached:
            prompt = Prompt(model="", messages=[Message("user", f"question {call.which}")])
            self.attached.append((call.principal, await self.answers.ask(prompt, call.principal)))
            await self.answers.drained(5)
            return
        owner, attachment = self.attached[call.which % len(self.attached)]
        if owner.tenant == call.principal.tenant:
            await self._own(call, attachment)
            return
        with pytest.raises(NoSuchLog):
            await self.answers.find(attachment.message_id, call.principal)
        with pytest.raises(NoSuchLog):
            await self._call(call, attachment)

    async def _own(self, call: Call, attachment: Attachment) -> None:
        found = await self.answers.find(attachment.message_id, call.principal)
        await self._call(call, found)
        if call.method == "forget":
            self.attached = [(owner, each) for owner, each in self.attached if each.log != attachment.log]

    async def _call(self, call: Call, found: Attachment | Description) -> None:
        match call.method:
            case "ask" | "find":
                await self.answers.find(found.log, call.principal)
            case "read":
                async for _ in self.answers.read(found, call.principal, ORIGIN):
                    pass
            case "answer":
                await self.answers.answer(found, call.principal)
            case "stop":
                await self.answers.stop(found, call.principal)
            case "forget":
                await self.answers.forget(found, call.principal)

    async def whole(self) -> bool:
        """Whether every answer that its own tenant has not deleted is there, whole, for that tenant."""
        return all([(await self.answers.answer(each, owner)).text == "secret" for owner, each in self.attached])


@settings(max_examples=200)
@given(st.lists(calls, max_size=12))
def test_no_call_of_another_tenants_principal_reads_stops_or_deletes_anything(made: Sequence[Call]) -> None:
    """Neither with a leaked message id nor with an object that another principal found."""

    async def live() -> None:
        world = World()
        for call in made:
            await world.make(call)
            assert await world.whole()
        await world.answers.aclose()

    asyncio.run(live())


def test_the_same_question_of_two_tenants_is_two_answers() -> None:
    """Their keys differ, so neither a hit nor a live answer is shared; two subjects of one tenant share both."""

    async def live() -> None:
        world = World()
        for principal in (Principal("a", "ann"), Principal("b", "ann"), Principal("a", "bob")):
            await world.make(Call(principal, "ask", 1))
        (_, first), (_, second), (_, third) = world.attached
        assert first.log == third.log != second.log
        assert len(world.model.prompts) == 2
        await world.answers.aclose()

    asyncio.run(live())

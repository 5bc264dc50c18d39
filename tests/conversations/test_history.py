"""Whatever is asked, edited and asked again, on two servers at once: no message is ever lost or changed."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from kept import ANN, CHAT, Kept, kept

from headwater.conversations.asking import Ask, Busy
from headwater.conversations.nodes import Question, Reply, path
from headwater.errors import ModelError
from headwater.events import Finish, TextDelta
from headwater.log.memory import MemoryStore
from headwater.models.scripted import Scripted


class Step(NamedTuple):
    """Something that a person does, at one of two servers."""

    what: str
    which: int
    """Which message it is about, among those that there are."""
    server: int


steps = st.builds(
    Step,
    st.sampled_from(["ask", "edit", "again", "repeat", "leaf", "rename", "race"]),
    st.integers(0, 20),
    st.integers(0, 1),
)


class History:
    """A conversation on two servers, and all that it must have."""

    def __init__(self) -> None:
        store = MemoryStore()
        # One of the servers' model breaks off after a word.
        models = Scripted([TextDelta("Yes."), Finish("stop")]), Scripted([TextDelta("Ye"), ModelError("it broke")])
        self.servers = [kept(store, model) for model in models]
        self.questions: list[Question] = []
        self.answers: list[Reply] = []
        self.asked: list[Ask] = []

    async def make(self, step: Step) -> None:
        """Do it, and look at all that there is afterwards."""
        server, number = self.servers[step.server], len(self.asked)
        own = Ask(id=f"question-{number}", answer=f"answer-{number:04d}", content=f"Question {number}")
        answer = self.answers[step.which % len(self.answers)] if self.answers else None
        match step.what:
            case "ask" | "edit" if answer is not None:
                question = next(each for each in self.questions if each.id == answer.parent)
                parent = answer.id if step.what == "ask" else question.parent
                await self._say(server, Ask(id=own.id, answer=own.answer, content=own.content, parent=parent))
            case "again" if answer is not None:
                await self._say(server, Ask(answer=own.answer, parent=answer.parent))
            case "repeat" if self.asked:
                await server.say(self.asked[step.which % len(self.asked)])
            case "leaf" if answer is not None:
                await server.conversations.patch(CHAT, ANN, None, answer.id, None)
            case "rename" if answer is not None:
                await server.conversations.patch(CHAT, ANN, f"Title {step.which}", None, None)
            case "race" if answer is not None:
                others = [Ask(id=f"{own.id}-{rival}", answer=f"{own.answer}-{rival}", content="Race") for rival in "ab"]
                done = await asyncio.gather(
                    *(each.ask(other) for each, other in zip(self.servers, others, strict=True)), return_exceptions=True
                )
                assert all(isinstance(each, Busy) for each in done if isinstance(each, BaseException))
                taken = [other for other, each in zip(others, done, strict=True) if not isinstance(each, BaseException)]
                assert taken
                for other in taken:
                    await self._say(server, other)
            case _:
                await self._say(server, own)

    async def _say(self, server: Kept, ask: Ask) -> None:
        asked = await server.say(ask)
        await self.servers[1].answers.drained(5)
        await self.servers[0].answers.drained(5)
        self.asked.append(ask)
        if asked.question.id not in {each.id for each in self.questions}:
            self.questions.append(asked.question)
        self.answers.append(asked.reply)

    async def check(self) -> None:
        """Both servers have every message, with its parent and words, and the head fits."""
        for server in self.servers:
            conversation = await server.conversations.read(CHAT, ANN)
            nodes = {node.id: node for node in conversation.nodes}
            assert len(conversation.nodes) == len(nodes)
            assert set(nodes) == {each.id for each in (*self.questions, *self.answers)}
            for question in self.questions:
                assert nodes[question.id] == question
            for answer in self.answers:
                node = nodes[answer.id]
                assert isinstance(node, Reply)
                assert (node.parent, node.text) in ((answer.parent, "Yes."), (answer.parent, "Ye"))
                assert node.state in ("finished", "failed")
                roles = [type(each) for each in path(dict(nodes), node.id)]
                assert roles == [Question, Reply] * (len(roles) // 2)
            assert conversation.head.live is None
            assert conversation.head.leaf in nodes
            assert conversation.head.tally.answers == len(self.answers)


@settings(max_examples=60)
@given(st.lists(steps, min_size=1, max_size=12))
def test_every_message_stays(made: Sequence[Step]) -> None:
    """And is told alike by both servers."""

    async def live() -> None:
        history = History()
        for step in made:
            await history.make(step)
            await history.check()
        for server in history.servers:
            await server.answers.aclose()

    asyncio.run(live())

"""Thinking between tags becomes reasoning, wherever the pieces are cut."""

from contextlib import aclosing

import pytest
from ways import HELLO, answer, joined

from headwater.errors import CannotContinue
from headwater.events import Event, Finish, ReasoningDelta, TextDelta, ToolCallEnd, ToolCallStart, Usage
from headwater.models.model import Shown
from headwater.models.scripted import Echo, Scripted
from headwater.models.think_tags import ThinkTags
from headwater.prompt import Prompt

Say, Think = TextDelta, ReasoningDelta
STOP = Finish("stop")

CASES: list[tuple[str, list[Event]]] = [
    ("<think>Hm</think>Hi", [Think("Hm"), Say("Hi"), STOP]),
    ("\n<think>\nHm\n</think>\n\nHi\n", [Think("\nHm\n"), Say("Hi\n"), STOP]),
    ("<thinking>Hm</thinking> Hi", [Think("Hm"), Say("Hi"), STOP]),
    ("<think></think>Hi", [Say("Hi"), STOP]),
    ("Hi <think>no</think>", [Say("Hi <think>no</think>"), STOP]),
    ("<think>a < b </thin</think>c</think>", [Think("a < b </thin"), Say("c</think>"), STOP]),
    ("<thin ice", [Say("<thin ice"), STOP]),
    ("  <thi", [Say("  <thi"), STOP]),
    ("  ", [Say("  "), Finish("other")]),
    ("<think>Hm", [Think("Hm"), Finish("other")]),
    ("<think>Hm</thin", [Think("Hm</thin"), Finish("other")]),
    ("<think>Hm</think>\n", [Think("Hm"), Finish("other")]),
    ("Hi", [Say("Hi"), STOP]),
]


@pytest.mark.parametrize(("text", "wanted"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
async def test_thinking_between_tags_is_reasoning(text: str, wanted: list[Event], size: int) -> None:
    """Only at the beginning; and an answer of nothing but thinking is not cached."""
    pieces = [TextDelta(text[at : at + size]) for at in range(0, len(text), size)]
    assert joined(await answer(ThinkTags(Scripted([*pieces, STOP])))) == wanted


async def test_other_events_pass_in_their_order() -> None:
    """What was held back for a tag comes before them."""
    call: list[Event] = [ToolCallStart("c1", "f"), ToolCallEnd("c1")]
    script: list[Event] = [Say("<think>Hm</thi"), *call, Finish("stop", Usage(1, 2))]
    assert joined(await answer(ThinkTags(Scripted(script)))) == [Think("Hm</thi"), *call, Finish("stop", Usage(1, 2))]


async def test_an_answer_goes_on_behind_its_thinking_in_the_words_of_the_model_within() -> None:
    """The model gets its text with the tags, and the rest of the text is no thinking whatever is in it."""
    whole = [Say("<think>Hm</think>\n\nHi"), Say(" <think>no</think>"), STOP]
    model = ThinkTags(Scripted([*whole[:1]], then=[whole]))
    assert model.continues(HELLO)
    async with aclosing(model.go_on(HELLO, Shown("Hi", reasoning="Hm", pieces=2))) as batches:
        assert [event async for batch in batches for event in batch] == whole[1:]
    assert not ThinkTags(Echo()).continues(HELLO)
    with pytest.raises(CannotContinue):
        ThinkTags(Echo()).go_on(HELLO, Shown("Hi"))


async def test_a_model_that_counts_tokens_does_so_behind_its_tags() -> None:
    """Its own count is exact; one that does not count has none."""

    class Counting(Scripted):
        async def count_tokens(self, prompt: Prompt) -> int | None:
            return len(prompt.messages)

    assert await ThinkTags(Counting([])).count_tokens(HELLO) == 1
    assert await ThinkTags(Echo()).count_tokens(HELLO) is None

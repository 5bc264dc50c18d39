"""Thinking between tags becomes reasoning, wherever the pieces are cut."""

import pytest
from ways import answer, joined

from headwater.events import Event, Finish, ReasoningDelta, TextDelta, ToolCallEnd, ToolCallStart, Usage
from headwater.models.scripted import Scripted
from headwater.models.think_tags import ThinkTags

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

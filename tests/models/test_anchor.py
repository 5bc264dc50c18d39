"""The prompt way: the last words come again, and the answer goes on exactly; or nothing is accepted."""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import pytest
from ways import HELLO, ONCE_UPON, texts

from headwater.errors import CannotContinue
from headwater.events import Event, Finish, ReasoningDelta, TextDelta
from headwater.models.anchor import Anchor, go_on_by_prompt
from headwater.models.model import Shown
from headwater.models.scripted import Scripted
from headwater.prompt import Message, Parameters, Prompt, ProviderTool, text_of

PROSE = """The lighthouse at Carrow Point was built in 1871, after three ships had gone aground in a single winter. Its
keeper — a patient man called Amos Reed — wrote a log every night. “Wind from the west,” he noted, “and nothing to be
seen but gulls.” The log survives, and so does his wife's recipe for fish soup.

In 1923 the lamp became electric. The keeper's house was sold, and a family from the city moved in with two dogs, a
piano and a great many books. They stayed for thirty years; the children still come back in summer to paint the rails.
Nobody has been able to say which of the three ships lies in the channel, though divers look for it every August."""

README = """# pebble

A small queue that lives in one file. It needs **no server** and no configuration.

## Install

```sh
pip install pebble
pebble init queue.db
```

## Use

1. Open the file with `pebble.open("queue.db")`.
2. Put something in: `queue.put({"job": 1})`.
3. Take it out again, in another process if you like.

Every job is taken by one worker. A worker that dies gives its job back after 30 seconds — see [leases](leases.md).

> The file may lie on a network drive, but locks are slow there."""

CODE = """Here is a function that counts words:

```python
import re
from collections import Counter


def count_words(text: str, *, least: int = 1) -> dict[str, int]:
    \"\"\"The words of a text that occur at least so often.\"\"\"
    words = re.findall(r"[\\w']+", text.lower())
    counted = Counter(words)
    return {word: count for word, count in counted.most_common() if count >= least}


if __name__ == "__main__":
    print(count_words("the cat and the dog", least=2))
```

It reads the text once, so that it takes time in proportion to the length. Words are what `\\w` matches."""

LIST = """Five things to check before you sail:

- **Weather.** Read the forecast for the whole day, not only for the morning.
- **Fuel.** Take a third to go out, a third to come back, and a third in reserve.
- **Life jackets.** One for each person, and in the right size.
- **Radio.** Call the harbour once, so that you know it works.
- **Somebody ashore.** Tell them when you will be back; agree on what they do if you are not.

If one of these is missing, stay in the harbour and have lunch instead. The sea will be there tomorrow."""

TABLE = """| river | length in km | mouth | crosses |
|---|---:|---|---|
| Danube | 2,850 | Black Sea | ten countries |
| Rhine | 1,233 | North Sea | six countries |
| Elbe | 1,094 | North Sea | two countries |
| Loire | 1,006 | Atlantic | one country |
| Tagus | 1,007 | Atlantic | two countries |
| Oder | 840 | Baltic Sea | three countries |

The Volga is longer than all of these (3,530 km), but it ends in the Caspian Sea, which is a lake to most people."""

OBJECT = """{
  "name": "Greta",
  "age": 7,
  "likes": ["tuna", "boxes", "the warm place behind the radiator"],
  "vaccinations": [
    {"against": "rabies", "on": "2023-04-02", "due": "2026-04-02"},
    {"against": "cat flu", "on": "2024-04-09", "due": "2025-04-09"},
    {"against": "leukaemia", "on": "2024-04-16", "due": "2025-04-16"}
  ],
  "vet": {"name": "Dr. Okafor", "phone": "+44 20 7946 0018", "open": "Mon-Fri 9-17"},
  "notes": "Hides when the doorbell rings; comes out for a paper bag."
}"""

SONG = """Row the boat along the shore, row the boat along,
Pull the oars and pull once more, sing a rowing song.
Hey ho, the wind is low, hey ho, the tide,
Hey ho, the wind is low, home on the other side.

Row the boat along the bay, row the boat along,
Pull the oars at break of day, sing a rowing song.
Hey ho, the wind is low, hey ho, the tide,
Hey ho, the wind is low, home on the other side.

Row the boat along the shore, row the boat along,
Pull the oars and pull once more, sing a rowing song.
Hey ho, the wind is low, hey ho, the tide,
Hey ho, the wind is low, home on the other side."""

CHINESE = """西湖位于杭州市的西边，三面环山，一面临城。湖上有两条长堤，把湖水分成几个部分：一条叫苏堤，一条叫白堤。
春天的时候，堤上的桃花和柳树一起发芽，
游人从早到晚都很多。夏天可以坐小船去看荷花，秋天的月亮最圆，冬天下雪以后，断桥上的景色又是另外一个样子。

当地人喜欢在湖边喝龙井茶。茶叶来自附近的山坡，每年四月初采摘，用手工炒干。据说最好的水是虎跑泉的水，味道很甜。如果你只有一天的时间，可以先走苏堤，
再坐船到湖心亭，最后在茶馆里休息一会儿，听听老人们讲白蛇的故事。"""

TEXTS = [PROSE, README, CODE, LIST, TABLE, OBJECT, SONG, CHINESE]
CUTS = 45  # of each text: 360 in all


class Cut(NamedTuple):
    text: str
    at: int

    @property
    def shown(self) -> str:
        return self.text[: self.at]

    @property
    def rest(self) -> str:
        return self.text[self.at :]

    def back_to(self, mark: str) -> int:
        """Where the last sentence or paragraph before the anchor begins."""
        before = self.shown.rstrip().removesuffix(Anchor(self.shown).words)
        return max((found.end() for found in re.finditer(mark, before)), default=0)


EVERY = [Cut(text, 60 + at * (len(text) - 70) // CUTS) for text in TEXTS for at in range(CUTS)]

Way = Callable[[Cut, str], str]
"""What a model answers, when it is asked to go on from these words."""


def spaced(words: str) -> str:
    return re.sub(r"\s+", "\n", words)


def quoted(words: str) -> str:
    return words.translate(str.maketrans("“”‘’—'\"", "\"\"''-’”"))


OBEYS: dict[str, Way] = {
    "obeys": lambda cut, words: words + cut.text[len(cut.shown.rstrip()) :],
    "changes spaces": lambda cut, words: spaced(words) + cut.text[len(cut.shown.rstrip()) :],
    "changes quotes": lambda cut, words: quoted(words) + cut.text[len(cut.shown.rstrip()) :],
    "adds a preamble": lambda cut, words: "Sure, here is the rest:\n\n" + words + cut.text[len(cut.shown.rstrip()) :],
    "opens the fence again": lambda cut, words: (
        ("```python\n" if cut.shown.count("```") % 2 else "") + words + cut.text[len(cut.shown.rstrip()) :]
    ),
    "goes back a sentence": lambda cut, words: cut.text[cut.back_to(r"[.:,;。，][ \n]*|\n") :],
}
STRAYS: dict[str, Way] = {
    "goes back a paragraph": lambda cut, words: cut.text[cut.back_to("\n\n") :],
    "puts prose in a fence": lambda cut, words: (
        "" if cut.shown.count("```") % 2 else f"```\n{words}{cut.text[len(cut.shown.rstrip()) :]}\n```"
    ),
    "quotes the words": lambda cut, words: f"“…{words}” {cut.text[len(cut.shown.rstrip()) :]}",
    "goes on without the words": lambda cut, words: cut.rest,
    "repeats the last 30 characters": lambda cut, words: cut.text[max(0, len(cut.shown.rstrip()) - 30) :],
    "begins anew": lambda cut, words: cut.text,
    "begins anew with a preamble": lambda cut, words: "Of course! Here is the whole answer:\n\n" + cut.text,
    "apologises": lambda cut, words: "I'm sorry, but I cannot see an earlier message. What would you like to know?",
    "sums up": lambda cut, words: "So far I have said that " + cut.text[:30].lower() + ". Next, " + cut.rest,
    "says nothing": lambda cut, words: "",
}


LONG = "The cat sat on the mat, and the dog lay down beside the fire."


async def gone_on(model: Any, shown: Shown, prompt: Prompt = HELLO) -> list[Event]:
    async with aclosing(go_on_by_prompt(model, prompt, shown)) as batches:
        return [event async for batch in batches for event in batch]


class Answering:
    """A model that answers in one way, a few characters at a time."""

    name = "answering"

    def __init__(self, cut: Cut, way: Way) -> None:
        self.cut = cut
        self.way = way

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Sequence[Event], None]:
        words = text_of(prompt.messages[-1]).split("\n\n", 1)[1].rsplit("\n\n", 1)[0]
        answer = self.way(self.cut, words)
        yield [ReasoningDelta("The user lost the connection.")]
        for begin in range(0, len(answer), 5):
            yield [TextDelta(answer[begin : begin + 5])]
        yield [Finish("stop")]


async def outcome(cut: Cut, way: Way) -> str:
    try:
        rest = "".join(texts(await gone_on(Answering(cut, way), Shown(cut.shown))))
    except CannotContinue:
        return "refused"
    return "exact" if cut.shown + rest == cut.text else f"wrong: {cut.shown[-30:]!r} + {rest[:30]!r}"


@pytest.mark.parametrize("name", OBEYS)
async def test_a_model_that_repeats_the_words_goes_on_exactly(name: str) -> None:
    """However it writes white space, quotes and dashes in them, and with what it may say before."""
    outcomes = [await outcome(cut, OBEYS[name]) for cut in EVERY]
    assert len(outcomes) == 360
    assert [found for found in outcomes if found.startswith("wrong")] == []
    assert outcomes.count("exact") >= 0.99 * len(outcomes)


@pytest.mark.parametrize("name", STRAYS)
async def test_a_model_that_does_something_else_is_exact_or_refused(name: str) -> None:
    """Also in a song of repetitions."""
    outcomes = [await outcome(cut, STRAYS[name]) for cut in EVERY]
    assert [found for found in outcomes if found.startswith("wrong")] == []


async def test_the_model_is_asked_in_the_users_own_words_behind_what_was_shown() -> None:
    model = Scripted([TextDelta(LONG[12:] + " They slept."), Finish("stop")])
    prompt = Prompt(model="m", messages=HELLO.messages, parameters=Parameters(max_tokens=30))
    assert texts(await gone_on(model, Shown(LONG, pieces=20), prompt)) == [" They slept."]
    question, begun, request = model.prompts[0].messages
    assert (question, begun) == (HELLO.messages[0], Message("assistant", LONG))
    assert request.role == "user"
    assert "\n\nmat, and the dog lay down beside the fire.\n\n" in text_of(request)
    assert 10 < (model.prompts[0].parameters.max_tokens or 0) <= 30  # what is left, and the words that come again
    used = [event async for batch in go_on_by_prompt(model, prompt, Shown(LONG, pieces=30)) for event in batch]
    assert used == [Finish("length")]
    assert len(model.prompts) == 1


@pytest.mark.parametrize(
    ("blanks", "follows", "rest"),
    [(" ", " and", "and"), ("\n", "\n\nand", "\nand"), ("\n\n", "\nand", "and"), (" ", "and", "and"), ("", "", "")],
)
async def test_white_space_at_the_seam_is_not_doubled(blanks: str, follows: str, rest: str) -> None:
    model = Scripted([*(TextDelta(each) for each in LONG + follows), Finish("stop")])
    assert "".join(texts(await gone_on(model, Shown(LONG + blanks)))) == rest


@pytest.mark.parametrize(
    ("shown", "prompt", "why"),
    [
        ("Too short", HELLO, "too few"),
        ("la la la " * 300, HELLO, "repeat what stands before"),
        (LONG, ONCE_UPON, "only a chat"),
        (LONG, Prompt(model="m", messages=HELLO.messages, tools=[ProviderTool({"type": "function"})]), "without tools"),
    ],
)
async def test_what_cannot_be_found_again_is_not_asked_for(shown: str, prompt: Prompt, why: str) -> None:
    model = Scripted([Finish("stop")])
    with pytest.raises(CannotContinue, match=why):
        await gone_on(model, Shown(shown), prompt)
    assert not model.prompts


def test_words_that_do_not_come_are_waited_for_five_seconds() -> None:
    times = iter((0.0, 1.0, 4.9, 5.1))
    anchor = Anchor(LONG, lambda: next(times))
    assert anchor.take(LONG[:20]) is None
    assert anchor.take(" ") is None
    with pytest.raises(CannotContinue, match="did not repeat"):
        anchor.take("x")

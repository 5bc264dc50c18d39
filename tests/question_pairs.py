"""Pairs of questions: traps, which look alike and ask for different things, and repeats, which ask for the same thing.

Each trap is one small step from a question that people ask: a word, a number, a unit, a name, a mark. Some are written
out, kind by kind; the others are made from patterns and lists of words. Repeats are written out as people type them,
with those that no rule is meant to find.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    """Two questions, and what kind of pair they are."""

    kind: str
    first: str
    second: str


def _list(words: str) -> list[str]:
    return words.split()


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


CHANGES = {
    "units": """kilometers miles meters feet inches centimeters yards pounds kilograms grams ounces tonnes tons liters
        gallons pints seconds minutes hours days weeks months years bytes bits kilobytes megabytes gigabytes degrees
        radians volts amps watts joules calories""",
    "names": """France Germany Austria Australia Spain
        Portugal Iran Iraq Ireland Iceland Niger Nigeria Slovakia Slovenia
        Sweden Switzerland Korea Mali Malta Dominica Guyana Guinea Georgia Jordan Turkey Chad Cuba Peru Chile China""",
    "people": """Einstein Newton Darwin Plato Socrates Aristotle Mozart Beethoven Bach Picasso Monet
        Manet Curie Tesla Edison""",
    "languages": "Python Java JavaScript Ruby Rust Go C C++ C# R Perl PHP Swift Kotlin Scala Haskell Lua Dart SQL Bash",
    "adjectives": """old new big small tall short fast slow hot cold deep shallow strong weak cheap expensive safe
        dangerous rich poor common rare early late long wide high low heavy light""",
    "prepositions": "in on at to from with without by before after above below under over for against through near",
    "months": "January February March April May June July August September October November December",
    "days": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "questions": "who what when where why how which",
}
"""Words that stand in one place of a question; any two of a kind make two questions."""

FRAMES = {
    "units": ["How many {} are there in 3 acres?", "Convert 5 miles to {}."],
    "names": ["What is the capital of {}?", "How do I get a visa for {}?"],
    "people": ["What did {} discover?", "How old was {} in his best year?"],
    "languages": ["How do I sort a list in {}?", "In {}, how do I read a file?"],
    "adjectives": ["How {} is a whale?", "Why are {} cars sold?"],
    "prepositions": ["What is {} the house?", "How do I travel {} a train?"],
    "months": ["What is the weather like in {}?"],
    "days": ["Is the bank open on {}?"],
    "questions": ["{} is the largest bank founded?"],
}

NOUNS = _lines(
    """dog|dogs
    cat|cats
    neuron|neurons
    planet|planets
    star|stars
    virus|viruses
    network|networks
    database|databases
    computer|computers
    tree|trees
    car|cars
    book|books
    galaxy|galaxies
    molecule|molecules
    enzyme|enzymes
    robot|robots
    server|servers
    website|websites
    volcano|volcanoes
    matrix|matrices
    child|children
    mouse|mice
    foot|feet
    bacterium|bacteria
    person|people"""
)
"""A singular and its plural."""

VERBS = _lines(
    """works|worked|working
    starts|started|starting
    grows|grew|growing
    changes|changed|changing
    sleeps|slept|sleeping
    moves|moved|moving
    sinks|sank|sinking
    breaks|broke|breaking
    burns|burned|burning
    flies|flew|flying"""
)
"""The same verb in three forms."""

ASKED = _lines(
    """What is the boiling point of water?
    How do I bake bread without yeast?
    Why do leaves change their color in autumn?
    Can dogs eat grapes?
    How does a jet engine produce thrust?
    What are the symptoms of iron deficiency?
    Who painted the ceiling of the Sistine Chapel?
    When was the first email sent?
    Is it legal to record a phone call in Texas?
    How long does it take to learn the piano?
    Explain how vaccines work.
    What is the difference between a virus and a bacterium?
    How do I sort a list of dictionaries by a key in Python?
    Which countries border Switzerland?
    Should I invest in bonds or in stocks?
    Where does the Amazon river begin?
    How much water should an adult drink a day?
    Describe the water cycle for a child of 8.
    What happens to the body after a marathon?
    Does coffee raise blood pressure?
    Give me three ideas for a birthday party.
    Are tomatoes fruits or vegetables?
    How can I improve my running speed?
    What did the Romans eat for breakfast?
    Why was the Berlin Wall built?
    How do plants make oxygen?
    Compare electric cars with diesel cars.
    Could a human live on Mars?
    How is glass made from sand?
    What causes the northern lights?
    Do bees sleep at night?
    Who wrote the first dictionary?
    Tell me about the history of the bicycle.
    What size should a chicken coop have?
    Would a magnet work in space?
    List the rivers of France.
    How do I remove a stain of red wine?
    What's the tallest building in Europe?
    Were dinosaurs warm blooded?
    How far is the moon from the earth?"""
)
"""Questions as people ask them, each the source of many traps."""

INSERTED = _list(
    "not never only the also often possibly all no more less two best old really my other still first every"
)
"""A word that changes a question wherever it is added."""


def repeats() -> list[Pair]:
    """Pairs that a cache might answer alike: those above, and questions as other people would type them."""
    found = list(_read("question_repeats.txt"))
    for question in ASKED:
        bare = question.rstrip("?.")
        begin = question[0].lower() + question[1:]
        found += [
            Pair("no capital, no mark", question, bare[0].lower() + bare[1:]),
            Pair("all small, no mark", question, bare.lower()),
            Pair("a greeting", question, f"Hi, {begin}"),
            Pair("a greeting", question, f"Hello! {question}"),
            Pair("please", question, f"{bare}, please{question[-1]}"),
            Pair("spaces", question, f"  {question.replace(' of ', '  of ')} "),
            Pair("two marks", question, f"{bare}??"),
            Pair("thanks", question, f"{question} Thanks!"),
        ]
    return [pair for pair in found if pair.first != pair.second]


def traps() -> list[Pair]:
    """Pairs that must not meet, each once."""
    found = {
        frozenset(pair[1:]): pair
        for pair in itertools.chain(_written(), _changed(), _grown(), _taken_for_has(), _counted())
    }
    return list(found.values())


def _read(name: str) -> Iterator[Pair]:
    """The pairs of a file, one a line, below the name of their kind; what cannot be seen is escaped as in Python."""
    kind = "written"
    for line in (Path(__file__).parent / name).read_text("utf-8").splitlines():
        if line.startswith("# "):
            kind = line[2:]
        elif line:
            line = line.encode("ascii", "backslashreplace").decode("unicode_escape") if "\\" in line else line
            first, bar, second = line.partition(" | ")
            assert bar, line
            yield Pair(kind, first, second)


def _written() -> Iterator[Pair]:
    yield from _read("question_traps.txt")
    for space in "\n\t\r\v\f\u2028\u2029\x00\x1c\x85":
        yield Pair("line breaks", f"What is a{space}cat?", "What is a cat?")


def _changed() -> Iterator[Pair]:
    for kind, listed in CHANGES.items():
        for frame in FRAMES[kind]:
            for first, second in itertools.combinations(listed.split(), 2):
                yield Pair(kind, frame.format(first), frame.format(second))
    for line in NOUNS:
        singular, plural = line.split("|")
        for frame in ("What is the size of the {}?", "How does the {} of a farm grow?", "Explain {} to me."):
            yield Pair("plural", frame.format(singular), frame.format(plural))
            yield Pair("genitive", frame.format(f"{singular}'s"), frame.format(plural))
        yield Pair("the", f"What is the {singular}?", f"What is a {singular}?")
        yield Pair("the", f"What is the {singular}?", f"What is {singular}?")
        yield Pair("the", f"How do I find the {plural}?", f"How do I find {plural}?")
    for line in VERBS:
        for first, second in itertools.combinations(line.split("|"), 2):
            for frame in ("Who knows what {} best?", "Why is it that nothing {} here?"):
                yield Pair("tense", frame.format(first), frame.format(second))


def _grown() -> Iterator[Pair]:
    """Questions with one word more, one less, and two that have changed their places."""
    for number, question in enumerate(ASKED):
        tokens = question.split()
        for place in range(1, len(tokens)):
            new = INSERTED[(number + place) % len(INSERTED)]
            yield Pair("a word more", question, " ".join([*tokens[:place], new, *tokens[place:]]))
            less = [*tokens[:place], *tokens[place + 1 :]]
            if tokens[place] not in ("a", "an"):
                yield Pair("a word less", question, " ".join(less))
            if place > 1 and not {"a", "an"} & {*tokens[place - 1 : place + 1]}:
                swapped = [*tokens[: place - 1], tokens[place], tokens[place - 1], *tokens[place + 1 :]]
                yield Pair("words swapped", question, " ".join(swapped))
            if tokens[place].isalpha() and tokens[place].islower() and len(tokens[place]) > 3:
                other = tokens[place][:-1] if tokens[place].endswith("s") else tokens[place] + "s"
                yield Pair("one letter", question, " ".join([*tokens[:place], other, *tokens[place + 1 :]]))
                capital = tokens[place].capitalize()
                yield Pair("a capital", question, " ".join([*tokens[:place], capital, *tokens[place + 1 :]]))
                upper = tokens[place].upper()
                yield Pair("capitals", question, " ".join([*tokens[:place], upper, *tokens[place + 1 :]]))


def _taken_for_has() -> Iterator[Pair]:
    """Contractions that stand for *has*, and the same words with *is*."""
    regular = (
        "changed asked killed promised elected invited called loved finished moved hated chosen beaten eaten taken"
    )
    irregular = (
        "bought caught left lost found made kept told sold built hurt shot cut put thrown known torn born struck"
    )
    for participle in _list(f"{regular} {irregular} forgotten withdrawn sprung overcome undone upheld rebuilt"):
        for subject in ("Who", "What", "It", "He", "She", "That"):
            yield Pair("has or is", f"{subject}'s {participle} by now?", f"{subject} is {participle} by now?")
        yield Pair("has or is", f"Who's never {participle}?", f"Who is never {participle}?")


def _counted() -> Iterator[Pair]:
    """Numbers, versions, dates and powers."""
    numbers = _list(
        "1 2 3 10 11 12 15 20 21 100 101 110 1000 1001 -1 -10 0 0.1 0.5 1.0 1.5 1.50 10.0 1e3 1/2 1/3 2:1 5%"
    )
    for first, second in itertools.combinations(numbers, 2):
        yield Pair("numbers", f"What is {first} times 7?", f"What is {second} times 7?")
    versions = _list("3 3.1 3.10 3.1.0 3.11 v3 v3.1 3.1a 3.1-rc1 31 2")
    for first, second in itertools.combinations(versions, 2):
        yield Pair("versions", f"What is new in Python {first}?", f"What is new in Python {second}?")
    for digit, power in zip("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True):
        yield Pair("powers", f"What is 2{digit}?", f"What is 2{power}?")
        yield Pair("powers", f"What is x{digit} plus 1?", f"What is x{power} plus 1?")
    for digit, low in zip("0123456789", "₀₁₂₃₄₅₆₇₈₉", strict=True):
        yield Pair("indices", f"What is x{digit}?", f"What is x{low}?")
    for digit, circled in zip("123456789", "①②③④⑤⑥⑦⑧⑨", strict=True):
        yield Pair("circles", f"What is step {digit}?", f"What is step {circled}?")
    for plain, fraction in zip(("1/4", "1/2", "3/4", "1/3", "2/3"), "¼½¾⅓⅔", strict=True):
        yield Pair("fractions", f"What is {plain} of 12?", f"What is {fraction} of 12?")
        yield Pair("fractions", f"What is 1{plain}?", f"What is 1{fraction}?")
    for latin, other in zip("aceopxyABEKMHOPCTX", "асеорхуАВЕКМНОРСТХ", strict=True):
        yield Pair("lookalikes", f"What is {latin}?", f"What is {other}?")
        yield Pair("lookalikes", f"Who is {latin}nna?", f"Who is {other}nna?")
    words = _list("two three four five six seven eight nine ten")
    for first, second in itertools.combinations(words, 2):
        yield Pair("number words", f"Name {first} rivers in Asia.", f"Name {second} rivers in Asia.")
    for number, word in enumerate(words, 2):
        yield Pair("number words", f"Name {word} rivers.", f"Name {number + 1} rivers.")
        yield Pair("number words", f"Who is number {word}?", f"Who is number {number}?")

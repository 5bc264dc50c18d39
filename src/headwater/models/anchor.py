"""The prompt way: a model is asked to repeat the last words and to go on; without them nothing is accepted.

For providers that continue no message that was begun. To guess an overlap eats words, or doubles them. So the words to
be repeated, the anchor, are long enough to occur once, and only their repetition may come before what follows.
"""

import re
import time
from collections.abc import Callable
from contextlib import aclosing

import msgspec

from headwater.errors import CannotContinue
from headwater.events import Finish
from headwater.models.continuation import Events, healed
from headwater.models.model import Model, Shown
from headwater.models.prefill import allows, prefilled
from headwater.prompt import Message, Prompt

_LEAST, _LONG, _MOST = 12, 40, 240
"""Characters of an anchor: fewer identify no place, as many are asked for, and more are too long to wait for."""
_UNIQUE = 4000  # characters before the break, in which an anchor occurs once
_HELD, _SECONDS = 320, 5.0
"""Characters and seconds after which an anchor that has not come is not waited for any more."""

_ALIKE = {
    **dict.fromkeys("“”„‟«»″", '"'),
    **dict.fromkeys("‘’‚‛′´`", "'"),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys("\u200b\u2060\ufeff", ""),
    "…": "...",
}
_FENCE = re.compile(r"'''[\w+-]* ?")
_PREAMBLE = re.compile(
    r"(?:(?:sure|certainly|of course|okay|ok|no problem|got it|absolutely|understood)\b[^.:!]{0,80}[.:!] ?)?"
    r"(?:(?:here|continuing|picking up|resuming|let me|i'll)\b[^.:!]{0,100}[.:!] ?)?(?:-+ )?",
    re.IGNORECASE,
)
_REQUEST = (
    "My connection dropped while your message was arriving. What I have of it ends with these words:\n\n{anchor}\n\n"
    "Please send me the rest. Begin with exactly these words once more, so that I can put the two together, and go "
    "straight on from there, without any remark."
)


class Folded:
    """A text with white space, quotes and dashes as one of each kind, since models change them, and where each was."""

    def __init__(self, text: str) -> None:
        characters: list[str] = []
        self.places: list[int] = []
        """The place in the text of each character of the folded one."""
        for place, character in enumerate(text):
            if character.isspace():
                if not characters or characters[-1] == " ":
                    continue
                character = " "
            for each in _ALIKE.get(character, character):
                characters.append(each)
                self.places.append(place)
        self.text = "".join(characters)


class Anchor:
    """The last words of a text, and what follows them in a text that repeats them. Raises `CannotContinue` without any.

    `now` is a clock in seconds.
    """

    def __init__(self, text: str, now: Callable[[], float] = time.monotonic) -> None:
        whole = text.rstrip()
        recent = whole[-_UNIQUE:]
        folded = Folded(recent)
        start = next((start for start in _starts(folded.text) if folded.text.count(folded.text[start:]) == 1), None)
        if start is None:
            raise CannotContinue("the last words shown are too few, or repeat what stands before them")
        self.words = recent[folded.places[start] :]
        """As they were shown."""
        self._wanted = folded.text[start:]
        self._before = folded.text[:start].rstrip()
        self._in_code = text.count("```") % 2 == 1
        self._blanks = text[len(whole) :]
        self._now = now
        self._since: float | None = None
        self._held = ""

    def take(self, text: str) -> str | None:
        """What follows the anchor; None while that may still come. Raises `CannotContinue`."""
        self._held += text
        self._since = self._now() if self._since is None else self._since
        folded = Folded(self._held)
        found = folded.text.find(self._wanted)
        if found >= 0:
            if not self._may_precede(folded.text[:found]):
                raise CannotContinue("the model wrote something else before it repeated the last words")
            rest = self._held[folded.places[found + len(self._wanted) - 1] + 1 :]
            blanks = self._blanks
            if rest != blanks and blanks.startswith(rest):
                return None  # the white space that was shown may still come
            common = next(n for n in range(len(blanks), -1, -1) if rest.startswith(blanks[:n]))
            return rest[common:]
        if len(self._held) > _HELD or self._now() - self._since > _SECONDS:
            raise CannotContinue(f"the model did not repeat the last words: {self._held[:40]!r}")
        return None

    def _may_precede(self, lead: str) -> bool:
        """Whether what comes before the anchor is nothing new: what was shown there, or known words about it."""
        for begun in {0, _end(_PREAMBLE, lead, 0)}:
            for opened in {begun, _end(_FENCE, lead, begun) if self._in_code else begun}:
                if self._before.endswith(lead[opened:].lstrip(" .").rstrip()):
                    return True
        return False


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start


def _starts(text: str) -> list[int]:
    """Where an anchor may begin, the shortest first: at a word, or anywhere in a script without blanks."""
    first = max(0, len(text) - _MOST)
    places = range(len(text) - _LONG, first - 1, -1) if len(text) > _LONG else [0] if len(text) >= _LEAST else []
    words = [place for place in places if place == 0 or text[place - 1] == " "]
    return words if words and words[0] > len(text) - 2 * _LONG else [place for place in places if text[place] != " "]


async def go_on_by_prompt(model: Model, prompt: Prompt, shown: Shown) -> Events:
    """The events that follow what was shown, of a model that is asked for them in the user's own words.

    As `Continues.go_on`; the model may be another than the one that broke off. Raises `CannotContinue`.
    """
    if prompt.kind == "completion" or not allows(prompt):
        raise CannotContinue("only a chat without tools, and without a form of its answer, can be asked to go on")
    anchor, limit = Anchor(shown.text), prompt.parameters.max_tokens
    if limit is not None:
        if limit <= shown.pieces:
            yield [Finish("length")]
            return
        limit -= shown.pieces * (len(shown.text) - len(anchor.words)) // len(shown.text)
    begun = prefilled(prompt, "trailing", shown.text.rstrip())
    messages = [*begun.messages, Message("user", _REQUEST.format(anchor=anchor.words))]
    parameters = msgspec.structs.replace(prompt.parameters, max_tokens=limit)
    asked = msgspec.structs.replace(begun, messages=messages, parameters=parameters)
    async with aclosing(healed(model.stream(asked), anchor.take)) as rest:
        async for batch in rest:
            yield batch

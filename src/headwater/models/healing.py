"""Healing: a provider repeats the last word of what was shown, and the repetition is taken away. Pure.

A model goes on exactly only behind one of its tokens, and nobody outside knows where those end: behind a part of a word
it writes broken words. So the provider gets the text up to the end of an earlier word, and must write the piece that
follows once more. A provider that begins the answer anew does not write that piece, which tells it from others.
"""

import unicodedata

from headwater.errors import CannotContinue

_REACH = 160  # characters from the end, within which a piece may begin
_NEAR = 24  # without the end of a word so near, as in scripts without blanks, a piece may begin within one
_WHOLE = 64  # a text as short as this may be asked for once more as a whole


def places(text: str, *, known: bool) -> list[int]:
    """Where the piece that must come again may begin, the best place first; 0 asks for the whole text once more.

    The place is the end of a word: every tokenizer parts words from what follows them. Unless the provider is `known`
    to go on, the piece is one with which the text itself does not begin.
    """
    ends = [
        place
        for place in range(len(text) - 1, max(0, len(text) - _REACH), -1)
        if _is_word(text[place - 1]) and not _is_word(text[place])
    ]
    if len(text) - (ends[0] if ends else 0) > _NEAR:
        ends = [place for size in (4, 8, 16) if (place := _apart(text, len(text) - size)) > 0] + ends
    if not known:
        anew = text.lstrip()
        ends = [place for place in ends if not anew.startswith(text[place:].lstrip())]
    return ends + ([0] if len(text) <= _WHOLE else [])


def _is_word(character: str) -> bool:
    """Whether a character is part of a word: a letter, a digit, or a mark or joiner that belongs to one."""
    kind = unicodedata.category(character)
    return kind[0] in "LNM" or kind == "Cf"


def _apart(text: str, place: int) -> int:
    """The place, or the next one before it that is not within a character of several code points."""
    while place > 0 and (unicodedata.category(text[place])[0] in "MC" or text[place - 1] == "\u200d"):
        place -= 1
    return place


class Seam:
    """Takes the repeated piece away from the beginning of a continuation, in whatever pieces that comes."""

    def __init__(self, *wanted: str) -> None:
        self._wanted = wanted
        self._held = ""

    def take(self, text: str) -> str | None:
        """What follows the repeated piece; None while that may still come. Raises `CannotContinue`."""
        self._held += text
        for wanted in self._wanted:
            if self._held.startswith(wanted):
                return self._held[len(wanted) :]
        if not any(wanted.startswith(self._held) for wanted in self._wanted):
            raise CannotContinue(f"the model goes on with other words than the last ones shown: {self._held[:40]!r}")
        return None

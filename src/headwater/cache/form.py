"""The normal form of a question: equal for two wordings of one question, different for any two questions. Pure.

Everything counts letter for letter, except what a rule below changes, and a rule changes only words of `words.py`. So a
name, a number, a unit, a tense or the order of words always counts. Code, quotes, URLs, paths and versions are words
that no rule knows. Two questions that differ in a word which no rule knows have two forms.
"""

import re
import unicodedata

from headwater.cache import words

FORM = "form 1"
"""Raise it when a form changes: a server then finds no answers under forms that an earlier version made."""

MAX = 300
"""Characters of a question at most."""

# As texts, which `re` compiles for the first question that is matched by its form: no other server waits for it.
_SPAN = r"""(?i)`[^`]+`|"[^"]*"|“[^“”]*”|«[^«»]*»|(?<![\w'’])['‘][^'‘’]*['’](?![\w'’])|\b(?:[a-z]+://|www\.)\S+"""
"""What is kept as it is, whatever is in it."""
_MARK = "\ue000"  # stands for a span; a text that has one already is refused
_CODE = r"""[{}\[\]<>|\\=;`"“”«»…]|\w\(|:\ |\b(?:SELECT|INSERT|UPDATE|DELETE) """
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_FOLDED = "[\u00a0\u2000-\u200a\u202f\u3000\ufb00-\ufb06\uff01-\uffef]"
_OWN = r"""(?ix)\b(?:regular\ expression|^reverse|(?:upper|lower)\ case
    |(?:this|following|my|above)\ (?:question|text|line|string|input|name)
    |in\ (?:french|german|spanish|italian|japanese|chinese|korean|russian|arabic|hindi|portuguese|latin|dutch|polish
    |turkish|swedish|greek|english|mandarin|hebrew|danish|norwegian|finnish|czech))\b"""
"""What asks about its own wording, or may, beside words in `words.OWN`."""

_WORD = r"(\(?)([A-Za-z]+(?:'[a-z]+)?)([,.?!:)]*)"
_GREETING = (
    r"(?i)(?:(?:hi|hello|hey)(?: there)?|good (?:morning|afternoon|evening)|greetings)( ?[,!.]| -)? (?=([a-z']+))"
)
_LAST_PLEASE = r"(?:(,)| ([A-Za-z]+)) please[.?!]?$"
_YOU = r"((?:can|could|would|will) you),? please,? (?=([a-z]+))"
_YOU_BEGINS = ("can you ", "could you ", "would you ", "will you ")
_PHRASE = r"([Ii]n|[Uu]sing) (\S+?)(,?) ([A-Za-z']+) (.+)"


def form(text: str) -> str | None:
    """The normal form of a question; None for one that is only ever the same as itself.

    That is a question of more than `MAX` characters or one paragraph, with code outside of backticks, with invisible
    characters, or about its own wording. A form is its own form.
    """
    text = text.strip()
    for _ in range(6):
        formed = _step(text)
        if formed is None or formed == text:
            return formed
        text = formed
    return None


def _step(text: str) -> str | None:
    """A question with each rule applied once; None if it has no form."""
    if not 0 < len(text) <= MAX or not (text.isprintable() or _is_visible(text)):
        return None
    spans: list[str] = []

    def keep(span: re.Match[str]) -> str:
        spans.append(span[0])
        return _MARK

    text = re.sub(_SPAN, keep, text)
    if not text.isascii() and (text := _composed(text)) == "":
        return None
    text = " ".join(text.split())
    if re.search(_CODE, text) or _is_about_itself(text):
        return None
    text = _english(text)
    kept = iter(spans)
    return re.sub(_MARK, lambda _: next(kept), text)


def _composed(text: str) -> str:
    """A text in NFC, of NFKC only what the width of letters changes; empty if that may be what is asked about."""
    for decomposed in map(unicodedata.decomposition, text):
        if decomposed[:1] not in ("", "<") and " " not in decomposed:
            return ""  # a character that stands for another one, such as the ohm sign for omega
    wide = re.findall(_FOLDED, text)
    if any(each.isalnum() for each in wide) and re.search(r"[A-Za-z0-9]", text):
        return ""
    text = re.sub(_FOLDED, lambda found: unicodedata.normalize("NFKC", found[0]), unicodedata.normalize("NFC", text))
    return text.replace("’", "'")


def _is_visible(text: str) -> bool:
    """Whether a text has no line break, and no character that is invisible or that Unicode does not know."""
    return not any(unicodedata.category(each) in _INVISIBLE for each in text)


def _is_about_itself(text: str) -> bool:
    """Whether a question is about words, its own or others, so that each letter may matter."""
    said = _bare(text)
    return (
        not said.isdisjoint(words.OWN)
        or any(each.startswith(words.OWN_STEMS) for each in said)
        or bool(re.search(_OWN, text))
    )


def _bare(text: str) -> set[str]:
    """The words of a text without case and punctuation."""
    return {each.strip(".,?!:()'").removesuffix("'s") for each in text.lower().split(" ")}


def _english(text: str) -> str:
    """A question by the rules for English; one in another language has hardly a word that they know."""
    text = _without_courtesies(text)
    text = _unfronted(text)
    tokens = _unended(_spelled(text.split(" ")))
    if tokens[0] in words.OPENING and text.isascii():
        tokens = [each for place, each in enumerate(tokens) if not _is_idle_article(tokens, place)]
    return " ".join(tokens)


def _without_courtesies(text: str) -> str:
    """A question without the greeting in front of it, and without *please* where that asks for nothing."""
    while found := re.match(_GREETING, text):
        word = found[2].lower()
        begins = word in words.OPENING or word == "please"
        divided = found[1] or (word not in words.AUXILIARIES and " it" not in text)
        if not (begins and divided) or re.search(r"\bmean", text):  # “Hello, what does it mean?”
            break
        text = text[found.end() :]
    first, _, rest = text.partition(" ")
    if first.rstrip(",").lower() == "please" and (begin := rest.partition(" ")[0].lower()) in words.OPENING:
        return rest if begin in words.BIDDING or rest[:20].lower().startswith(_YOU_BEGINS) else text
    if (found := re.match(_YOU, text)) and found[2] in words.BIDDING:
        text = f"{found[1]} {text[found.start(2) :]}"
    if (found := re.search(_LAST_PLEASE, text)) and text.count(",") <= (1 if found[1] else 0):
        first = text.partition(" ")[0].lower()
        asked = first in words.BIDDING or text.lower().startswith(_YOU_BEGINS)
        if (found[1] and first in words.OPENING) or (asked and found[2] and found[2] not in words.FUNCTION):
            text = text[: found.start()] + (f" {found[2]}" if found[2] else "")
    return text


def _unfronted(text: str) -> str:
    """`In Python, how …` as `how … in Python`."""
    found = re.fullmatch(_PHRASE, text)
    if found is None:
        return text
    preposition, place, comma, first, rest = found.groups()
    asked = first.lower() in (words.ASKING | words.AUXILIARIES)
    if not asked or place.lower() not in words.PLACES or (not comma and place.lower() in ("c", "go", "r")):
        return text
    *begin, last = _unended([first.lower(), *rest.split(" ")])
    between = {each.strip(",()").lower() for each in [*begin[1:], last]}
    if re.search(r"[?!:]|\.$|\. ", " ".join([*begin, last])) or between & words.ATTACHING:
        return text
    return " ".join([*begin, last, preposition.lower(), place])


def _spelled(tokens: list[str]) -> list[str]:
    """The tokens with the words that have one more spelling, or are contracted, in the one that is ours."""
    plain = _bare(" ".join(tokens))
    technical = not plain.isdisjoint(words.TECHNICAL)
    regional = technical or not plain.isdisjoint(words.REGIONS | words.PLACES)
    spoken_of = bool(plain & words.ABOUT_WORDS)
    programming, coding = bool(plain & words.PROGRAMMING), bool(plain & words.CODING)
    made: list[str] = []
    for place, token in enumerate(tokens):
        found = re.fullmatch(_WORD, token)
        if found is None:
            made.append(token)
            continue
        before, word, after = found.groups()
        following = tokens[place + 1] if place + 1 < len(tokens) and not after else ""
        if (place == 0 or re.search(r"[a-z]{3}[.?!]$", tokens[place - 1])) and _begins(word, following):
            word = word[0].lower() + word[1:]
        if word[0].isupper() and word[1:].islower():
            name, quote, rest = word.partition("'")
            named = not technical and name.lower() in words.NAMES
            coded = programming or (coding and place and tokens[place - 1].lower() in ("in", "using"))
            if named or (coded and name.lower() in words.LANGUAGES):
                word = name.lower() + quote + rest
        if word == "i" and _is_pronoun(made, following):
            word = "I"
        named_itself = (spoken_of and place > 0) or (bool(made) and made[-1] in words.NAMING)
        word = _full(word, following, named_itself)
        if not regional and (other := _american(word)) not in plain:
            word = other
        if word in words.NUMBERS and not after and not before and _counts(made, following):
            word = words.NUMBERS[word]
        made.append(before + word + after)
    return made


def _begins(word: str, following: str) -> bool:
    """Whether a word may have its capital letter from the beginning of a sentence alone."""
    lower = word.lower()
    if word[1:] != lower[1:]:
        return False
    if lower in ("will", "may"):
        return following in words.PRONOUNS or following in ("I", "the", "there", "this", "my")
    if lower in words.BIDDING and (not following or following in words.BEHIND_NOUNS):
        return False
    return lower in words.OPENING or lower.removesuffix("'s") in words.ASKING or lower in words.CONTRACTIONS


def _full(word: str, following: str, named_itself: bool) -> str:
    """A contraction in full, if it is certain which one."""
    if named_itself and following != "the":
        return word
    if word in words.CONTRACTIONS:
        return words.CONTRACTIONS[word].replace("_", " ")
    if word.endswith("'s") and word[:-2] in words.OF_BE and following[:1].isalnum():
        participle = following in words.PARTICIPLES or following.rstrip(".,?!").endswith(words.PARTICIPLE_ENDINGS)
        return word if participle else word[:-2] + " is"
    return word


def _american(word: str) -> str:
    if word in words.SPELLINGS:
        return words.SPELLINGS[word]
    if word in words.ANALYSE:
        return words.ANALYSE[word]
    stem, found, ending = word.rpartition("is")
    if found and stem in words.ISE and ending in ("e", "es", "ed", "er", "ing", "ation", "ations"):
        return f"{stem}iz{ending}"
    return word


def _counts(before: list[str], following: str) -> bool:
    """Whether a number word counts what follows it."""
    noun = following.rstrip(".,?!")
    plural = noun in words.COUNTED or (len(noun) > 3 and noun.endswith("s") and noun not in words.SINGULAR)
    number = bool(before) and (before[-1].isdigit() or before[-1] in words.NUMBERS or before[-1] in words.TENS)
    return plural and noun.islower() and noun.isalpha() and not number


def _is_pronoun(before: list[str], following: str) -> bool:
    """Whether `i` is *I* and no variable, which takes other forms of a verb."""
    if not following.isalpha() or following in ("and", "or", "j"):
        return False
    if before[-1:] == ["do"]:
        return following not in words.FUNCTION
    if following in ("am", "have", "want", "need"):
        return not before or before[-1] in ("if", "when", "what", "that", "because", "but", "since", "so")
    if before[-2:] == ["what", "should"] and following == "do":
        return True
    return before[-1:] in (["can"], ["should"], ["could"], ["would"]) and following in words.ACTS


def _unended(tokens: list[str]) -> list[str]:
    """A question without its end punctuation, where that is nothing else."""
    *before, last = tokens
    word = last[:-1]
    if last.endswith(".") and word.isalpha() and len(word) > 1 and word.lower() not in words.ABBREVIATIONS:
        return [*before, word]
    if not (last.endswith("?") and _is_question(before)):
        return tokens
    if not word:  # “AI ?”, and not “the meaning of ?”
        return before if before[-1].isalpha() and before[-1] not in words.FUNCTION and len(before[-1]) > 1 else tokens
    ends = word[-1].isalnum() or word[-1] in f"{_MARK}%)" or word.lower() in words.PLACES
    return [*before, word] if ends and "/" not in word else tokens


def _is_question(tokens: list[str]) -> bool:
    """Whether these words begin one single sentence that cannot be anything but a question."""
    first, second = (*tokens, "", "")[:2]
    if any(each[-1:] in ("?", "!", ".", ":") for each in tokens):
        return False
    if first in words.ASKING:  # “What I need is time.”, “How nice.” and “What a day.” are none
        return second not in words.PRONOUNS | {"I", "a", "an"} and (first != "how" or len(tokens) > 2)
    english = first not in ("do", "can") or second == "I" or not words.OURS.isdisjoint(tokens)
    return first in words.AUXILIARIES and english and len(tokens) > 1


def _is_idle_article(tokens: list[str], place: int) -> bool:
    """Whether a token is an *a* or *an* that its noun does not need to be understood."""
    if tokens[place] not in ("a", "an") or place == 0 or tokens[place - 1].lower() in words.BEFORE_LETTERS:
        return False
    for each in tokens[place + 1 : place + 4]:
        noun = each.rstrip(",.?")
        if noun in words.COUNTABLE:
            return True
        if not noun.isalpha() or not noun.islower() or noun in words.FUNCTION or noun != each:
            return False
    return False

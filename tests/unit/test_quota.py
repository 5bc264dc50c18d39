"""What an answer is charged with, without a server."""

from headwater.answers.continuing import closing
from headwater.answers.quota import tokens_of
from headwater.entries import record
from headwater.events import Continued, Finish, TextDelta, Usage
from headwater.offsets import Offset
from headwater.prompt import Message, Prompt

PROMPT = Prompt(model="", messages=[Message("user", "Recite.")])
ENTRIES = [record(Offset(1, 1), 0.0, TextDelta("word " * 100))]


def test_an_answer_whose_provider_counted_nothing_is_charged_by_its_length() -> None:
    """Also one that was continued, whose usage says only that."""
    whole, seam = Finish("stop"), Continued("provider", "prefill", "1-40", 1)
    continued = closing(whole, [seam])
    assert continued != whole
    assert tokens_of(PROMPT, continued, ENTRIES) == tokens_of(PROMPT, whole, ENTRIES) > 100
    assert tokens_of(PROMPT, Finish("stop", Usage(3, 4)), ENTRIES) == 7

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import ModelError
from headwater.models.embedded.fitting import Fitted, fit
from headwater.prompt import Message

conversations = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), st.text("x", max_size=8)), max_size=12
)


def letters(messages: Sequence[Message]) -> int:
    return sum(1 + len(message.content) for message in messages)


def turns_of(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if message.role != "system"]


def fit_or_none(messages: Sequence[Message], budget: int) -> Fitted | None:
    try:
        return fit(messages, letters, budget)
    except ModelError:
        return None


def test_a_chat_that_fits_is_kept_whole():
    chat = [Message("assistant", "hello"), Message("user", "hi")]
    assert fit(chat, letters, 100) == Fitted(chat, 0)


def test_the_oldest_turns_go_and_the_instructions_stay():
    chat = [
        Message("system", "s"),
        Message("user", "old"),
        Message("assistant", "old"),
        Message("user", "new"),
        Message("assistant", "new"),
        Message("user", "now"),
    ]
    assert fit(chat, letters, 14) == Fitted([chat[0], *chat[3:]], 2)


def test_a_kept_part_that_would_begin_with_an_answer_begins_with_the_next_question_instead():
    chat = [Message("user", "one"), Message("assistant", "two"), Message("user", "three")]
    assert fit(chat, letters, 10).kept == chat[2:]


def test_a_newest_message_that_is_too_long_alone_is_refused_with_its_length():
    with pytest.raises(ModelError, match="needs 11 tokens and the model can read 10") as refusal:
        fit([Message("user", "hi"), Message("user", "x" * 10)], letters, 10)
    assert (refusal.value.status, refusal.value.code) == (413, "context_length")


def test_counting_is_asked_for_a_handful_of_times_however_long_the_chat():
    calls = 0

    def counted(messages: Sequence[Message]) -> int:
        nonlocal calls
        calls += 1
        return letters(messages)

    fit([Message("user", "x")] * 1000, counted, 20)
    assert calls <= 12


@given(conversations, st.integers(0, 60))
def test_what_is_kept_is_the_instructions_and_the_newest_turns_within_the_budget(chat: list[Message], budget: int):
    fitted = fit_or_none(chat, budget)
    if fitted is None:
        return
    turns = turns_of(chat)
    assert letters(fitted.kept) <= budget
    assert fitted.kept == [m for m in chat if m.role == "system"] + turns[fitted.dropped :]
    assert not fitted.dropped or turns[fitted.dropped].role == "user"


@given(conversations, st.integers(0, 60))
def test_nothing_more_could_have_been_kept(chat: list[Message], budget: int):
    fitted = fit_or_none(chat, budget)
    turns = turns_of(chat)
    system = [message for message in chat if message.role == "system"]
    more = range(fitted.dropped if fitted else len(turns))
    fitting = [n for n in more if (n == 0 or turns[n].role == "user") and letters([*system, *turns[n:]]) <= budget]
    assert fitting == []


@given(conversations, st.integers(0, 60))
def test_fitting_what_was_fitted_changes_nothing(chat: list[Message], budget: int):
    fitted = fit_or_none(chat, budget)
    if fitted is not None:
        assert fit(fitted.kept, letters, budget) == Fitted(fitted.kept, 0)

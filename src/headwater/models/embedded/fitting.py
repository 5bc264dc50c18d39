"""Makes a long chat fit a model's context: the instructions and the newest turns stay, the oldest turns go.

Pure: what a token is, and how many a conversation takes, is the caller's to say.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from headwater.errors import RequestError


class Speaks(Protocol):
    """Anything that says whose turn it is: `system`, `user`, `assistant` or `tool`."""

    @property
    def role(self) -> str:
        """Who speaks."""
        ...


Turn = TypeVar("Turn", bound=Speaks)


class Fitted(NamedTuple, Generic[Turn]):
    """What is sent to the model, and how many of the oldest turns were left out of it."""

    kept: list[Turn]
    dropped: int


class TooLong(RequestError):
    """Even the newest message, alone with the instructions, is longer than the model can read."""

    code = "context_length"
    status = 413

    def __init__(self, tokens: int, budget: int) -> None:
        super().__init__(f"the newest message needs {tokens} tokens and the model can read {budget}: shorten it")
        self.tokens = tokens
        self.budget = budget


def fit(messages: Sequence[Turn], count: Callable[[Sequence[Turn]], int], budget: int) -> Fitted[Turn]:
    """Keep the system messages and as many of the newest turns as fit into `budget` tokens.

    A conversation that fits is kept as it is. Otherwise what is kept begins, after the system messages, with a user's
    turn: an answer without its question, or a tool's result without its call, misleads the model. System messages come
    first and keep their order. `count` gives the tokens of a whole conversation, and must not shrink when a turn is
    added; it is asked O(log n) times, since one count of everything costs less than many small ones.

    Raises `TooLong` when no such part of the conversation fits.
    """
    system = [message for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system"]
    if count([*system, *turns]) <= budget:
        return Fitted([*system, *turns], 0)
    beginnings = [place for place, turn in enumerate(turns) if turn.role == "user" and place > 0]
    # Fewer turns need fewer tokens, so "fits" is false for the early beginnings and true from one of them on.
    first = bisect_left(beginnings, True, key=lambda begin: count([*system, *turns[begin:]]) <= budget)
    if first == len(beginnings):
        newest = beginnings[-1] if beginnings else 0
        raise TooLong(count([*system, *turns[newest:]]), budget)
    return Fitted([*system, *turns[beginnings[first] :]], beginnings[first])

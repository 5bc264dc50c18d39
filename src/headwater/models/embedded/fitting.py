"""Makes a long chat fit a model's context: the system messages and the newest turns stay, the oldest turns go.

Pure: the caller counts the tokens.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from headwater.errors import ModelError
from headwater.prompt import Message


class Fitted(NamedTuple):
    """The turns for the model, and the number of older turns left out."""

    kept: list[Message]
    dropped: int


def fit(messages: Sequence[Message], count: Callable[[Sequence[Message]], int], budget: int) -> Fitted:
    """Keep the system messages and as many of the newest turns as fit into `budget` tokens.

    A conversation that fits is kept as it is. In a shortened one the first turn after the system messages is a user's:
    an answer without its question, or a tool result without its call, misleads the model. System messages come first
    and keep their order. `count` returns the tokens of a whole conversation and must not shrink when a turn is added.
    It is called O(log n) times, since one count of everything costs less than many small ones.

    Raises `ModelError` when no such part of the conversation fits.
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
        tokens = count([*system, *turns[newest:]])
        reason = f"the newest message needs {tokens} tokens and the model can read {budget}: shorten it"
        raise ModelError(reason, code="context_length", status=413)
    return Fitted([*system, *turns[beginnings[first] :]], beginnings[first])

"""A provider for a soak: each question has an answer of its own, and names the fault with which the answer comes."""

import asyncio
import re
from collections import Counter
from typing import Any

from upstream import Received, Upstream, following, respond

FAULTS: dict[str, dict[str, Any]] = {
    "(reset)": {"cut_after": 30, "cut": "rst"},
    "(eof)": {"cut_after": 50, "cut": "eof"},
    "(end)": {"cut_after": 20, "cut": "end"},
    "(stall)": {"silent_after": 40},
    "(529)": {"error_after": 10, "error": {"type": "overloaded_error", "code": 529, "message": "busy"}},
}
"""By a word of the question: how its first answer breaks off. The request that goes on with it is answered whole."""
REFUSED = "(429)"
"""The word of a question that is refused once."""
_NUMBER = re.compile(r"river (\d+)")


def question(number: int, fault: str = "") -> str:
    """A question that nobody else asks."""
    return f"What is river {number} like? {fault}".strip()


def tokens(number: int) -> list[str]:
    """The answer to the question of this number, in pieces of a few bytes each."""
    words = (f" bend {bend} of {number}, étang 長江 🏞️;" for bend in range(4 + number % 20))
    return re.findall(r"\s*\S+", f"River {number} has" + "".join(words))


def text(number: int) -> str:
    """The whole answer to the question of this number."""
    return "".join(tokens(number))


class Rivers(Upstream):
    """Answers by the number in the question, counts the calls of each, and keeps no request."""

    def __init__(self, pace: float) -> None:
        super().__init__(continues="flags", pace=pace)
        self.asked = Counter[int]()
        """How often each question was asked anew: requests that go on with an answer are not among them."""

    async def _answer(self, request: Received, number: int, writer: asyncio.StreamWriter) -> None:
        self.requests.clear()  # half an hour has a million
        asked = _number(request.body)
        if asked is None:  # the server tries out how an answer is continued
            await super()._answer(request, number, writer)
            return
        last: dict[str, Any] = request.body["messages"][-1]
        begins, said, answer = last["role"] == "user", str(last["content"]), tokens(asked)
        rest = answer if begins else following(answer, said)
        answering = Upstream(continues=self.continues, pace=self.pace, tokens=rest)
        if begins:
            self.asked[asked] += 1
            if REFUSED in said and self.asked[asked] == 1:
                await respond(writer, 429, {"error": {"message": "slow down"}}, {"Retry-After": "1"})
                return
            for word, fields in FAULTS.items():
                vars(answering).update(fields if word in said else {})
        else:
            answering.continues = None  # its tokens are what follows already
        await answering._answer(request, number, writer)


def _number(body: dict[str, Any]) -> int | None:
    """The number in the last question of a request, if the question is one of ours."""
    asked = [str(each["content"]) for each in body["messages"] if each["role"] == "user"]
    found = _NUMBER.search(asked[-1])
    return int(found[1]) if found else None

"""Quotas: what a tenant may use, how that is counted, and how it is told (the `RateLimit` fields of HTTP). Pure.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec

from headwater.answer import fold
from headwater.entries import Entry
from headwater.errors import OverLimit
from headwater.events import Ending, Error, Finish
from headwater.log.counters import SLOTS, Count, Taken
from headwater.prompt import Prompt, text_of

MINUTE, DAY = 60.0, 86_400.0
WAIT = 2.0
"""Seconds after which a client may ask again where as many answers run as may: when one ends is not known."""
PER_TOKEN = 4
"""Characters of a token, about, where the provider does not count them: also an answer that was stopped is charged."""


_Number = Annotated[int, msgspec.Meta(ge=0)]


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one tenant may use; 0: as much as it likes."""

    requests_per_minute: _Number = 0
    tokens_per_minute: _Number = 0
    tokens_per_day: _Number = 0
    cost_per_day: Annotated[float, msgspec.Meta(ge=0)] = 0
    """In US dollars."""
    generations: _Number = 0
    """Answers that are generated at once."""

    def asked(self, *, renews: bool = False) -> Sequence[Count]:
        """What a request is counted as before it is answered: one request, for which every other window has room.

        A renewal has been asked for by a request that was counted already.
        """
        return [
            Count(each.name, 0, each.window) if renews and each.asks else Count(each.name, each.asks, each.window, most)
            for each, most in self._limits()
        ]

    def charged(self, tokens: int, cost: float) -> Sequence[Count]:
        """What an answer is counted as, at its end."""
        amounts = {"tokens": tokens, "usd-cents": cost}
        limits = [each for each, _ in self._limits()]
        return [Count(each.name, amounts[each.unit], each.window) for each in limits if each.unit]

    def refusal(self, taken: Taken) -> OverLimit | None:
        """Why a request is refused; None if nothing was."""
        if not taken.refused:
            return None
        told = self.told(taken)
        if taken.refused == SLOTS:
            why = f"{self.generations} answers are being written for you, the most at once"
            return OverLimit(f"{why}; ask again when one has ended", retry_after=WAIT, fields=told)
        number, (limit, most) = next(
            (i, each) for i, each in enumerate(self._limits()) if each[0].name == taken.refused
        )
        wait = math.ceil(taken.resets[number])
        why = f"the limit of {most:g} {limit.what} is reached; ask again in {wait} s"
        if limit.window == DAY:  # nobody should wait for it
            return OverLimit(why, code="quota_exceeded", retryable=False, retry_after=wait, fields=told)
        return OverLimit(why, retry_after=wait, fields=told)

    def told(self, taken: Taken) -> Mapping[str, str]:
        """The header fields `RateLimit-Policy` and `RateLimit`."""
        policies: list[str] = []
        states: list[str] = []
        for (limit, most), used, reset in zip(self._limits(), taken.used, taken.resets, strict=True):
            scale = 100 if limit.unit == "usd-cents" else 1
            unit = f';qu="{limit.unit}"' if limit.unit else ""
            policies.append(f'"{limit.name}";q={round(most * scale)};w={limit.window:.0f}{unit}')
            states.append(f'"{limit.name}";r={max(math.floor((most - used) * scale), 0)};t={math.ceil(reset)}')
        if self.generations:
            policies.append(f'"generations";q={self.generations};qu="concurrent-requests"')
            states.append(f'"generations";r={max(self.generations - taken.held, 0)}')
        return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}

    def _limits(self) -> Sequence[tuple["_Limit", float]]:
        return [(each, most) for each, most in zip(_LIMITS, msgspec.structs.astuple(self), strict=False) if most]


class _Limit(NamedTuple):
    name: str
    window: float
    what: str
    unit: str = ""
    asks: int = 0


_LIMITS = (
    _Limit("requests", MINUTE, "requests a minute", asks=1),
    _Limit("tokens", MINUTE, "tokens a minute", "tokens"),
    _Limit("tokens-day", DAY, "tokens a day", "tokens"),
    _Limit("cost-day", DAY, "US dollars a day", "usd-cents"),
)
"""In the order of the fields of `Quota`."""
REQUESTS = _LIMITS[0].name


class Allowance(msgspec.Struct, frozen=True):
    """What the operator allows; 0: no limit."""

    quota: Quota = Quota()
    of_tenants: Mapping[str, Quota] = {}
    """Quotas of tenants that have one of their own."""
    generations: int = 0
    """Answers that one process generates at once."""
    messages: int = 0
    """Messages in a request."""
    message: int = 0
    """Bytes of a message as JSON, its files included."""

    def of(self, tenant: str) -> Quota | None:
        """The quota of a tenant; None if it has no limit."""
        quota = self.of_tenants.get(tenant, self.quota)
        return None if quota == _NONE else quota


_NONE = Quota()


def tokens_of(prompt: Prompt, ending: Ending, entries: Sequence[Entry]) -> int:
    """The tokens of an answer as its provider counted them, or else by its length; none for a failure at once."""
    usage = ending.usage if isinstance(ending, Finish) else None
    if usage is not None and (counted := usage.input_tokens + usage.output_tokens):  # after a seam there is one
        return counted
    answer = fold(entries)
    said = len(answer.text) + len(answer.reasoning) + sum(len(tool.arguments) for tool in answer.tools)
    if isinstance(ending, Error) and not said:
        return 0
    return math.ceil((said + sum(len(text_of(message)) for message in prompt.messages)) / PER_TOKEN)

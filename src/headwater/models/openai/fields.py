"""Which fields of a request a provider takes: compatible servers refuse some that OpenAI's own clients always send."""

import re
from collections.abc import Mapping
from typing import Any

from headwater.prompt import CARRIED

_LIMITS = ("max_tokens", "max_completion_tokens")
"""Two names of one limit: OpenAI's reasoning models refuse the first, many compatible servers the second."""
_NO_EFFECT: dict[str, Any] = {"n": 1, "best_of": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}
"""Values with which a field says nothing."""
_MOST = 256  # models whose fields are remembered; callers may think of any number of names
_UNKNOWN = re.compile(
    r"un(?:known|supported|recogni[sz]ed|expected)|not (?:supported|permitted|allowed|recogni[sz]ed|accepted)|extra"
    r"|only allowed when"
    r"|additional propert|does(?:n't| not) (?:support|accept|recogni[sz]e|allow)|invalid (?:field|parameter|argument)",
    re.IGNORECASE,
)
_ROLE = re.compile(
    r"\brole\b\W+\w+", re.IGNORECASE
)  # in a refusal `user` is nearly always a role, and rarely the field


class Fields:
    """What is known of one provider: the name of its limit, and fields that it has refused, by model.

    Only fields that change no answer are left out: `stream_options`, which asks for token counts, those of `CARRIED`,
    and fields with the value that is their default anyway. `leave_out` are names that the operator does not want to be
    sent.
    """

    def __init__(self, is_openai: bool = False, leave_out: frozenset[str] = frozenset()) -> None:
        self._limit = _LIMITS[1] if is_openai else _LIMITS[0]
        self._leave_out = leave_out
        self._refused: dict[str, set[str]] = {}

    def adapted(self, body: Mapping[str, Any], *, chat: bool) -> dict[str, Any]:
        """The body with the fields that the provider takes, and the limit under its name there."""
        refused = self._refused.get(str(body.get("model")), set())
        limit = self._limit
        if limit in refused:
            limit = next((name for name in _LIMITS if name not in refused), limit)
        fields: dict[str, Any] = {}
        for name, value in body.items():
            if name in self._leave_out or (name in refused and _is_dispensable(name, value)):
                continue
            fields[limit if chat and name in _LIMITS and limit not in body else name] = value
        return fields

    def learn(self, status: int, message: str, sent: Mapping[str, Any]) -> bool:
        """Remember the fields that a refusal names as unknown; whether asking once more without them may help."""
        if status not in (400, 422) or not _UNKNOWN.search(message):
            return False
        if len(self._refused) >= _MOST:
            self._refused.clear()
        refused = self._refused.setdefault(str(sent.get("model")), set())
        message = _ROLE.sub("", message)
        named = {
            name
            for name, value in sent.items()
            if (name in _LIMITS or _is_dispensable(name, value)) and re.search(rf"(?<![\w/]){name}(?![\w/])", message)
        }
        new = named - refused
        refused |= new
        return bool(new) and not refused.issuperset(_LIMITS)


def _is_dispensable(name: str, value: Any) -> bool:
    return name == "stream_options" or name in CARRIED or (name in _NO_EFFECT and value == _NO_EFFECT[name])

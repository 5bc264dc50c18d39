"""Request fields in three classes, by which every dialect sorts what it does not read itself; docs/fields.md. Pure.

- *Decides the answer*: in the key, and sent to the provider. All fields that no other class names, so that a field
  which nobody knows yet keeps two requests apart.
- *Carried*: sent to the provider, not in the key (`headwater.prompt.CARRIED`).
- *Ours*: neither (`OURS`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from headwater.prompt import CARRIED

OURS = frozenset({"stream", "stream_options", "background", "background_options", "conversation_id", "id"})
"""Fields about the delivery of an answer, which Headwater does itself: neither sent nor in the key."""


class Sorted(NamedTuple):
    """The fields of a request's body that a dialect does not read itself; those of class *ours* are left out."""

    extra: dict[str, Any]
    """For `Prompt.extra`."""
    carried: dict[str, Any]
    """For `Prompt.carried`; a null counts as absent."""

    @property
    def bypass(self) -> bool:
        """Whether the caller wants the provider to keep this very completion, as `store: true` says; `Ask.bypass`."""
        return self.carried.get("store") is True


def sorted_out(fields: Mapping[str, Any]) -> Sorted:
    """Sort the fields of a body that are left when the dialect has taken those that it reads."""
    extra: dict[str, Any] = {}
    carried: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in CARRIED:
            if name not in OURS:
                extra[name] = value
        elif value is not None:
            carried[name] = value
    return Sorted(extra, carried)

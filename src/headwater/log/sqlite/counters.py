"""Counters as rows of a SQLite table; `counters.py` has their contract."""

from collections.abc import Sequence

from headwater.log.counters import SLOTS, Count, Slots, Taken, end_of, refuses
from headwater.log.sqlite.rows import Rows

_USED, _HELD = 0, 1


def take(rows: Rows, now: float, owner: str, counts: Sequence[Count], slots: Slots | None) -> Taken:
    """As `Counters.take`, inside a transaction."""
    db, refused = rows.db, ""
    db.execute("DELETE FROM counters WHERE until <= ?", (now,))
    ends = [end_of(count.window, now) for count in counts]
    used: list[float] = []
    for count, end in zip(counts, ends, strict=True):
        query = "SELECT used FROM counters WHERE owner = ? AND kind = ? AND name = ?"
        so_far: float = (db.execute(query, (owner, _USED, count.name)).fetchone() or (0.0,))[0]
        refused = refused or (count.name if refuses(count, so_far) else "")
        if not refused and count.amount:
            so_far += count.amount
            add = "INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?, ?)"
            db.execute(add, (owner, _USED, count.name, end, so_far))
        used.append(so_far)
    held = 0
    if slots is not None:
        found = db.execute("SELECT name FROM counters WHERE owner = ? AND kind = ?", (owner, _HELD))
        holders = {name for (name,) in found}
        wanted = holders | {*slots.holders}
        if not refused and slots.most is not None and len(wanted) > max(len(holders), slots.most):
            refused = SLOTS
        elif not refused and slots.ttl > 0:
            hold = "INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?, 0)"
            db.executemany(hold, [(owner, _HELD, holder, now + slots.ttl) for holder in slots.holders])
            holders = wanted
        elif not refused:
            free = "DELETE FROM counters WHERE owner = ? AND kind = ? AND name = ?"
            db.executemany(free, [(owner, _HELD, holder) for holder in slots.holders])
            holders -= {*slots.holders}
        held = len(holders)
    return Taken(refused, used, [end - now for end in ends], held)

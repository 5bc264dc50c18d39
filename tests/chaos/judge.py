"""The judge: compares what each reader received with what the store holds at the end."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from headwater.dialects.native.reader import NativeReader
from headwater.entries import Entry
from headwater.events import Continued, Ending, Error, Finish, Stop, TextDelta
from headwater.log.store import Flush
from headwater.offsets import ORIGIN, Offset

BROKEN = ("lost", "store")
"""How the answer may end for a reader that has seen more of it than was stored."""

ONE_READ = 15
"""Entries that a provider of this pace may send in one read of its socket: a writer shows all of a read at once."""


@dataclass(frozen=True)
class Outcome:
    """What went wrong in some tries of a case; all but `tries` must be 0."""

    tries: int = 0
    lost: int = 0
    """Entries that are missing, contradicted or cut short, and whatever else is not as it must be."""
    doubled: int = 0
    """Entries shown twice, and calls to the provider that were not due."""
    hung: int = 0
    """Readers that never got an end."""
    why: tuple[str, ...] = ()
    seconds: tuple[float, ...] = ()
    """How long it took until an answer went on, where that is measured."""

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.lost or self.doubled or self.hung)

    def __add__(self, other: "Outcome") -> "Outcome":
        counts = (self.tries + other.tries, self.lost + other.lost, self.doubled + other.doubled)
        return Outcome(*counts, self.hung + other.hung, self.why + other.why, self.seconds + other.seconds)


def missing(why: str) -> Outcome:
    """Something lost."""
    return Outcome(lost=1, why=(why,))


def surplus(why: str) -> Outcome:
    """Something doubled."""
    return Outcome(doubled=1, why=(why,))


@dataclass
class Record:
    """What one reader received of one log, in order."""

    reader: str
    after: Offset = ORIGIN
    frames: list[tuple[Offset, bytes]] = field(default_factory=list[tuple[Offset, bytes]])
    end: str | None = None
    """`finish`, `stop`, an error's code, or `gone`; None before the end, and for ever if the reader hangs."""
    rewound: int = 0
    """How many entries it has dropped at seams, since its dead server had not stored them."""

    def rewind(self, last: Offset) -> None:
        """Drop what came after an offset, up to the epoch of the newest frame, which says so."""
        epoch = self.last.epoch
        kept = [each for each in self.frames if each[0] <= last or each[0].epoch == epoch]
        self.rewound += len(self.frames) - len(kept)
        self.frames, self.after = kept, min(self.after, last)

    @property
    def last(self) -> Offset:
        """Where it stands."""
        return self.frames[-1][0] if self.frames else self.after


def written(entry: Entry, log: str) -> tuple[Offset, bytes]:
    """An entry as the native dialect sends it to a reader of the log under its own id."""
    return entry.offset, NativeReader(log).feed([entry])


def end_of(entry: Entry) -> str:
    """How a log ended, in one word."""
    match entry.event:
        case Finish():
            return "finish"
        case Stop():
            return "stop"
        case Error(code):
            return code
        case _:
            return "open"


def judge(
    log: str,
    truth: Sequence[Entry] | None,
    records: Sequence[Record],
    *,
    whole: str,
    ends: Sequence[str],
    unkept: Sequence[str] = ("store",),
    flush: int = Flush().events,
    seams: int = 0,
) -> Outcome:
    """Everything that is wrong with what the readers saw. `truth` is None for a log that is gone.

    `whole` is the complete answer, `ends` how it may have ended for a reader. The ends in `unkept` come from a writer
    that could not store its ending. `flush` is how many entries that were not stored a reader may have seen, if it
    then got an error. `seams` is how often the answer must have been continued.
    """
    outcome = Outcome() if truth is None else _log_itself(truth, whole, seams)
    # Of a log that is gone the readers still must agree with each other.
    kept = dict(written(each, log) for each in truth or ())
    if truth is None:
        for record in records:
            for offset, data in record.frames:
                kept.setdefault(offset, data)
    for record in records:
        for fault in (
            *_order(record),
            *_tail(record, kept, ends, unkept, gone=truth is None),
            *_ahead(record, kept, unkept, flush),
            *_wholeness(record, whole),
        ):
            outcome += Outcome(fault.tries, fault.lost, fault.doubled, fault.hung, _named(record, fault))
    return outcome


def _named(record: Record, fault: Outcome) -> tuple[str, ...]:
    return tuple(f"{record.reader}: {each}" for each in fault.why)


def _log_itself(truth: Sequence[Entry], whole: str, seams: int) -> Outcome:
    """The log as it is kept: dense, ended once, and finished only if it is complete; each epoch begins with a seam."""
    outcome = Outcome()
    if [each.offset.sequence for each in truth] != list(range(1, len(truth) + 1)):
        outcome += missing(f"the log is not dense: {[str(each.offset) for each in truth][:20]}")
    if [isinstance(each.event, Ending) for each in truth] != [False] * (len(truth) - 1) + [True]:
        outcome += missing("the log does not end once, with its ending")
    if (made := sum(isinstance(each.event, Continued) for each in truth)) != seams:
        outcome += Outcome(doubled=max(made - seams, 0), lost=max(seams - made, 0), why=(f"{made} seams",))
    for before, each in pairwise(truth):
        if each.offset.epoch != before.offset.epoch and not isinstance(each.event, Continued | Ending):
            outcome += surplus(f"{each.offset} follows {before.offset} without a seam")
    text = "".join(each.event.text for each in truth if isinstance(each.event, TextDelta))
    finished = bool(truth) and isinstance(truth[-1].event, Finish)
    if text != whole if finished else not whole.startswith(text):
        outcome += missing(f"the log holds {len(text)} of {len(whole)} characters and ended {end_of(truth[-1])}")
    return outcome


def _order(record: Record) -> Iterator[Outcome]:
    """Each entry once, none left out; only an ending written by another than the writer may go back in sequence.

    At a seam the record itself was rewound.
    """
    at = record.after
    for offset, _ in record.frames:
        if offset <= at:
            yield surplus(f"{offset} came after {at}")
        elif 0 < at.epoch < offset.epoch:
            if offset.sequence > at.sequence + 1 or (offset.sequence <= at.sequence and offset != record.last):
                yield missing(f"{offset} came after {at}")
        elif offset.sequence != at.sequence + 1:
            yield missing(f"between {at} and {offset} something is missing")
        at = max(at, offset)


def _tail(
    record: Record, kept: dict[Offset, bytes], ends: Sequence[str], unkept: Sequence[str], *, gone: bool
) -> Iterator[Outcome]:
    """A reader that got an end got all entries that were stored, and an end that is allowed."""
    if record.end is None:
        yield Outcome(hung=1, why=(f"got no end; is at {record.last} of {len(kept)} entries",))
        return
    if record.end not in ends:
        yield missing(f"ended {record.end} at {record.last}, which is none of {', '.join(ends)}")
    if gone or record.end == "gone" or record.end in unkept:
        return
    unseen = [offset for offset in kept if offset > record.after and offset not in dict(record.frames)]
    if unseen and unseen[0] <= record.last:
        yield missing(f"never saw {unseen[0]}, yet came to {record.last}")
    elif unseen:
        yield missing(f"ended {record.end} at {record.last}, yet {len(unseen)} entries follow")


def _ahead(record: Record, kept: dict[Offset, bytes], unkept: Sequence[str], flush: int) -> Iterator[Outcome]:
    """No entry differs from the stored one, except one flush and one read of a reader that then got an error."""
    false = [offset for offset, data in record.frames if kept.get(offset) != data]
    if record.end in unkept and false:
        false.pop()  # the ending itself
    stopped = record.end == "stop" and record.last.epoch > 1  # by a successor, who knows only what was stored
    broken = record.end in BROKEN or stopped
    if record.end is not None and false and (not broken or len(false) > flush + ONE_READ):
        yield missing(f"got {len(false)} entries from {false[0]} on that were not stored, and then {record.end}")


def _wholeness(record: Record, whole: str) -> Iterator[Outcome]:
    """An answer that looks whole is whole."""
    events = [json.loads(data.partition(b"data: ")[2].partition(b"\n")[0]) for _, data in record.frames]
    text = "".join(each["text"] for each in events if each["type"] == "text-delta")
    if record.end == "finish" and not (text == whole if record.after == ORIGIN else whole.endswith(text)):
        yield missing(f"{len(text)} of {len(whole)} characters look like the whole answer")

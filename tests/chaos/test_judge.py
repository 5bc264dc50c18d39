"""The judge reports what is wrong, and nothing else."""

import pytest

from chaos.judge import Outcome, Record, end_of, judge, written
from headwater.entries import Entry, record
from headwater.events import Error, Event, Finish, TextDelta
from headwater.offsets import Offset

WHOLE = "abc"
LOST = Error("lost", "gone", True)


def log(*events: Event, last_epoch: int = 1) -> list[Entry]:
    """A log of these events, the last of them in an epoch of its own if need be."""
    epochs = [1] * (len(events) - 1) + [last_epoch]
    return [record(Offset(epoch, i + 1), i, event) for i, (epoch, event) in enumerate(zip(epochs, events, strict=True))]


FINISHED = log(TextDelta("a"), TextDelta("b"), TextDelta("c"), Finish("stop"))
FALSE = log(TextDelta("a"), TextDelta("x"), TextDelta("c"), Finish("stop"))
SHORT = log(TextDelta("a"), Finish("stop"))
BURIED = log(TextDelta("a"), LOST, last_epoch=2)


def judged(shown: list[Entry], truth: list[Entry] | None, *, ends: tuple[str, ...] = ("finish", "lost")) -> Outcome:
    """The verdict on one reader who was shown this."""
    frames = [written(each, "log") for each in shown]
    end = end_of(shown[-1])
    return judge(
        "log", truth, [Record("reader", frames=frames, end=None if end == "open" else end)], whole=WHOLE, ends=ends
    )


@pytest.mark.parametrize(
    ("shown", "truth"),
    [
        pytest.param(FINISHED, FINISHED, id="all of it"),
        pytest.param(BURIED, BURIED, id="a prefix and its lost"),
        pytest.param([*FINISHED[:3], BURIED[1]], BURIED, id="ahead of the store, then an error"),
        pytest.param(FINISHED, None, id="all of a log that is gone by now"),
    ],
)
def test_correct_reads_pass(shown: list[Entry], truth: list[Entry] | None) -> None:
    """Also for a reader who had seen more than was kept."""
    assert judged(shown, truth) == Outcome()


@pytest.mark.parametrize(
    ("shown", "truth", "counted"),
    [
        pytest.param(FINISHED[:1] + FINISHED[2:], FINISHED, "lost", id="a gap"),
        pytest.param(FINISHED[1:], FINISHED, "lost", id="no beginning"),
        pytest.param(FINISHED[:2] + FINISHED[1:], FINISHED, "doubled", id="sent twice"),
        pytest.param(FINISHED[:2], FINISHED, "hung", id="no end"),
        pytest.param(FALSE, FINISHED, "lost", id="something else than was kept"),
        pytest.param(FINISHED, BURIED, "lost", id="a finish that was not kept"),
        pytest.param(SHORT, SHORT, "lost", id="cut short"),
        pytest.param(SHORT, None, "lost", id="cut short and gone"),
        pytest.param(log(TextDelta("a"), Error("store", "", True)), FINISHED, "lost", id="another ending than may be"),
        pytest.param(FINISHED[:3], FINISHED[:3], "lost", id="a log without an ending"),
    ],
)
def test_wrong_reads_are_counted(shown: list[Entry], truth: list[Entry] | None, counted: str) -> None:
    """As what it is, and with a reason."""
    verdict = judged(shown, truth)
    assert getattr(verdict, counted) > 0
    assert verdict.why
    assert not verdict.clean

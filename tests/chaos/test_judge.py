"""The judge reports what is wrong, and nothing else."""

import pytest

from chaos.judge import Outcome, Record, end_of, judge, written
from headwater.entries import Entry, record
from headwater.events import Continued, Error, Event, Finish, TextDelta
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


def continued(*events: Event, rewind: str = "1-1") -> list[Entry]:
    """A log whose second epoch begins with a seam behind `a`, and holds these events."""
    seam = Continued("server", "prefill", "1-1", rewind=rewind)
    later = [record(Offset(2, i + 2), i, event) for i, event in enumerate([seam, *events])]
    return [record(Offset(1, 1), 0, TextDelta("a")), *later]


MENDED = continued(TextDelta("b"), TextDelta("c"), Finish("stop"))


def reading(*shown: Entry, seams: int = 1, truth: list[Entry] = MENDED) -> Outcome:
    """The verdict on a reader that drops, at the seam, what nobody has stored."""
    reader = Record("reader", end="finish")
    for each in shown:
        reader.frames.append(written(each, "log"))
        if isinstance(each.event, Continued):
            reader.rewind(Offset(1, 1))
    return judge("log", truth, [reader], whole=WHOLE, ends=["finish"], seams=seams)


def test_a_reader_goes_back_at_a_seam() -> None:
    """Whether it had more than was stored or not, it has the whole log afterwards."""
    lost = log(TextDelta("a"), TextDelta("x"), TextDelta("y"))
    assert reading(*MENDED) == reading(*lost, *MENDED[1:]) == Outcome()


@pytest.mark.parametrize(
    ("verdict", "counted"),
    [
        pytest.param(reading(*MENDED, seams=0), "doubled", id="a seam too many"),
        pytest.param(reading(*MENDED, seams=2), "lost", id="a seam too few"),
        pytest.param(reading(*FINISHED[:2], *MENDED[2:]), "lost", id="a seam that was not shown"),
        pytest.param(reading(*MENDED[:2], *MENDED[3:]), "lost", id="a gap behind the seam"),
        pytest.param(
            reading(truth=[MENDED[0], record(Offset(2, 2), 0, TextDelta("b")), *MENDED[3:]], seams=0),
            "doubled",
            id="an epoch without a seam",
        ),
    ],
)
def test_what_is_wrong_at_a_seam_is_counted(verdict: Outcome, counted: str) -> None:
    """One for each death, in the log and before each reader."""
    assert getattr(verdict, counted) > 0

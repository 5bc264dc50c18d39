"""A short soak; half an hour of it is `make soak`."""

import pytest

from soak.crowd import hold
from soak.run import soak


@pytest.mark.timeout(240)
async def test_nothing_is_lost_and_nothing_stays_behind_under_mixed_load() -> None:
    """Answers, hits, joins, faults of the provider, leaving, stopping and deleting, in all dialects."""
    report = await soak(60, clients=24)
    assert not report.faults(), str(report)
    assert len(report.findings.done) > 40, str(report)


async def test_many_open_streams_are_held_and_all_get_the_ending() -> None:
    """Of one answer that says nothing for a while; `make soak` holds ten thousand."""
    held = await hold(400, quiet=1)
    assert (held.wrong, held.calls) == (0, 1), str(held)

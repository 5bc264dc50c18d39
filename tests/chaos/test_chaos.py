"""The quick part of the chaos suite; all of it is `make chaos`."""

import pytest

from chaos.suite import Case, plan, run

QUICK = [pytest.param(*each, id=f"{each[0].name} ({each[1]})") for each in plan(quick=True)]


@pytest.mark.parametrize(("case", "kind", "tries"), QUICK)
async def test_nothing_is_lost_doubled_or_hung(case: Case, kind: str, tries: int) -> None:
    """Whatever breaks, every reader gets the log as it is stored, to its end, or an error."""
    outcome = await run(case, kind, tries)
    assert outcome.clean, "; ".join(outcome.why[:10])
    assert outcome.tries == tries

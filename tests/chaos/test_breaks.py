"""Some of the breaks; `python -m chaos.breaks` has hundreds."""

import asyncio

from chaos.breaks import DIALECTS, KINDS, broken


async def test_every_dialect_gets_the_whole_text_however_the_provider_breaks_off() -> None:
    """With one seam; what was cut is any word, or any part of one."""
    found = await asyncio.gather(*(broken(dialect, list(KINDS), 2) for dialect in DIALECTS))
    for dialect, by_kind in zip(DIALECTS, found, strict=True):
        for kind, tally in by_kind.items():
            assert tally.tries == 2
            assert not tally.wrong, f"{dialect}, {kind}: {tally.wrong}"

"""`python -m chaos [--quick] [--only WORD] [--tries N]`, from `tests/`: runs everything and prints what went wrong."""

import argparse
import asyncio
import logging
import resource
import sys
import time
import traceback
from contextlib import redirect_stderr
from io import StringIO

from chaos.judge import Outcome, missing
from chaos.suite import Case, plan, run

ROW = "{:32} {:8} {:>6} {:>6} {:>8} {:>6} {:>7}"


def main() -> int:
    """Run the cases that were chosen; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one or two tries of what every test run includes")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="cases or stores named so")
    parser.add_argument("--tries", type=int, default=0, metavar="N", help="so many tries of each case")
    options = parser.parse_args()
    # Hundreds of readers, each with a socket at both ends and two at a proxy between them.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # What servers log while they are tormented is no news.
    logging.disable(logging.CRITICAL)
    begin, total = time.monotonic(), Outcome()
    print(ROW.format("case", "store", "tries", "lost", "doubled", "hung", "time"))
    for case, kind, tries in plan(options.quick):
        if all(word in case.name or word == kind for word in options.only):
            total += _report(case, kind, options.tries or tries)
    print(f"{total.tries} tries in {time.monotonic() - begin:.0f} s: {'all clean' if total.clean else 'NOT CLEAN'}")
    return 0 if total.clean else 1


def _report(case: Case, kind: str, tries: int) -> Outcome:
    begin = time.monotonic()
    try:
        # The output of servers that were killed on purpose is not interesting.
        with redirect_stderr(StringIO()):
            outcome = asyncio.run(run(case, kind, tries))
    except Exception as error:  # noqa: BLE001 - one case that breaks must not hide the others
        traceback.print_exc()
        outcome = missing(f"the case itself broke: {type(error).__name__} {error}")
    spent = f"{time.monotonic() - begin:.1f} s"
    if took := sorted(outcome.seconds):
        spent += f"; went on after {took[len(took) // 2]:.2f} s, at most {took[-1]:.2f} s"
    counts = (outcome.tries, outcome.lost, outcome.doubled, outcome.hung)
    print(ROW.format(case.name, kind, *counts, spent), *outcome.why[:5], sep="\n    ", flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())

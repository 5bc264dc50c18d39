"""`python -m soak [SECONDS]`, from `tests/`: half an hour of mixed load; prints what was held and what went wrong."""

import argparse
import asyncio
import logging
import sys

from soak.run import soak


def main() -> int:
    """1 if a word was lost or doubled, an answer hung, or the server holds more than before."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=1800.0)
    parser.add_argument("--clients", type=int, default=48)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    report = asyncio.run(soak(options.seconds, options.clients, say=print))
    print(report, flush=True)
    return 1 if report.faults() else 0


if __name__ == "__main__":
    sys.exit(main())

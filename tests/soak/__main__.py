"""`python -m soak [SECONDS]`, from `tests/`: half an hour of mixed load; prints what was held and what went wrong."""

import argparse
import asyncio
import logging
import resource
import sys

from soak.crowd import hold
from soak.run import soak


def main() -> int:
    """1 if a word was lost or doubled, an answer hung, or the server holds more than before."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=1800.0)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--streams", type=int, default=10_000, help="open streams of one answer, before the load")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held = asyncio.run(hold(options.streams, quiet=10)) if options.streams else None
    if held is not None:
        print(held, flush=True)
    report = asyncio.run(soak(options.seconds, options.clients, say=print))
    print(report, flush=True)
    return 1 if report.faults() or (held is not None and held.wrong) else 0


if __name__ == "__main__":
    sys.exit(main())

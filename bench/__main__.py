"""`python -m bench [--quick]`: measure every server under every load; writes tables, `bench.json` and `bench.svg`."""

import argparse
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import report, sides, sizing, targets
from bench.chart import chart
from bench.machine import machine, versions
from bench.processes import end_on_signal
from bench.proxies import Absent
from bench.rounds import FULL, PACED, QUICK, Figures, Rounds
from bench.sides import Side


def main() -> None:
    """Measure, print the tables, write the JSON and the chart; with `--from`, only print and write an earlier run."""
    options = _options()
    if options.read is not None:
        found: dict[str, Any] = json.loads(options.read.read_text())
    else:
        found = _measured(options)
        options.out.mkdir(parents=True, exist_ok=True)
        whole = found["machine"]["rounds"] >= (QUICK if options.quick else FULL).rounds  # else it was interrupted
        _keep(found, options.out / (_name(options) if whole else "part"))
    figures: Figures = found["figures"]
    blocks = {
        "machine": report.about(found["machine"]),
        "table": report.tables(figures, found["absent"]),
        "targets": targets.table(figures),
    }
    print(*blocks.values(), sep="\n\n")
    if options.doc is not None and options.paced:
        report.into(options.doc, {"paced": "\n\n".join(blocks.values())})
    elif options.doc is not None:
        report.into(options.doc, {**blocks, "sizing": sizing.text(figures)})
        _keep(found, options.doc)


def _keep(found: dict[str, Any], beside: Path) -> None:
    beside.with_suffix(".json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    beside.with_suffix(".svg").write_text(chart(found["figures"]))


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    end_on_signal()
    # A thousand streams need two thousand file descriptors.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = QUICK if options.quick else PACED if options.paced else FULL
    plan = plan._replace(rounds=options.rounds or plan.rounds)
    chosen, absent = _sides(options)
    load = f"{os.getloadavg()[0]:.1f}"
    rounds = Rounds(plan, chosen)
    figures = rounds.run()
    absent += rounds.broken
    loads = {"load before": load, "load after": f"{os.getloadavg()[0]:.1f}"}
    about = {**machine(), **loads, "rounds": rounds.done, **versions()}
    return {"machine": about, "absent": absent, "figures": figures}


def _sides(options: argparse.Namespace) -> tuple[list[Side], list[str]]:
    """The servers to measure, and why others are absent."""
    if options.servers:
        return sides.servers(), []
    if options.paced:
        return [sides.MEMORY, sides.SQLITE, sides.REDIS, sides.PASSTHROUGH], []
    chosen = [sides.MEMORY, sides.SQLITE]
    if not options.quick:
        chosen += [sides.REDIS, sides.TWO, sides.TWO_REDIS, sides.LANGCHAIN]
        chosen += [sides.OPENAI, sides.AI_SDK, sides.AG_UI]
    for also in options.also:
        name, _, command = also.partition("=")
        chosen.append(sides.headwater(name, "memory:", command))
    chosen += [sides.PASSTHROUGH, *([] if options.quick else [sides.PASSTHROUGH_TWO]), sides.BARE]
    absent: list[str] = []
    peers: list[Callable[[], Side]] = [sides.nginx, lambda: sides.PLAIN]
    if not options.quick:
        peers.append(sides.litellm)
    for peer in peers:
        try:
            chosen.append(peer())
        except Absent as why:
            absent.append(str(why))
    wanted = [side for side in chosen if not options.only or any(word in side.name for word in options.only)]
    return wanted, absent


def _name(options: argparse.Namespace) -> str:
    """The file name of a run; a partial run never overwrites a full one."""
    if options.quick or options.paced:
        return "quick" if options.quick else "paced"
    fewer = (options.rounds or FULL.rounds) < FULL.rounds
    return "part" if options.only or options.also or options.servers or fewer else "bench"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer servers and loads, in under two minutes")
    parser.add_argument("--paced", action="store_true", help="only a token at 40/s, in nine rounds; six minutes")
    parser.add_argument("--servers", action="store_true", help="compare uvicorn and granian instead")
    parser.add_argument("--rounds", type=int, help="number of rounds, each of which measures everything once")
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORD", help="measure only servers whose name contains WORD"
    )
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="measure another build of `headwater serve`, too",
    )
    parser.add_argument("--out", type=Path, default=Path("bench/results"), help="folder of the JSON and the chart")
    parser.add_argument("--doc", type=Path, help="document to update, with its chart and JSON beside it")
    parser.add_argument(
        "--from", dest="read", type=Path, metavar="JSON", help="use an earlier run instead of measuring"
    )
    options = parser.parse_args()
    if options.doc is not None and options.read is None and _name(options) not in ("bench", "paced"):
        parser.error("--doc needs a full run; use --from to put a partial run into a document")
    return options


if __name__ == "__main__":
    main()

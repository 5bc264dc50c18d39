"""A scrape: what `/metrics` said at one moment, and what changed since an earlier one."""

import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

FIRST_TOKEN = "gen_ai_server_time_to_first_token_seconds_bucket"  # noqa: S105 - no password


class Scrape(NamedTuple):
    """The samples of a scrape: a name and its labels, and a value. `at` is monotonic."""

    samples: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
    at: float

    @classmethod
    def parse(cls, text: str) -> "Scrape":
        """Read Prometheus's text format."""
        # Imported here, so that `headwater --help` does not wait for it.
        from prometheus_client.parser import text_string_to_metric_families

        families: Any = text_string_to_metric_families(text)
        samples = (each for family in families for each in family.samples)
        return cls({(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples}, time.monotonic())

    def since(self, before: "Scrape | None") -> "Scrape":
        """What was counted since an earlier scrape, in counters; gauges make no sense here."""
        if before is None:
            return self
        old = {key: before.samples.get(key, 0.0) for key in self.samples}
        # A counter that fell was reset, as the server was started anew.
        changed = {key: value - old[key] if old[key] <= value else value for key, value in self.samples.items()}
        return Scrape(changed, self.at)

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        wanted = labels.items()
        return sum(value for (found, has), value in self.samples.items() if found == name and wanted <= set(has))

    def values(self, label: str) -> list[str]:
        """All values of a label, in order."""
        return sorted({value for _, has in self.samples for name, value in has if name == label})

    def quantile(self, share: float, name: str = FIRST_TOKEN, **labels: str) -> float:
        """An estimate from a histogram's buckets, as Prometheus makes it; NaN where nothing was observed."""
        buckets: dict[float, float] = {}
        wanted = labels.items()
        for (found, has), value in self.samples.items():
            if found == name and wanted <= set(has):
                bound = float(dict(has)["le"])
                buckets[bound] = buckets.get(bound, 0.0) + value
        below, low = 0.0, 0.0
        rank = share * buckets.get(math.inf, 0.0)
        for bound, count in sorted(buckets.items()):
            if count >= rank > 0:
                return low if bound == math.inf else low + (bound - low) * (rank - below) / (count - below)
            below, low = count, bound
        return math.nan

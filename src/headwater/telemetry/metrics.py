"""Metrics for Prometheus: an observer that counts answers, and gauges that are looked at once a second.

No call is made for a token: what a token took is derived from an answer's first and last token and their number. Among
several workers every process counts into files of its own in one folder (prometheus_client's multiprocess mode), so one
scrape of any worker shows all of them. A dead worker's counters stay, as counters must not fall; its gauges are gone.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from headwater.events import Continued, Error, Finish, Saved, Usage, state_after
from headwater.observe import Made, Observer, Request
from headwater.telemetry.names import GENAI, bare, operation, provider
from headwater.version import VERSION

LOOK = 1.0
"""Seconds between two looks at the gauges."""
MOST = 100
"""Tenants, and models, that get a label of their own; all others share `other`, so that requests cannot make more."""

_FIRST = (0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 120)
_BETWEEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)
_WHOLE = (0.01, 0.04, 0.16, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 300, 1800)
_FLUSH = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Look(NamedTuple):
    """What a server is at, at the moment."""

    generations: Mapping[str, int]
    """Answers that are being generated, by tenant."""
    unstored: int
    """Entries that were shown and that the store has not acknowledged yet."""


class Metrics(Observer):
    """Counts what happens to answers. `begin` and `end` bound the time in which the gauges are looked at."""

    def __init__(self) -> None:
        self.look: Callable[[], Look] = lambda: Look({}, 0)
        """What the gauges show; whoever serves the answers sets it."""
        self._timer: asyncio.TimerHandle | None = None
        self._tenant, self._model = _bounded(), _bounded()
        self.readers: Tally[str] = Tally()
        self._tenants: set[str] = set()
        self.registry = registry = CollectorRegistry()

        def counter(name: str, words: str, *labels: str) -> Callable[..., Counter]:
            made = Counter(name, words, labels, registry=registry)
            return cache(made.labels) if labels else lambda: made

        def gauge(name: str, words: str, *labels: str, mode: Any = "livesum") -> Callable[..., Gauge]:
            made = Gauge(name, words, labels, registry=registry, multiprocess_mode=mode)
            return cache(made.labels) if labels else lambda: made

        def histogram(name: str, words: str, buckets: Iterable[float], *labels: str) -> Callable[..., Histogram]:
            made = Histogram(name, words, labels, registry=registry, buckets=tuple(buckets))
            return cache(made.labels) if labels else lambda: made

        first, between, whole = "time_to_first_token", "time_per_output_token", "request_duration"
        genai = (*GENAI, "tenant")
        self._first = histogram(
            f"gen_ai_server_{first}_seconds", "Until the first token, retries included", _FIRST, *genai
        )
        self._between = histogram(
            f"gen_ai_server_{between}_seconds", "Mean of an answer's tokens after its first", _BETWEEN, *genai
        )
        self._whole = histogram(f"gen_ai_server_{whole}_seconds", "A whole generation", _WHOLE, *genai)
        self._requests = counter("headwater_requests", "Requests, by how they met the cache", "tenant", "outcome")
        self._forms = counter("headwater_form_matches", "Hits and joins by another wording of the question", "tenant")
        self._refused = counter("headwater_refusals", "Questions refused before an answer began", "code")
        self._made = counter("headwater_generations", "Generations ended", "tenant", "model", "state")
        self._failed = counter("headwater_failures", "Generations that ended in an error", "model", "code")
        self._retried = counter("headwater_retries", "Requests to a model made again before a first token", "model")
        self._continued = counter("headwater_continued", "Seams at which an answer went on", "model", "cause")
        self._taken = counter("headwater_takeovers", "Logs of dead servers taken over", "outcome")
        self._tokens = counter("headwater_tokens", "Tokens of generations, by kind", "tenant", "model", "kind")
        self._cost = counter("headwater_cost_usd", "What generations cost, where a price is known", "tenant", "model")
        self._saved = [
            counter(f"headwater_saved_{name}", f"{what} that hits and joins have saved", "tenant")
            for name, what in (("tokens", "Tokens"), ("cost_usd", "US dollars"), ("seconds", "Seconds"))
        ]
        self._flush = histogram("headwater_store_flush_seconds", "Until the store took a flush", _FLUSH)
        self._store_failed = counter("headwater_store_failures", "Flushes the store did not take in time")
        self._running = gauge("headwater_generations_running", "Answers being generated", "tenant")
        self._open = gauge("headwater_open_readers", "Clients that read an answer", "dialect")
        self._unstored = gauge("headwater_store_pending_entries", "Entries shown and not stored yet")
        self._delay = gauge("headwater_event_loop_delay_seconds", "How late a timer came", mode="livemax")
        gauge("headwater_build_info", "The version that runs", "version", mode="livemax")(VERSION).set(1)

    def claimed(self, request: Request) -> None:
        tenant = self._tenant(request.principal.tenant)
        self._requests(tenant, request.outcome).inc()
        if request.form:
            self._forms(tenant).inc()

    def refused(self, code: str) -> None:
        """Count a question that was refused, by the code of its error."""
        self._refused(code).inc()

    def first_token(self, request: Request, seconds: float) -> None:
        self._first(*self._labels(request)).observe(seconds)

    def retried(self, request: Request, error: Exception, wait: float) -> None:
        self._retried(self._model(request.prompt.model)).inc()

    def continued(self, request: Request, seam: Continued) -> None:
        self._continued(self._model(seam.model or request.prompt.model), seam.cause).inc()

    def taken_over(self, request: Request, ends: bool) -> None:
        self._taken("ended" if ends else "continued").inc()

    def flushed(self, log: str, entries: int, seconds: float) -> None:
        self._flush().observe(seconds)

    def store_failed(self, log: str, error: Exception) -> None:
        self._store_failed().inc()

    def made(self, request: Request, made: Made) -> None:
        labels, model = self._labels(request), self._model(request.prompt.model)
        tenant, ending, state = labels[-1], made.ending, state_after(made.ending)
        self._made(tenant, model, state).inc()
        self._whole(*labels).observe(made.duration)
        if isinstance(ending, Error):
            self._failed(model, ending.code).inc()
        usage = ending.usage if isinstance(ending, Finish) else None
        tokens = (usage and usage.output_tokens) or made.entries - 2  # without `start` and the ending
        if made.first_token is not None and tokens > 1:
            self._between(*labels).observe(max(made.last_output - made.first_token, 0) / (tokens - 1))
        if usage is not None:
            for kind, count in kinds(usage).items():
                if count:
                    self._tokens(tenant, model, kind).inc(count)
            if cost := usage.cost:
                self._cost(tenant, model).inc(cost)

    def saved(self, tenant: str, saved: Saved) -> None:
        tenant = self._tenant(tenant)
        for counted, value in zip(self._saved, (saved.tokens, saved.cost, saved.seconds), strict=True):
            if value:
                counted(tenant).inc(value)

    def reader_came(self, log: str, dialect: str) -> None:
        self.readers[dialect] += 1

    def reader_left(self, log: str, dialect: str) -> None:
        self.readers[dialect] -= 1

    def begin(self) -> None:
        """Look at the gauges from now on, once a second."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LOOK, self._tick, loop.time() + LOOK)

    async def end(self) -> None:
        """Look no more, and leave the gauges as they are at the end."""
        if self._timer is not None:
            self._timer.cancel()
        self.refresh()

    def _tick(self, due: float) -> None:
        self._delay().set(max(asyncio.get_running_loop().time() - due, 0))
        self.refresh()
        self.begin()

    def refresh(self) -> None:
        """Look at the gauges now."""
        look = self.look()
        running: Tally[str] = Tally()
        for tenant, count in look.generations.items():
            running[self._tenant(tenant)] += count
        self._tenants |= running.keys()
        for tenant in self._tenants:
            self._running(tenant).set(running[tenant])
        for dialect, count in self.readers.items():
            self._open(dialect).set(count)
        self._unstored().set(look.unstored)

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics of all workers in the form that a scraper accepts, and its content type."""
        self.refresh()
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        # In a thread: the files of many workers with many tenants take a while to add up.
        return await asyncio.to_thread(lambda: encode(self.collected())), content_type

    def collected(self) -> CollectorRegistry:
        """The registry to read: this process's own, or one that adds up the files of all workers."""
        if not values.ValueClass._multiprocess:  # pyright: ignore[reportPrivateUsage]
            return self.registry
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)
        return everyone

    async def by_tenant(self) -> list[dict[str, Any]]:
        """How each tenant's requests met the cache since the server began, what generations used, and what was saved.

        Each has `tenant`, `requests` by outcome, `tokens` by kind, `cost`, and `saved` with `tokens`, `cost`,
        `seconds`. A cost is None where no price is known.
        """
        found: dict[str, dict[str, Any]] = {}
        for metric in await asyncio.to_thread(lambda: list(self.collected().collect())):
            for sample in metric.samples:
                tenant, place = sample.labels.get("tenant"), _STATS.get(sample.name)
                if tenant is None or place is None:
                    continue
                empty: dict[str, Any] = {"requests": {}, "tokens": {}, "saved": {"cost": None}, "cost": None}
                row = found.setdefault(tenant, {"tenant": tenant, **empty})
                part, named = place
                within, name = (row, part) if not named else (row[part], sample.labels.get(named, named))
                if sample.value or name != "cost":
                    within[name] = round((within.get(name) or 0) + sample.value, 6)
        return sorted(found.values(), key=lambda row: -sum(row["requests"].values()))

    def _labels(self, request: Request) -> tuple[str, str, str, str]:
        prompt = request.prompt
        model = self._model(prompt.model)
        return operation(prompt.kind), provider(prompt.model), bare(model), self._tenant(request.principal.tenant)


_STATS = {
    "headwater_requests_total": ("requests", "outcome"),
    "headwater_tokens_total": ("tokens", "kind"),
    "headwater_cost_usd_total": ("cost", ""),
    "headwater_saved_tokens_total": ("saved", "tokens"),
    "headwater_saved_cost_usd_total": ("saved", "cost"),
    "headwater_saved_seconds_total": ("saved", "seconds"),
}
"""Where a tenant's statistics have a counter, and the label that tells its places apart, or its one place."""


def kinds(usage: Usage) -> dict[str, int]:
    """The tokens of an answer by kind; `cached` and `cache_write` are parts of `input`, `reasoning` is of `output`."""
    return {
        "input": usage.input_tokens,
        "cached": usage.cached_tokens,
        "cache_write": usage.cache_write_tokens,
        "output": usage.output_tokens,
        "reasoning": usage.reasoning_tokens,
    }


def _bounded() -> Callable[[str], str]:
    known: set[str] = set()

    def label(name: str) -> str:
        if name not in known:
            if len(known) >= MOST:
                return "other"
            known.add(name)
        return name

    return label

"""Every case, the stores it is for, and how often it is tried."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from signal import SIGTERM
from typing import NamedTuple

from chaos import crowds, deaths, failovers, outages, requests, rivals, successors
from chaos.judge import Outcome
from chaos.rivers import ENGINES, KINDS, REDIS, River, river

Run = Callable[[River], Awaitable[Outcome]]

UPSTASH = ("upstash",)
CLUSTER = ("cluster",)
SHARED = ("sqlite", "valkey")
MOST = {"redis": 2, "cluster": 1, "upstash": 1}
"""The most tries of a case: fewer on the second engine, and where each takes long, to make it or to be flushed to."""


class Case(NamedTuple):
    """Something that goes wrong."""

    name: str
    run: Run
    stores: tuple[str, ...] = KINDS
    tries: int = 3
    quick: int = 1
    """How many of the tries are part of every test run."""
    options: tuple[str, ...] = ()
    """What its Redis servers are started with."""


KEEPS = ("--appendonly", "yes")

CASES = [
    Case("kill -9 the producer", deaths.killed, tries=10),
    Case("kill -9, providers are mended", partial(deaths.killed, mode="provider"), tries=1, quick=0),
    Case("kill -9, nothing is mended", partial(deaths.killed, mode="off"), quick=0),
    Case("SIGTERM, no time left", deaths.terminated, tries=2, quick=0),
    Case("SIGTERM, nothing is mended", partial(deaths.terminated, mode="off"), tries=2, quick=0),
    Case("SIGTERM, time to finish", deaths.drained, tries=2, quick=0),
    Case("a reader ahead of the store", deaths.ahead_of_the_store),
    Case("ahead, nothing is mended", partial(deaths.ahead_of_the_store, mode="off"), quick=0),
    Case("a producer thought dead", deaths.thought_dead, quick=0),
    Case("thought dead, nothing is mended", partial(deaths.thought_dead, mode="off"), quick=0),
    Case("kill -9 the only server", successors.restarted),
    Case("kill -9 before the rest", successors.killed_before_the_rest, quick=0),
    Case("kill -9 one of two workers", successors.killed_worker, SHARED, tries=10),
    Case("stopped before a takeover", successors.stopped_meanwhile, quick=0),
    Case("deleted before a takeover", successors.deleted_meanwhile, quick=0),
    Case("expired before a takeover", successors.expired_meanwhile, REDIS, quick=0),
    Case("SIGTERM, 50 answers", partial(successors.race, logs=50, servers=1, end=SIGTERM), SHARED, tries=1, quick=0),
    Case("2 race for 40 logs", partial(successors.race, logs=40, servers=2), SHARED, tries=1),
    Case("8 race for 500 logs", successors.race, SHARED, tries=1, quick=0),
    Case("kill -9 Redis, data kept", outages.killed_with_its_data, REDIS + UPSTASH, options=KEEPS),
    Case("kill -9 Redis, data lost", outages.killed_without_its_data, REDIS + UPSTASH),
    Case("failover, nothing lost", failovers.to_a_replica, (*ENGINES, *UPSTASH)),
    Case("failover, the tail lost", failovers.to_a_replica_that_lags, (*ENGINES, *UPSTASH), quick=0),
    Case("the cluster fails over", failovers.in_a_cluster, CLUSTER),
    Case("the cluster loses the tail", failovers.in_a_cluster_that_lags, CLUSTER),
    Case("the cluster fails over, heals", failovers.in_a_cluster_that_heals, CLUSTER),
    Case("the store pauses 1 s", outages.paused_shortly),
    Case("the store pauses 5 s", outages.paused_long, tries=2, quick=0),
    Case("wake-ups lost and doubled", outages.wake_ups, REDIS),
    Case("an append's answer lost", outages.answers_lost, tuple(ENGINES)),
    Case("an append's answer lost", requests.lost, UPSTASH),
    Case("an append's answer late", requests.late, UPSTASH),
    Case("429 and 5xx in between", requests.refused, UPSTASH),
    Case("503 for two seconds", requests.down, UPSTASH),
    Case("a key is evicted", outages.evicted, REDIS + UPSTASH, tries=4),
    Case("a lease is evicted", outages.evicted_lease, REDIS + UPSTASH, quick=0),
    Case("a name is evicted", outages.evicted_name, REDIS + UPSTASH, quick=0),
    Case("keys expire under a writer", outages.expired_while_live, REDIS + UPSTASH, quick=0),
    Case("a log expires under a reader", rivals.expired_while_read),
    Case("two producers of one log", rivals.two_producers, tries=5),
    Case("clock skew of an hour", rivals.clocks),
    Case("stop racing finish", rivals.stop_and_finish, tries=20, quick=2),
    Case("500 readers reconnect at once", crowds.reconnect_at_once, tries=2, quick=0),
    # The double that stands for Upstash runs in this process too, and answers some hundred requests a second.
    Case("60 readers reconnect at once", crowds.few_reconnect_at_once, ("sqlite", "valkey", *UPSTASH), tries=1),
    Case("a reader at 1 byte/s", crowds.one_byte_a_second),
    Case("100 joiners at random offsets", crowds.joiners),
]

SWIFT = {"sqlite", "valkey"}
"""The stores of the quick part: what holds on Valkey holds on Redis too, but for the rare difference that the whole
suite is for, and the others are slow."""
ALSO = {("an append's answer lost", "upstash"), ("a key is evicted", "cluster")}
"""What the quick part has of the others."""
NOT = {("a reader ahead of the store", "sqlite")}
"""What is slow all the same."""


def plan(quick: bool) -> Iterator[tuple[Case, str, int]]:
    """What is to be run: a case, on a kind of store, so many times."""
    for case in CASES:
        for kind in case.stores:
            tries = case.quick if quick else min(case.tries, MOST.get(kind, case.tries))
            chosen = (kind in SWIFT or (case.name, kind) in ALSO) and (case.name, kind) not in NOT
            if tries and (chosen or not quick):
                yield case, kind, tries


async def run(case: Case, kind: str, tries: int) -> Outcome:
    """Try a case several times, each time on a new store."""
    outcome = Outcome()
    for _ in range(tries):
        with river(kind, *case.options) as fresh:
            try:
                outcome += await case.run(fresh) + Outcome(tries=1)
            except TimeoutError:
                outcome += Outcome(tries=1, hung=1, why=("the case itself, or the log, never came to an end",))
    return outcome

"""The dashboard, the scrape configuration and the table of metrics: they name what the server has, and all of it."""

import json
import re
from typing import Any

import dockerfile
import pytest
import yaml

from headwater.telemetry.metrics import Metrics
from headwater.web.routes.operator import METRICS

ROOT = dockerfile.ROOT
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana.json").read_text())
NAME = re.compile(r"\b(?:headwater|gen_ai_server)_[a-z_]+")
PARTS = re.compile("_(bucket|sum|count)$")


@pytest.fixture(scope="module")
def metrics() -> dict[str, tuple[str, frozenset[str]]]:
    """The type and the labels of each metric, by the name that Prometheus knows."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    made = Metrics()
    for metric in made.registry._names_to_collectors.values():  # pyright: ignore[reportPrivateUsage]
        collector: Any = metric
        name = collector._name + ("_total" if collector._type == "counter" else "")
        found[name] = collector._type, frozenset(collector._labelnames)
    return found


def expressions() -> list[str]:
    """What the panels and the variables ask for."""
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return asked + [each["query"] for each in DASHBOARD["templating"]["list"]]


def test_the_dashboard_shows_every_metric_and_no_other(metrics: dict[str, tuple[str, frozenset[str]]]) -> None:
    """A metric that is renamed leaves no empty panel."""
    named = {PARTS.sub("", name) for expression in expressions() for name in NAME.findall(expression)}
    assert named == set(metrics)


def test_the_dashboard_uses_labels_that_the_metrics_have(metrics: dict[str, tuple[str, frozenset[str]]]) -> None:
    """In its groups, its filters and its legends."""
    for expression in expressions():
        names = [PARTS.sub("", name) for name in NAME.findall(expression)]
        has = frozenset[str]().union(*(metrics[name][1] for name in names if name in metrics))
        groups = re.findall(r"by \(([^)]*)\)", expression)
        used = {each.strip() for group in groups for each in group.split(",")} | {
            *re.findall(r"[{,](\w+)=", expression)
        }
        assert used <= has | {"le", "instance"}, expression


def test_the_table_of_the_docs_has_every_metric_with_its_type_and_labels(
    metrics: dict[str, tuple[str, frozenset[str]]],
) -> None:
    """As the registry has them."""
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \|([^|]*)\|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    genai = {"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"}
    told: dict[str, tuple[str, frozenset[str]]] = {}
    for name, kind, labels in rows:
        given = {each.strip() for each in labels.split(",") if each.strip()}
        told[name] = kind, frozenset(given - {"GenAI"} | (genai if "GenAI" in given else set()))
    assert told == metrics


def test_the_scrape_configuration_scrapes_the_route_there_is() -> None:
    """Prometheus's default path, with the operator's key from a file."""
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())["scrape_configs"]
    assert job.get("metrics_path", "/metrics") == METRICS
    assert job["authorization"].keys() == {"credentials_file"}

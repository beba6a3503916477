"""Alerts and dashboard name what a real scrape has: each metric, label and value; and each alert has its cure."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from tests.gateway.door import inside, of_lab
from tests.gateway.test_metrics import Scrape, scrape
from tests.pool.builders import T0, golden
from tests.pool.lab import Lab

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deployments" / "components" / "monitoring"
ALERTS: list[dict[str, Any]] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
GRAFANA = {"$__rate_interval": "5m", '"$pool"': '"default"'}
"""What Grafana puts in place of its variables."""
ADDED = {"instance", "job"}
"""Labels that Prometheus adds to what it scrapes."""

Labels = dict[str, dict[str, set[str]]]
"""The values of each label of each metric."""


def expressions() -> Iterator[tuple[str, str]]:
    """Whose each expression is, and itself."""
    for alert in ALERTS:
        yield alert["alert"], alert["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.findall(r"label_values\((\w+), (\w+)\)", variable["definition"])[0]
            yield variable["name"], f"max by ({label}) ({metric})"


@pytest.fixture
async def labels(lab: Lab) -> Labels:
    """Of the scrape of a gateway over a pool with one cluster."""
    await lab.add("cluster1", golden=golden(certificates_expire_at=T0))
    async with inside(of_lab(lab)) as door:
        return labels_of(await scrape(door))


def labels_of(found: Scrape) -> Labels:
    told: Labels = {}
    for name, pairs in found:
        metric = told.setdefault(name, defaultdict(set))
        for label, value in pairs:
            metric[label].add(value)
    return told


def wrong(expression: str, labels: Labels) -> list[str]:
    """What the expression names and a scrape does not have. Raises ValueError for one that Prometheus cannot read."""
    for variable, value in GRAFANA.items():
        expression = expression.replace(variable, value)
    found: list[str] = []
    _walk(promql.parse(expression), labels, found)
    return found


def _walk(node: Any, labels: Labels, found: list[str]) -> set[str]:
    """Adds what is wrong in this part to `found`; returns the labels that its result has."""
    match node:
        case promql.VectorSelector():
            return _selected(node, labels, found)
        case promql.MatrixSelector():
            return _selected(node.vector_selector, labels, found)
        case promql.Call():
            return set().union(*(_walk(one, labels, found) for one in node.args))
        case promql.AggregateExpr():
            inner = _walk(node.expr, labels, found)
            by = set(node.modifier.labels) if node.modifier is not None else set()
            found += [f"by ({label})" for label in by - inner]
            return by
        case promql.BinaryExpr():
            left, right = _walk(node.lhs, labels, found), _walk(node.rhs, labels, found)
            return left & right if left and right else left | right
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return _walk(node.expr, labels, found)
        case promql.NumberLiteral() | promql.StringLiteral():
            return set()
    raise AssertionError(f"not looked into: {type(node).__name__}")


def _selected(selector: Any, labels: Labels, found: list[str]) -> set[str]:
    if selector.name not in labels:
        found.append(selector.name)
        return set()
    own = labels[selector.name]
    for matcher in selector.matchers.matchers:
        if matcher.name not in own:
            found.append(f"{selector.name}{{{matcher.name}}}")
        elif not any(re.fullmatch(matcher.value, value) for value in own[matcher.name]):
            found.append(f"{selector.name}{{{matcher.name}={matcher.value}}}")
    return {*own, *ADDED}


async def test_every_expression_names_what_a_scrape_has(labels: Labels) -> None:
    looked_at = 0
    for whose, expression in expressions():
        assert wrong(expression, labels) == [], whose
        looked_at += 1
    assert looked_at > 25


async def test_a_name_that_no_scrape_has_is_found(labels: Labels) -> None:
    for expression, says in {
        "cks_pool_cluster > 0": "cks_pool_cluster",
        'max by (pool) (cks_pool_clusters{phase="broken"})': "cks_pool_clusters{phase=broken}",
        'cks_pool_clusters{state="error"}': "cks_pool_clusters{state}",
        "max by (cluster) (cks_pool_clusters)": "by (cluster)",
        "rate(cks_pool_attestation_failures[5m])": "cks_pool_attestation_failures",
        "histogram_quantile(0.5, max by (pool) (max by (le) (cks_pool_assignment_seconds_bucket)))": "by (pool)",
    }.items():
        assert wrong(expression, labels) == [says]
    with pytest.raises(ValueError):
        wrong("max by pool (cks_pool_up", labels)


def test_gateways_are_never_added_up() -> None:
    """Each tells all of every pool: sums are of what max or min has made one, or of the gateways themselves."""
    for whose, expression in expressions():
        for inner in re.findall(r"\b(?:sum|count|avg)\b(?: by \([^)]*\))?\s*\((.*)", expression):
            assert inner.startswith(("max by", "min by", "cks_pool_up")), whose


def test_every_metric_is_explained() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    names = {name for whose, expression in expressions() for name in re.findall(r"cks_pool_\w+", expression)}
    for name in {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}:
        assert f"`{name}" in page, name


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    assert alert.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert f"`{alert['alert']}`" in (ROOT / "docs" / "monitoring.md").read_text()
    path, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^-\w ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)), "panels lie on each other"
    assert max(x for x, _ in cells) < 24
    for panel in DASHBOARD["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}", "whoever imports it chooses"


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt install prometheus)"
)
def test_alerts_fire_on_the_day_they_are_for_and_not_on_an_ordinary_one() -> None:
    cases = Path(__file__).with_name("alerts.test.yaml")
    ran = subprocess.run(["promtool", "test", "rules", cases.name], cwd=cases.parent, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr

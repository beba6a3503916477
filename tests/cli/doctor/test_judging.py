"""What each check concludes from what it saw: facts in, verdict out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cks_pool.doctor.connection import Connection, judge_clock, judge_connection
from cks_pool.doctor.findings import Finding, Severity, Verdict, error, exit_status, ok, skipped, warning, worst_of
from cks_pool.doctor.kinds import Kind, judge_kinds
from cks_pool.doctor.kubevirt import Operator, Webhook, judge_operator, judge_webhooks, operator_of
from cks_pool.doctor.network import judge_network
from cks_pool.doctor.prefect import (
    Api,
    Schedule,
    Workers,
    judge_api,
    judge_database,
    judge_schedule,
    judge_workers,
)
from cks_pool.doctor.rights import Right, Rights, judge_rights
from cks_pool.doctor.storage import Image, Storage, judge_images, judge_storage
from pool.core.crds import SCHEMA
from pool.core.errors import InvalidInput

RIGHT = Right("", "kubevirt.io", "virtualmachines", "list")
WORKER = "system:serviceaccount:cks-pool:cks-pool"


def operator(**fields: object) -> Operator:
    """A KubeVirt that is well, but for these fields."""
    well = {"phase": "Deployed", "version": "v1.8.0", "available": "True"} | fields
    return Operator("KubeVirt", installed=True, told=True, **well)


CASES = [
    (judge_connection(Connection("host", (1, 34), "admin")), "ok", "as admin"),
    (judge_connection(Connection("host", (1, 28), "admin")), "warning", "1.30"),
    (judge_clock(timedelta(seconds=2)), "ok", ""),
    (judge_clock(timedelta(minutes=3)), "warning", "3m behind"),
    (judge_clock(-timedelta(minutes=3)), "warning", "3m ahead of"),
    (judge_rights(None), "skipped", "not there"),
    (judge_rights(Rights(WORKER, 100, [])), "ok", "all 100"),
    (judge_rights(Rights(WORKER, 100, [RIGHT])), "error", "may not list virtualmachines.kubevirt.io"),
    (judge_rights(Rights("jane", 100, [RIGHT] * 8)), "warning", "and 3 more"),
    (judge_kinds([Kind("pools.cks.io")]), "ok", "v1alpha1"),
    (judge_kinds([Kind("pools.cks.io", there=False)]), "error", "not installed"),
    (judge_kinds([Kind("pools.cks.io", established=False)]), "error", "not served"),
    (judge_kinds([Kind("pools.cks.io", versions=("v1",))]), "error", "newer cks-pool"),
    (judge_kinds([Kind("pools.cks.io", schema=SCHEMA - 1)]), "error", "apply -k deployments/crds"),
    (judge_kinds([Kind("pools.cks.io", schema=SCHEMA + 1, current=False)]), "ok", "newer schema"),
    (judge_kinds([Kind("pools.cks.io", current=False)]), "warning", "by hand"),
    (judge_operator(operator()), "ok", "v1.8.0"),
    (judge_operator(operator(enabled=("Snapshot",))), "ok", "Snapshot"),
    (judge_operator(operator(disabled=("Snapshot",))), "error", "disabledFeatureGates"),
    (judge_operator(operator(phase="Deploying")), "error", "Deploying"),
    (judge_operator(operator(available="False", message="no nodes")), "error", "no nodes"),
    (judge_operator(Operator("CDI", installed=False)), "error", "install CDI"),
    (judge_operator(Operator("CDI", installed=True)), "skipped", "emulated"),
    (judge_webhooks([]), "skipped", ""),
    (judge_webhooks([Webhook("vm", "kubevirt/virt-api", 2, True)]), "ok", "1 of"),
    (judge_webhooks([Webhook("vm", "kubevirt/virt-api", 0, True)]), "error", "-n kubevirt get pods"),
    (judge_webhooks([Webhook("vm", "kubevirt/virt-api", 0, False)]), "warning", "nobody answers"),
    (judge_storage([]), "skipped", "no Pool"),
    (judge_storage([Storage("default", "fast", "snap", True)]), "ok", "is proved"),
    (judge_storage([Storage("default", "fast", "snap", False)]), "ok", "not proved yet"),
    (judge_storage([Storage("a", "fast", "snap"), Storage("b", trouble=InvalidInput("x", cure="y"))]), "error", "y"),
    (judge_images([]), "skipped", "no Pool"),
    (judge_images([Image("default", "url", "Succeeded")]), "ok", "is imported"),
    (judge_images([Image("default", "url", disk=True)]), "ok", "is imported"),
    (judge_images([Image("default", "url", "ImportInProgress", "12%")]), "ok", "12%"),
    (judge_images([Image("default", "url", "ImportInProgress", trouble="no room")]), "warning", "no room"),
    (judge_images([Image("default", "url", "Failed", failure="unauthorized")]), "error", "unauthorized"),
    (judge_images([Image("default", "url")]), "warning", "create-namespaces"),
    (judge_network(["kube-proxy", "calico-node"]), "ok", "was not tried"),
    (judge_network(["canal", "kube-flannel-ds"]), "ok", "Canal"),
    (judge_network(["kube-flannel-ds"]), "warning", "Flannel"),
    (judge_network(["kube-proxy"]), "skipped", "cannot be told"),
    (judge_api(Api("url", "3.9.1", "3.9.2")), "ok", "3.9.1"),
    (judge_api(Api("url", "3.4.0", "3.9.1")), "warning", "one version"),
    (judge_database("postgresql+asyncpg"), "ok", "PostgreSQL"),
    (judge_database("sqlite+aiosqlite"), "warning", "503"),
    (judge_database("**********"), "skipped", "does not tell"),
    (judge_schedule(Schedule("")), "error", "setup prefect"),
    (judge_schedule(Schedule("ID", paused=True, scheduled=True)), "error", "POST /deployments/ID/resume_deployment"),
    (judge_schedule(Schedule("ID", schedule="OF-IT")), "error", "resume pool-maintenance/pool-maintenance OF-IT"),
    (judge_schedule(Schedule("ID")), "error", "no schedule cks-pool setup prefect"),
    (judge_schedule(Schedule("ID", scheduled=True)), "ok", "none has completed"),
    (judge_schedule(Schedule("ID", scheduled=True, last=timedelta(minutes=4))), "ok", "4m ago"),
    (judge_schedule(Schedule("ID", scheduled=True, last=timedelta(hours=4))), "warning", "4h ago"),
    (judge_schedule(Schedule("ID", scheduled=True, late=3)), "warning", "3 late"),
    (judge_workers(Workers("")), "skipped", "not deployed"),
    (judge_workers(Workers("cks-pool", there=False)), "error", "no work pool"),
    (judge_workers(Workers("cks-pool", paused=True)), "error", "resume"),
    (judge_workers(Workers("cks-pool")), "error", "cks-pool worker"),
    (judge_workers(Workers("cks-pool", alive=("host-1",))), "ok", "host-1"),
]


@pytest.mark.parametrize(
    ("verdict", "severity", "said"), CASES, ids=[f"{one.severity}: {one.found}" for one, *_ in CASES]
)
def test_what_is_concluded(verdict: Verdict, severity: str, said: str) -> None:
    assert verdict.severity == severity
    assert said in f"{verdict.found} {verdict.cure}"
    assert bool(verdict.cure) >= (severity in ("warning", "error")), "what is wrong has a cure"


def test_every_severity_is_a_word_and_the_worst_one_counts() -> None:
    verdicts = [skipped("a"), ok("b"), warning("c", "d"), error("e", "f")]
    assert [str(verdict.severity) for verdict in verdicts] == ["skipped", "ok", "warning", "error"]
    assert [verdict.severity for verdict in verdicts if verdict.severity not in Severity] == []
    statuses = [exit_status([Finding("x", one) for one in verdicts[:count]]) for count in range(5)]
    assert statuses == [0, 0, 0, 1, 2]


def test_one_verdict_for_several_says_what_is_wrong_and_only_that() -> None:
    assert worst_of([ok("a"), error("b", "c"), warning("d", "e"), error("f", "c")]) == error("b; f", "c")
    assert worst_of([ok("a"), ok("b")]) == ok("a; b")


def test_an_operators_resource_is_read() -> None:
    found = operator_of(
        "KubeVirt",
        {
            "spec": {
                "configuration": {
                    "developerConfiguration": {"featureGates": ["Snapshot"], "disabledFeatureGates": ["HotplugNICs"]}
                }
            },
            "status": {
                "phase": "Deployed",
                "observedKubeVirtVersion": "v1.8.0",
                "conditions": [{"type": "Available", "status": "True", "reason": "AllComponentsReady"}],
            },
        },
    )
    assert judge_operator(found) == ok("KubeVirt v1.8.0 Deployed, gates Snapshot")
    assert found.disabled == ("HotplugNICs",)

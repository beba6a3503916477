"""A pool's whole life as a person has it: applied with kubectl, run from the wheel as the shipped accounts.

The API server judges every call by the shipped rights. What is refused on the way is a missing right; what was granted
and not used is named here with why it stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest

from demo.processes import ready_or_stopped
from demo.runs import Runs
from pool.kube.client import Object
from pool.kube.resources import CLUSTER_ROLE_BINDINGS, NAMESPACES, POOLED_CLUSTERS, POOLS, ROLE_BINDINGS, SESSIONS
from simulator.app import Simulator
from tests.deployments.installed import COMPLETE, HOME, Installation, done, started, until
from tests.deployments.overlays import of_kind
from tests.deployments.rights_used import Watcher
from tests.flows.conftest import plain_client
from tests.pool.kubectl import needed

pytestmark = [pytest.mark.prefect, pytest.mark.xdist_group("prefect-2"), pytest.mark.timeout(600), needed]

WHY: dict[str, set[str]] = {
    "what is applied server-side is created where it is missing, and servers ask for that right as well": {
        "cks-pool-cluster: create networkpolicies",
        "cks-pool-cluster: create resourcequotas",
        "cks-pool-namespaces: create rolebindings",
        "cks-pool-templates: create configmaps",
    },
    "asked for by whoever judges another call: a binding, a clone": {
        "cks-pool-clone-golden-image: create datavolumes/source",
        "cks-pool-templates: create datavolumes/source",
        "cks-pool-namespaces: bind clusterroles",
    },
    "a namespace that an earlier version made, or that somebody had made empty, gets its labels": {
        "cks-pool-namespaces: patch namespaces",
    },
    "a cluster's teardown, and what an aborted reset or an earlier version left": {
        "cks-pool-cluster: delete datavolumes",
        "cks-pool-cluster: delete persistentvolumeclaims",
        "cks-pool-cluster: delete services",
        "cks-pool-cluster: patch services",
        "cks-pool-cluster: patch virtualmachinesnapshots",
    },
    "the pool's own certificate is made anew near its end": {"cks-pool-cluster: update secrets"},
    "why something does not come up": {
        "cks-pool-cluster: get pods/log",
        *(f"cks-pool-observe: {verb} {kind}" for verb in ("get", "list", "watch") for kind in ("pods", "events")),
        *(f"cks-pool-observe: {verb} services" for verb in ("list", "watch")),
        "cks-pool-observe: watch persistentvolumeclaims",
    },
    "whose a namespace is that is there already": {
        *(f"cks-pool-observe: list {kind}" for kind in ("daemonsets", "deployments", "jobs", "statefulsets")),
    },
    "an image that is cloned from a DataSource": {"cks-pool-observe: get datasources"},
    "sessions that wait: one that loses its place, or waits longer; and those that ended long ago": {
        "cks-pool-gateway: delete sessions",
        "cks-pool-gateway: update sessions",
        "cks-pool-state: delete sessions",
        "cks-pool-state: update sessions",
    },
    "what a Pool names in spec.addons": {"cks-pool-state: get configmaps"},
    "the page's last events, which nobody looked at here": {
        "cks-pool-gateway: list events",
        "cks-pool-gateway: watch events",
    },
    "tokens of ServiceAccounts, which are off by default": {"cks-pool-gateway: create tokenreviews"},
    "a person's, who installs, upgrades or removes": {
        f"cks-pool-install: {verb} {kind}"
        for verbs, kinds in {
            "create patch": "customresourcedefinitions",
            "get create patch": "validatingadmissionpolicies validatingadmissionpolicybindings",
            "create patch delete": "namespaces",
            "get create patch delete": "roles rolebindings networkpolicies resourcequotas",
            "bind": "clusterroles",
        }.items()
        for verb in verbs.split()
        for kind in kinds.split()
    },
}
"""What was granted and not used by those it was granted to, by why it stays."""
UNUSED = set().union(*WHY.values())


async def test_a_pool_lives_as_it_is_installed_and_no_right_is_missing_or_too_many(
    installation: Installation, simulator: Simulator
) -> None:
    watcher = Watcher(simulator)
    for step in ("secrets", "prefect"):
        await done(await installation.run("cks-pool-setup-0-1-0", step))
    worker = await ready_or_stopped(*await installation.worker(), timeout=90)
    try:
        async with installation.gateway() as door, plain_client() as prefect:
            runs = Runs(prefect, "")
            await bootstrapped(installation, door)
            bindings = [
                *await installation.admin.list(CLUSTER_ROLE_BINDINGS),
                *await installation.admin.list(ROLE_BINDINGS),
            ]
            await served(installation, door)
            await served_by_runs(installation, runs)
            await worked_on(installation, door)
            await resized(installation, door)
            await reported(prefect, (await runs.of_deployment("bootstrap-pool"))[-1])
            await runs.run("teardown-pool", confirm="teardown")
    finally:
        await worker.stop()
    assert await installation.admin.list(NAMESPACES, labels="cks.io/pool=default") == []
    assert await installation.kubectl("diff", "-k", COMPLETE) == ""
    assert watcher.refused == []
    unused = watcher.unused(of_kind("complete", "Role", "ClusterRole"), bindings)
    assert sorted(unused - UNUSED) == [], "granted, not used, and nobody says why"
    assert sorted(UNUSED - unused) == [], "named as unused, and used or not granted at all"


async def bootstrapped(installation: Installation, door: httpx.AsyncClient) -> None:
    """By an operator, over HTTP."""
    await started(door, "/api/v1/admin/bootstrap-pool", {"size": 2})
    await until(installation, POOLS, "default", lambda pool: pool["status"].get("available") == 2)
    assert (await door.get("/api/v1/pools/default")).json()["stats"]["availableClusters"] == 2


async def reported(prefect: httpx.AsyncClient, run: dict[str, Any]) -> None:
    """The run's log and its events have come: each is sent by itself, and shows by itself who sends it."""
    about = {"related": {"id": [f"prefect.flow-run.{run['id']}"]}, "event": {"prefix": ["cks."]}}
    logs = partial(prefect.post, "/logs/filter", json={"logs": {"flow_run_id": {"any_": [run["id"]]}}})
    events = partial(prefect.post, "/events/filter", json={"filter": about})
    async with asyncio.timeout(60):
        while not ((await logs()).json() and (await events()).json()["events"]):  # noqa: ASYNC110 - it has no watch
            await asyncio.sleep(0.1)


async def served(installation: Installation, door: httpx.AsyncClient) -> None:
    """A session of a platform, from its cluster to its cluster's reset."""
    assigned = await door.post("/api/v1/sessions", json={"sessionId": "alice", "ttlSeconds": 600})
    assert assigned.status_code == 201, assigned.text
    cluster = assigned.json()["assignedCluster"]
    kubeconfig = await door.get("/api/v1/sessions/alice/kubeconfig")
    assert kubeconfig.status_code == 200, kubeconfig.text
    await started(door, "/api/v1/sessions/alice/reset")
    in_place = assigned.json()["epoch"] + 1
    await until(
        installation,
        POOLED_CLUSTERS,
        cluster,
        lambda one: (one["status"]["phase"], one["status"]["epoch"]) == ("locked", in_place),
    )
    longer = await door.patch("/api/v1/sessions/alice", json={"extendSeconds": 60})
    assert longer.status_code == 200, longer.text
    assert (await door.delete("/api/v1/sessions/alice")).status_code == 200
    await until(installation, POOLED_CLUSTERS, cluster, lambda one: one["status"]["phase"] == "available")


async def served_by_runs(installation: Installation, runs: Runs) -> None:
    """A session that is asked for, and given back, as flow runs."""
    await runs.run("assign-session", session_id="bob", ttl_seconds=600)
    cluster = (await installation.admin.get(SESSIONS, "bob", HOME))["status"]["assignedCluster"]
    await runs.run("release-session", session_id="bob")
    await until(installation, POOLED_CLUSTERS, cluster, lambda one: one["status"]["phase"] == "available")


async def worked_on(installation: Installation, door: httpx.AsyncClient) -> None:
    """By an operator: kept from sessions, snapshotted again, made anew."""
    clusters = "/api/v1/admin/clusters"
    assert (await door.post(f"{clusters}/cluster1/cordon")).status_code == 200
    assert (await door.post(f"{clusters}/cluster1/uncordon")).status_code == 200
    async with renewed(installation, "cluster1"):
        refresh = {"clusterIds": ["cluster1"], "refresh": True}
        await started(door, "/api/v1/admin/create-snapshots", refresh)
    async with renewed(installation, "cluster2"):
        await started(door, f"{clusters}/cluster2/rebuild")


@asynccontextmanager
async def renewed(installation: Installation, cluster: str) -> AsyncIterator[None]:
    """At its end the cluster is available with other golden snapshots than at its beginning."""
    before = (await installation.admin.get(POOLED_CLUSTERS, cluster, HOME))["status"]["golden"]["takenAt"]
    yield

    def check(one: Object) -> bool:
        golden = one["status"].get("golden") or {}
        return one["status"]["phase"] == "available" and golden.get("takenAt") != before

    await until(installation, POOLED_CLUSTERS, cluster, check)


async def resized(installation: Installation, door: httpx.AsyncClient) -> None:
    """Up, and down again."""
    for size in (3, 1):
        assert (await door.patch("/api/v1/pools/default", json={"size": size})).status_code == 200
        await until(
            installation,
            POOLS,
            "default",
            lambda pool, size=size: (pool["status"]["available"], pool["status"]["replicas"]) == (size, size),
        )

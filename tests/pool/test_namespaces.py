"""Namespaces over HTTP: what exists is adopted, what is somebody else's is refused, nothing is made by half."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pool.core.errors import NamespaceNotOurs
from pool.core.settings import Settings
from pool.kube.client import Kube
from pool.kube.resources import (
    CONFIG_MAPS,
    CRDS,
    DEPLOYMENTS,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    POOLED_CLUSTERS,
    PVCS,
    RESOURCE_QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SERVICES,
    Resource,
)
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster
from pool.work import namespaces
from simulator.app import Simulator
from tests.pool.wire import Wire

CLUSTER = Cluster("cluster1", "cluster1")
SETTINGS = Settings()
POD = {"containers": [{"name": "main", "image": "nginx"}]}
DEPLOYMENT = {
    "selector": {"matchLabels": {"app": "x"}},
    "template": {"metadata": {"labels": {"app": "x"}}, "spec": POD},
}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@pytest.fixture
async def kube(api_server: Simulator) -> AsyncIterator[Kube]:
    async with Kube.connect(api_server.kubeconfig_path) as connected:
        yield connected


async def labels(kube: Kube, name: str = "cluster1") -> dict[str, str]:
    found: dict[str, str] = (await kube.get(NAMESPACES, name))["metadata"].get("labels") or {}
    return found


async def test_a_cluster_namespace_has_all_it_needs(kube: Kube) -> None:
    await namespaces.ensure_templates_namespace(kube, SETTINGS)
    await namespaces.ensure_cluster_namespace(kube, CLUSTER, SETTINGS)

    ours = await labels(kube)
    assert ours["cks.io/cluster-pool"] == "true"
    assert ours["cks.io/cluster-id"] == "cluster1"
    binding = await kube.get(ROLE_BINDINGS, "clone-cluster1", "vm-templates")
    assert [subject["name"] for subject in binding["subjects"]] == ["system:serviceaccounts:cluster1"]
    role = await kube.get(ROLES, binding["roleRef"]["name"], "vm-templates")
    assert role["rules"] == [
        {"apiGroups": ["cdi.kubevirt.io"], "resources": ["datavolumes/source"], "verbs": ["create"]}
    ]
    assert await kube.list(NETWORK_POLICIES, "cluster1")
    quota = await kube.get(RESOURCE_QUOTAS, "cks-pool-disks", "cluster1")
    assert quota["spec"]["hard"]["requests.storage"] == "100Gi"
    assert "cks.io/cluster-pool" not in await labels(kube, "vm-templates")


async def test_again_it_changes_nothing(kube: Kube) -> None:
    async def versions() -> dict[str, str]:
        kinds = (ROLE_BINDINGS, NETWORK_POLICIES, RESOURCE_QUOTAS)
        found = [one for kind in kinds for one in await kube.list(kind)]
        found.append(await kube.get(NAMESPACES, "cluster1"))
        return {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in found}

    await namespaces.ensure_templates_namespace(kube, SETTINGS)
    await namespaces.ensure_cluster_namespace(kube, CLUSTER, SETTINGS)
    before = await versions()
    await namespaces.ensure_cluster_namespace(kube, CLUSTER, SETTINGS)
    assert await versions() == before


async def test_an_empty_namespace_is_adopted_and_keeps_its_labels(kube: Kube) -> None:
    await kube.create(NAMESPACES, NAMESPACES.manifest("cluster1", labels={"team": "training"}))
    await kube.create(CONFIG_MAPS, CONFIG_MAPS.manifest("notes", "cluster1", data={}))
    await namespaces.ensure_templates_namespace(kube, SETTINGS)
    await namespaces.ensure_cluster_namespace(kube, CLUSTER, SETTINGS)
    ours = await labels(kube)
    assert ours["team"] == "training"
    assert ours["cks.io/cluster-pool"] == "true"


@pytest.mark.parametrize(
    ("resource", "spec"),
    [(PODS, POD), (DEPLOYMENTS, DEPLOYMENT), (PVCS, CLAIM), (SERVICES, {"ports": [{"port": 80}]})],
    ids=lambda value: value.kind if isinstance(value, Resource) else "",
)
async def test_a_namespace_with_workloads_of_others_is_refused_and_left_alone(
    kube: Kube, api_server: Simulator, resource: Resource, spec: dict[str, Any]
) -> None:
    await kube.create(NAMESPACES, NAMESPACES.manifest("cluster1"))
    await kube.create(resource, resource.manifest("theirs", "cluster1", spec=spec))
    before, wire = await labels(kube), Wire(api_server)
    with pytest.raises(NamespaceNotOurs) as raised:
        await namespaces.ensure_cluster_namespace(kube, CLUSTER, SETTINGS)
    assert f"{resource.kind} theirs" in str(raised.value)
    assert not [call for call in wire.calls if call[0] in ("create", "update", "patch", "delete")]
    assert await labels(kube) == before


async def test_a_namespace_of_another_cluster_is_refused(kube: Kube) -> None:
    await namespaces.ensure_templates_namespace(kube, SETTINGS)
    await namespaces.ensure_cluster_namespace(kube, CLUSTER, SETTINGS)
    with pytest.raises(NamespaceNotOurs, match="of cluster cluster1"):
        await namespaces.check_cluster_namespaces(kube, [Cluster("other", "cluster1")])


async def test_one_bad_namespace_stops_the_check_of_all(kube: Kube) -> None:
    await kube.create(NAMESPACES, NAMESPACES.manifest("cluster2"))
    await kube.create(PODS, PODS.manifest("theirs", "cluster2", spec=POD))
    clusters = [Cluster(name, name) for name in ("cluster1", "cluster2", "cluster3")]
    with pytest.raises(NamespaceNotOurs, match="namespace cluster2"):
        await namespaces.check_cluster_namespaces(kube, clusters)
    assert await kube.find(NAMESPACES, "cluster1") is None


async def test_our_kinds_are_served_once_ensured(kube: Kube) -> None:
    async with Watching(kube) as watching:
        await namespaces.ensure_pool_namespace(kube, SETTINGS)
        await namespaces.ensure_crds(kube, watching)
        await namespaces.ensure_crds(kube, watching)
    assert await kube.list(POOLED_CLUSTERS, "cks-pool") == []
    assert len([crd for crd in await kube.list(CRDS) if crd["spec"]["group"] == "cks.io"]) == 2


async def test_only_our_namespaces_are_deleted(kube: Kube) -> None:
    await kube.create(NAMESPACES, NAMESPACES.manifest("cluster1"))
    async with Watching(kube) as watching:
        with pytest.raises(NamespaceNotOurs):
            await namespaces.delete_cluster_namespace(kube, watching, CLUSTER, timeout=10)
        assert await kube.find(NAMESPACES, "cluster1")
        await namespaces.ensure_templates_namespace(kube, SETTINGS)
        await namespaces.ensure_cluster_namespace(kube, CLUSTER, SETTINGS)
        await namespaces.delete_cluster_namespace(kube, watching, CLUSTER, timeout=10)
        await namespaces.delete_cluster_namespace(kube, watching, CLUSTER, timeout=10)
    assert await kube.find(NAMESPACES, "cluster1") is None


def test_clusters_do_not_reach_one_another() -> None:
    spec = namespaces.isolation(CLUSTER, SETTINGS)["spec"]
    sources = Counter(next(iter(one)) for one in spec["ingress"][0]["from"])
    assert sources == {"podSelector": 1, "namespaceSelector": 2}
    assert spec["ingress"][0]["from"][1]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "cks-pool"
    }
    internet = spec["egress"][0]["to"][1]["ipBlock"]
    assert "10.0.0.0/8" in internet["except"]
    assert "169.254.0.0/16" in internet["except"]


@pytest.mark.parametrize(("quantity", "expected"), [("20Gi", "100Gi"), ("1.5Ti", "7.5Ti"), ("500", "2500")])
def test_quantities_are_multiplied(quantity: str, expected: str) -> None:
    assert namespaces.times(quantity, 5) == expected

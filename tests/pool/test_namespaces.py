"""Namespaces over HTTP: what exists is adopted, what is somebody else's is refused, nothing is made by half."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from pool.core.errors import AlreadyExists, Invalid, NamespaceNotOurs, NotOurs
from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import (
    CONFIG_MAPS,
    CRDS,
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    POOLED_CLUSTERS,
    PVCS,
    RESOURCE_QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster
from pool.work import namespaces
from pool.work.namespaces.checks import check_cluster_namespaces
from simulator.api.requests import Target
from simulator.app import Simulator
from tests.pool.bench import fence_of_nobody
from tests.pool.builders import member, pool
from tests.pool.wire import Wire

POOL = pool()
CLUSTER = member()
SETTINGS = Settings(delete_timeout=10)
VIEW = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
DOCKER = {".dockercfg": "e30="}
POD = {"containers": [{"name": "main", "image": "nginx"}]}
DEPLOYMENT = {
    "selector": {"matchLabels": {"app": "x"}},
    "template": {"metadata": {"labels": {"app": "x"}}, "spec": POD},
}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


KINDS = {one.kind: one for one in (CONFIG_MAPS, ROLE_BINDINGS, SECRETS, SERVICE_ACCOUNTS)}
WRITES = ("create", "update", "patch", "delete")
OTHERS = pool("other")


@pytest.fixture
async def kube(api_server: Simulator) -> AsyncIterator[Kube]:
    async with Kube.connect(api_server.kubeconfig_path) as connected:
        yield connected


@pytest.fixture
async def watching(kube: Kube) -> AsyncIterator[Watching]:
    async with Watching(kube) as opened:
        await namespaces.ensure_templates_namespace(kube, SETTINGS)
        yield opened


async def ensure(kube: Kube, watching: Watching, cluster: Cluster = CLUSTER, of: Pool = POOL) -> None:
    await namespaces.ensure_cluster_namespace(kube, watching, cluster, of, SETTINGS)


async def labels(kube: Kube, name: str = "cluster1") -> dict[str, str]:
    found: dict[str, str] = (await kube.get(NAMESPACES, name))["metadata"].get("labels") or {}
    return found


async def test_a_cluster_namespace_has_all_it_needs(kube: Kube, watching: Watching) -> None:
    await ensure(kube, watching)

    ours = await labels(kube)
    assert CLUSTER.labels.items() <= ours.items()
    binding = await kube.get(ROLE_BINDINGS, "clone-cluster1", "vm-templates")
    assert [subject["name"] for subject in binding["subjects"]] == ["system:serviceaccounts:cluster1"]
    role = await kube.get(ROLES, binding["roleRef"]["name"], "vm-templates")
    assert role["rules"] == [
        {"apiGroups": ["cdi.kubevirt.io"], "resources": ["datavolumes/source"], "verbs": ["create"]}
    ]
    assert await kube.list(NETWORK_POLICIES, "cluster1")
    quota = await kube.get(RESOURCE_QUOTAS, "cks-pool-disks", "cluster1")
    assert quota["spec"]["hard"]["requests.storage"] == "100Gi"
    assert "cks.io/pool" not in await labels(kube, "vm-templates")


async def test_again_it_changes_nothing(kube: Kube, watching: Watching) -> None:
    async def versions() -> dict[str, str]:
        kinds = (ROLE_BINDINGS, NETWORK_POLICIES, RESOURCE_QUOTAS)
        found = [one for kind in kinds for one in await kube.list(kind)]
        found.append(await kube.get(NAMESPACES, "cluster1"))
        return {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in found}

    await ensure(kube, watching)
    before = await versions()
    await ensure(kube, watching)
    assert await versions() == before


async def test_an_empty_namespace_is_adopted_and_keeps_its_labels(kube: Kube, watching: Watching) -> None:
    await kube.create(NAMESPACES, NAMESPACES.manifest("cluster1", labels={"team": "training"}))
    for given in (
        SERVICE_ACCOUNTS.manifest("default", "cluster1"),
        CONFIG_MAPS.manifest("kube-root-ca.crt", "cluster1", data={}),
        ROLE_BINDINGS.manifest("system:image-pullers", "cluster1", roleRef=VIEW),
        SECRETS.manifest(
            "default-dockercfg-x", "cluster1", type="kubernetes.io/dockercfg", data={".dockercfg": "e30="}
        ),
    ):
        with suppress(AlreadyExists):
            await kube.create(KINDS[given["kind"]], given)
    await ensure(kube, watching)
    ours = await labels(kube)
    assert ours["team"] == "training"
    assert ours["cks.io/pool"] == "default"


@pytest.mark.parametrize(
    ("resource", "body"),
    [
        (PODS, {"spec": POD}),
        (DEPLOYMENTS, {"spec": DEPLOYMENT}),
        (PVCS, {"spec": CLAIM}),
        (SERVICES, {"spec": {"ports": [{"port": 80}]}}),
        (SECRETS, {"data": {}}),
        (CONFIG_MAPS, {"data": {}}),
        (SERVICE_ACCOUNTS, {}),
        (ROLES, {"rules": []}),
        (ROLE_BINDINGS, {"roleRef": VIEW}),
        (LEASES, {"spec": {}}),
        (NETWORK_POLICIES, {"spec": {"podSelector": {}}}),
        (RESOURCE_QUOTAS, {"spec": {"hard": {"pods": "1"}}}),
    ],
    ids=lambda value: value.kind if isinstance(value, Resource) else "",
)
async def test_a_namespace_that_holds_anything_of_others_is_refused_and_left_alone(
    kube: Kube, watching: Watching, api_server: Simulator, resource: Resource, body: dict[str, Any]
) -> None:
    await kube.create(NAMESPACES, NAMESPACES.manifest("cluster1"))
    await kube.create(resource, resource.manifest("theirs", "cluster1", **body))
    before, wire = await labels(kube), Wire(api_server)
    with pytest.raises(NamespaceNotOurs) as raised:
        await ensure(kube, watching)
    assert f"{resource.kind} theirs" in str(raised.value)
    assert not [call for call in wire.calls if call[0] in WRITES]
    assert await labels(kube) == before


@pytest.mark.parametrize(
    "name", ["cks-pool", "vm-templates", "default", "kube-system", "kube-public", "kube-node-lease"]
)
async def test_the_pools_own_and_the_systems_namespaces_are_never_a_clusters(
    kube: Kube, watching: Watching, api_server: Simulator, name: str
) -> None:
    with suppress(AlreadyExists):
        await kube.create(NAMESPACES, NAMESPACES.manifest(name))
    before, wire = await labels(kube, name), Wire(api_server)
    with pytest.raises(NamespaceNotOurs, match=name):
        await check_cluster_namespaces(kube, POOL, [name], SETTINGS)
    with pytest.raises(NamespaceNotOurs, match=name):
        await ensure(kube, watching, member(name))
    assert not await namespaces.delete_cluster_namespace(kube, watching, member(name), timeout=10)
    assert not [call for call in wire.calls if call[0] in WRITES]
    assert await labels(kube, name) == before


async def test_a_namespace_of_another_cluster_is_refused(kube: Kube, watching: Watching) -> None:
    await ensure(kube, watching)
    taken = Cluster("other", "cluster1", "uid-other", POOL.name, POOL.metadata.uid)
    with pytest.raises(NamespaceNotOurs, match="of cluster cluster1"):
        await ensure(kube, watching, taken)


async def test_a_namespace_of_another_pool_is_refused_with_that_pools_name_and_never_deleted(
    kube: Kube, watching: Watching, api_server: Simulator
) -> None:
    await ensure(kube, watching)
    theirs = member(of=OTHERS)
    before, wire = await labels(kube), Wire(api_server)
    with pytest.raises(NamespaceNotOurs, match="cluster cluster1 of pool default"):
        await check_cluster_namespaces(kube, OTHERS, ["cluster1"], SETTINGS)
    with pytest.raises(NamespaceNotOurs, match="cluster cluster1 of pool default"):
        await ensure(kube, watching, theirs, OTHERS)
    assert not await namespaces.delete_cluster_namespace(kube, watching, theirs, timeout=10)
    assert not await namespaces.remove_clone_binding(fence_of_nobody(kube), theirs, SETTINGS)
    assert not [call for call in wire.calls if call[0] in WRITES]
    assert await labels(kube) == before


async def test_a_right_to_clone_that_another_pool_gave_is_left_alone(kube: Kube, watching: Watching) -> None:
    await ensure(kube, watching)
    await namespaces.delete_cluster_namespace(kube, watching, CLUSTER, timeout=10)
    with pytest.raises(NotOurs, match="RoleBinding vm-templates/clone-cluster1"):
        await ensure(kube, watching, member(of=OTHERS), OTHERS)
    assert await kube.find(NAMESPACES, "cluster1") is None


async def test_the_namespace_of_an_earlier_cluster_of_that_name_becomes_the_new_ones(
    kube: Kube, watching: Watching
) -> None:
    await ensure(kube, watching)
    later = member(uid="uid-later")
    await ensure(kube, watching, later)
    assert (await labels(kube))["cks.io/cluster-uid"] == "uid-later"
    quota = await kube.get(RESOURCE_QUOTAS, "cks-pool-disks", "cluster1")
    assert quota["metadata"]["labels"] == later.labels


async def test_a_namespace_made_anew_after_it_was_looked_at_is_not_labelled_for_it(
    kube: Kube, watching: Watching, api_server: Simulator
) -> None:
    await kube.create(NAMESPACES, NAMESPACES.manifest("cluster1"))
    wire = Wire(api_server)

    async def replaced(target: Target) -> None:
        if (target.verb, target.plural) == ("patch", "namespaces"):
            wire.before = None
            await kube.delete(NAMESPACES, "cluster1")
            await watching.until(NAMESPACES, "cluster1", None, lambda seen: seen is None or None, timeout=10, what="it")
            await kube.create(NAMESPACES, NAMESPACES.manifest("cluster1"))

    wire.before = replaced
    with pytest.raises(Invalid, match=r"metadata\.uid"):
        await ensure(kube, watching)
    assert "cks.io/pool" not in await labels(kube)


async def test_one_bad_namespace_stops_the_check_of_all(kube: Kube) -> None:
    await kube.create(NAMESPACES, NAMESPACES.manifest("cluster2"))
    await kube.create(PODS, PODS.manifest("theirs", "cluster2", spec=POD))
    with pytest.raises(NamespaceNotOurs, match="namespace cluster2"):
        await check_cluster_namespaces(kube, POOL, ["cluster1", "cluster2", "cluster3"], SETTINGS)
    assert await kube.find(NAMESPACES, "cluster1") is None


async def held(kube: Kube, name: str = "cluster1") -> None:
    """The namespace is being deleted, and something keeps it from going."""
    kept = CONFIG_MAPS.manifest("kept", name, data={})
    kept["metadata"]["finalizers"] = ["example.org/kept"]
    await kube.create(CONFIG_MAPS, kept)
    await kube.delete(NAMESPACES, name)


async def test_one_of_ours_that_is_being_deleted_is_waited_for_and_made_anew(kube: Kube, watching: Watching) -> None:
    await ensure(kube, watching)
    old = await kube.get(NAMESPACES, "cluster1")
    await held(kube)

    async def let_go() -> None:
        await watching.until(
            NAMESPACES, "cluster1", None, lambda seen: bool(seen and _going(seen)) or None, timeout=10, what="it to go"
        )
        await kube.patch(CONFIG_MAPS, "kept", {"metadata": {"finalizers": None}}, "cluster1")

    await gather([ensure(kube, watching), let_go()])
    new = await kube.get(NAMESPACES, "cluster1")
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert not _going(new)
    assert await kube.list(RESOURCE_QUOTAS, "cluster1")


async def test_one_of_others_that_is_being_deleted_is_refused_with_words(kube: Kube, watching: Watching) -> None:
    await kube.create(NAMESPACES, NAMESPACES.manifest("cluster1"))
    await held(kube)
    with pytest.raises(NamespaceNotOurs, match="is being deleted; wait until it is gone"):
        await ensure(kube, watching)


def _going(namespace: Object) -> bool:
    return "deletionTimestamp" in namespace["metadata"]


async def test_our_kinds_are_served_once_ensured(kube: Kube) -> None:
    async with Watching(kube) as watching:
        await namespaces.ensure_pool_namespace(kube, SETTINGS)
        await namespaces.ensure_crds(kube, watching)
        await namespaces.ensure_crds(kube, watching)
    assert await kube.list(POOLED_CLUSTERS, "cks-pool") == []
    assert len([crd for crd in await kube.list(CRDS) if crd["spec"]["group"] == "cks.io"]) == 3


async def test_only_our_namespaces_are_deleted(kube: Kube, watching: Watching) -> None:
    await kube.create(NAMESPACES, NAMESPACES.manifest("cluster1"))
    assert not await namespaces.delete_cluster_namespace(kube, watching, CLUSTER, timeout=10)
    assert await kube.find(NAMESPACES, "cluster1")
    await ensure(kube, watching)
    assert await namespaces.delete_cluster_namespace(kube, watching, CLUSTER, timeout=10)
    assert not await namespaces.delete_cluster_namespace(kube, watching, CLUSTER, timeout=10)
    assert await kube.find(NAMESPACES, "cluster1") is None
    assert await namespaces.remove_clone_binding(fence_of_nobody(kube), CLUSTER, SETTINGS)
    assert not await namespaces.remove_clone_binding(fence_of_nobody(kube), CLUSTER, SETTINGS)
    assert await kube.list(ROLE_BINDINGS, "vm-templates") == []


async def test_a_namespace_that_lost_its_labels_is_not_forgotten_with_a_clusters_disks_in_it(
    kube: Kube, watching: Watching
) -> None:
    await kube.create(NAMESPACES, NAMESPACES.manifest("cluster1"))
    await kube.create(PVCS, PVCS.manifest("disk", "cluster1", labels=CLUSTER.labels, spec=CLAIM))
    with pytest.raises(NamespaceNotOurs, match="no pool's, with PersistentVolumeClaim cluster1/disk of cluster1"):
        await namespaces.delete_cluster_namespace(kube, watching, CLUSTER, timeout=10)
    assert await kube.find(NAMESPACES, "cluster1")

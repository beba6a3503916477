"""Objects that a newer version wrote, as in a rolling update: unknown fields stay, an unreadable one is one bad object.

| what is unreadable                     | what is done for others | what becomes of it                      |
|----------------------------------------|-------------------------|-----------------------------------------|
| a cluster, free or in an unknown phase | everything              | broken, handed to nobody, left as it is |
| a cluster that a session holds         | everything              | its session keeps it                    |
| a session that waits                   | everything              | left as it is, no place in the queue    |
| a session that holds a cluster         | everything              | keeps it                                |
| a Pool                                 | all in other Pools      | nothing is assigned of it               |
"""

from __future__ import annotations

from typing import Any

import pytest

from pool.core.clusters import POOL_UID_LABEL, OperationKind
from pool.core.errors import InvalidInput, NoClusterAvailable
from pool.core.planner import Observed, PlanConfig, plan
from pool.core.pool_status import status_of
from pool.kube.client import Object
from pool.kube.resources import CRDS, POOLED_CLUSTERS, POOLS, SESSIONS, Resource
from pool.kubevirt.manifests import IMAGE_LABEL
from pool.work.images import unused_images
from pool.work.steps import Host
from pool.work.upkeep.status import note_pool_status
from tests.pool.lab import ATTESTED, Lab

NEWER = {"mood": "good", "parts": [{"name": "left", "since": "2030-01-01T00:00:00Z"}]}


def anything(**selected: Any) -> dict[str, Any]:
    """A schema that takes whatever a newer version may write; `selected` can be selected by."""
    return {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": selected}


@pytest.fixture
async def newer(lab: Lab) -> Lab:
    """A pool whose kinds are those of a version to come, which knows more fields and values."""
    text = {"type": "string"}
    schema = {
        "type": "object",
        "properties": {
            "spec": anything(pool=text),
            "status": anything(phase=text, assignedSession=text, assignedCluster=text),
        },
    }
    for kind in (POOLED_CLUSTERS, SESSIONS, POOLS):
        wanted = [{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}]
        await lab.kube.patch(CRDS, f"{kind.plural}.{kind.group}", wanted)
    return lab


async def raw(lab: Lab, kind: Resource, name: str) -> Object:
    return await lab.kube.get(kind, name, lab.settings.namespace)


async def noted(lab: Lab, kind: Resource, name: str, *, spec: Any = None, **status: Any) -> None:
    """What the newer version writes."""
    if spec is not None:
        await lab.kube.patch(kind, name, {"spec": spec}, lab.settings.namespace)
    await lab.kube.patch(kind, name, {"status": status}, lab.settings.namespace, subresource="status")


async def test_fields_that_are_not_known_here_are_kept_by_every_write(newer: Lab) -> None:
    lab = newer
    await lab.pool(1)
    await noted(lab, POOLED_CLUSTERS, "cluster1", future=NEWER, golden={"checksums": NEWER})
    await noted(lab, POOLS, "default", spec={"colour": "red"}, future=NEWER)
    await lab.state.assign("alice", heartbeat_timeout_seconds=60)
    await noted(lab, SESSIONS, "alice", spec={"colour": "red"}, future=NEWER)
    await lab.state.extend("alice", 60)
    await lab.state.heartbeat_session("alice")
    await note_pool_status(Host(lab.settings, lab.kube, lab.watching, lab.state), "default")
    await lab.state.release("alice")
    work = await lab.begin("cluster1", OperationKind.RESET, "run")
    await noted(lab, POOLED_CLUSTERS, "cluster1", operation={"future": NEWER})
    await work.heartbeat()
    assert (await raw(lab, POOLED_CLUSTERS, "cluster1"))["status"]["operation"]["future"] == NEWER
    await work.finish(attested=ATTESTED)

    cluster, session, pool = [
        await raw(lab, *one) for one in ((POOLED_CLUSTERS, "cluster1"), (SESSIONS, "alice"), (POOLS, "default"))
    ]
    assert (cluster["status"]["phase"], session["status"]["phase"]) == ("available", "Released")
    assert cluster["status"]["future"] == cluster["status"]["golden"]["checksums"] == NEWER
    assert (session["status"]["future"], session["spec"]["colour"]) == (NEWER, "red")
    assert (pool["status"]["future"], pool["spec"]["colour"]) == (NEWER, "red")


BAD = {"phase": {"phase": "hibernating"}, "field": {"golden": {"generation": "two"}}}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("follows", [False, True], ids=["reads", "follows"])
async def test_one_unreadable_cluster_is_one_broken_cluster(
    newer: Lab, caplog: pytest.LogCaptureFixture, bad: dict[str, Any], follows: bool
) -> None:
    lab = newer
    await lab.pool(2)
    await noted(lab, POOLED_CLUSTERS, "cluster1", **bad)
    before = await raw(lab, POOLED_CLUSTERS, "cluster1")
    stats = await lab.state.stats()
    assert (stats.total_clusters, stats.available_clusters, stats.error_clusters) == (2, 1, 1)
    if follows:
        async with lab.state.following():
            assert (await lab.state.assign("alice")).status.assigned_cluster == "cluster2"
    else:
        assert (await lab.state.assign("alice")).status.assigned_cluster == "cluster2"
    with pytest.raises(NoClusterAvailable):
        await lab.state.assign("bob")
    await lab.state.release("alice")
    await lab.reset("cluster2")
    assert await lab.state.serve_queue() == 0
    with pytest.raises(InvalidInput, match="PooledCluster cluster1 cannot be read"):
        await lab.begin("cluster1", OperationKind.REBUILD, "run")
    clusters, pool = await lab.state.clusters(), await lab.state.pool()
    ready = status_of(pool, clusters, [], lab.clock())
    assert any("cluster1: Unreadable" in condition.message for condition in ready.conditions)
    resized = pool.changed(spec=pool.spec.changed(size=2))
    actions = plan(Observed.of(resized, [], clusters), PlanConfig(), lab.clock())
    assert "cluster1" not in str(actions), "nothing is done to what is not understood"
    assert await raw(lab, POOLED_CLUSTERS, "cluster1") == before
    assert "PooledCluster cluster1 cannot be read" in caplog.text


async def test_a_session_keeps_its_cluster_if_that_is_unreadable(newer: Lab) -> None:
    lab = newer
    await lab.pool(1)
    await lab.state.assign("alice", ttl_seconds=60)
    await noted(lab, POOLED_CLUSTERS, "cluster1", phase="hibernating")
    before = await raw(lab, POOLED_CLUSTERS, "cluster1")
    lab.clock.forward(61)
    assert await lab.state.serve_queue() == 0
    assert await lab.end_due() == []
    assert (await lab.state.session("alice")).phase == "Active"
    assert await raw(lab, POOLED_CLUSTERS, "cluster1") == before


async def test_an_unreadable_session_keeps_its_cluster_and_hinders_nobody(newer: Lab) -> None:
    lab = newer
    await lab.pool(2)
    await lab.state.assign("alice")
    await noted(lab, SESSIONS, "alice", phase="Paused")
    before = await raw(lab, SESSIONS, "alice"), await raw(lab, POOLED_CLUSTERS, "cluster1")
    assert (await lab.state.assign("bob")).status.assigned_cluster == "cluster2"
    assert await lab.state.serve_queue() == 0
    assert await lab.end_due() == []
    with pytest.raises(InvalidInput, match="Session alice cannot be read"):
        await lab.state.release("alice")
    with pytest.raises(InvalidInput, match="Session alice cannot be read"):
        await lab.state.assign("alice")
    assert (await raw(lab, SESSIONS, "alice"), await raw(lab, POOLED_CLUSTERS, "cluster1")) == before


async def test_an_unreadable_session_that_waits_has_no_place_and_is_left_as_it_is(newer: Lab) -> None:
    lab = newer
    spec = {"pool": "default", "priority": "highest"}
    await lab.kube.create(SESSIONS, SESSIONS.manifest("odd", lab.settings.namespace, spec=spec))
    await lab.pool(1)
    assert await lab.state.serve_queue() == 0
    assert (await lab.state.assign("alice")).status.assigned_cluster == "cluster1"
    actions = plan(Observed.of(await lab.state.pool(), await lab.state.sessions(), []), PlanConfig(), lab.clock())
    assert "odd" not in str(actions)


async def test_an_unreadable_pool_is_its_own_trouble(newer: Lab) -> None:
    lab = newer
    await lab.state.ensure_pool("other")
    await lab.add("o1", pool="other")
    await lab.kube.create(SESSIONS, SESSIONS.manifest("odd", lab.settings.namespace, spec={"pool": "other"}))
    await lab.kube.patch(POOLS, "other", {"spec": {"size": "many"}}, lab.settings.namespace)
    await lab.pool(1)
    assert await lab.state.serve_queue() == 0
    assert (await lab.state.assign("alice")).status.assigned_cluster == "cluster1"
    with pytest.raises(InvalidInput, match="Pool other cannot be read"):
        await lab.state.assign("bob", "other")
    assert await lab.state.pool_names() == ["default", "other"]


async def test_an_image_that_an_unreadable_cluster_may_stem_from_stays(newer: Lab) -> None:
    lab = newer
    await lab.pool(1)
    await noted(lab, POOLED_CLUSTERS, "cluster1", image={"url": 5})
    (found,) = await lab.state.clusters()
    pool = await lab.state.pool()
    disk = {"metadata": {"name": "some-image", "labels": {POOL_UID_LABEL: pool.metadata.uid, IMAGE_LABEL: "some"}}}
    assert unused_images([disk], [], pool) == [disk]
    assert unused_images([disk], [found], pool) == []


async def test_a_deleted_pool_stays_for_an_unreadable_cluster(newer: Lab) -> None:
    lab = newer
    await lab.pool(1)
    await noted(lab, POOLED_CLUSTERS, "cluster1", phase="hibernating")
    await lab.state.hold_pool("default")
    await lab.kube.delete(POOLS, "default", lab.settings.namespace)
    observed = Observed.of(await lab.state.pool(), [], await lab.state.clusters())
    assert plan(observed, PlanConfig(), lab.clock()) == []

"""Pools as an operator has them in hand: kubectl on one side, maintenance on the other.

apply       a whole Pool, a minimal one, and again with a change
scale       up and down; a held cluster stays until its session has ended
get         the columns that say how a pool is; a cluster on its way out is seen as such
describe    conditions with reasons in words
wait        until it is Ready
delete      a cluster, which is made anew; a pool, which takes its clusters along
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pool.kube.resources import POOLS
from simulator.app import Simulator
from tests.pool.kubectl import Kubectl, needed
from tests.pool.work.upkeep.hands import Hands

pytestmark = needed

WHOLE = """
apiVersion: cks.io/v1alpha1
kind: Pool
metadata: {name: lab}
spec:
  size: 2
  clusterPrefix: lab
  image: {url: "docker://registry.example/lab:v1.34.1", kubernetesVersion: v1.34.1}
  machines: {cpu: 4, memory: 8Gi, disk: 30Gi}
  sessions: {ttlSeconds: 600, maxTtlSeconds: 1200}
  minStandby: 0
"""
MINIMAL = """
apiVersion: cks.io/v1alpha1
kind: Pool
metadata: {name: small}
spec: {clusterPrefix: small}
"""
EMPTY = """
apiVersion: cks.io/v1alpha1
kind: Pool
metadata: {name: default}
spec: {}
"""


@pytest.fixture
def kubectl(hands: Hands, api_server: Simulator, tmp_path: Path) -> Kubectl:
    assert api_server.kubeconfig_path is not None
    return Kubectl(api_server.kubeconfig_path, hands.lab.settings.namespace, tmp_path)


async def test_an_empty_pool_applied_is_a_pool_of_three_that_becomes_ready(hands: Hands, kubectl: Kubectl) -> None:
    await hands.lab.kube.patch(POOLS, "default", {"metadata": {"finalizers": []}}, hands.lab.settings.namespace)
    await kubectl("delete", "pool", "default")
    await kubectl("apply", "-f", "-", given=EMPTY)
    refused = await kubectl("wait", "--for=condition=Ready", "pool/default", "--timeout=1s", fails=True)
    assert "timed out" in refused
    await hands.settle()
    await kubectl("wait", "--for=condition=Ready", "pool/default", "--timeout=10s")
    (row,) = await kubectl.table("pools")
    assert list(row) == ["NAME", "SIZE", "AVAILABLE", "LOCKED", "RESETTING", "ERROR", "WAITING", "IMAGE", "AGE"]
    assert list(row.values())[:7] == ["default", "3", "3", "0", "0", "0", "0"]
    assert row["IMAGE"].startswith("docker://")


async def test_pools_are_applied_whole_minimal_and_again_with_a_change(hands: Hands, kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=WHOLE)
    await kubectl("apply", "-f", "-", given=MINIMAL)
    await hands.settle("lab")
    await hands.settle("small")
    assert {row["NAME"]: row["AVAILABLE"] for row in await kubectl.table("pools", "lab", "small")} == {
        "lab": "2",
        "small": "3",
    }
    await kubectl("apply", "-f", "-", given=WHOLE.replace("size: 2", "size: 1"))
    await hands.settle("lab")
    assert [row["NAME"] for row in await kubectl.table("pcl", "-l", "cks.io/pool=lab")] == ["lab1"]
    refused = await kubectl("apply", "-f", "-", given=WHOLE.replace("Prefix: lab", "Prefix: other"), fails=True)
    assert "a pool's prefix never changes" in refused


async def test_scaling_grows_and_shrinks_a_pool(hands: Hands, kubectl: Kubectl) -> None:
    await hands.settle()
    await kubectl("scale", "pool", "default", "--replicas=5")
    await hands.settle()
    scale = await kubectl("get", "pool", "default", "-o", "jsonpath={.spec.size} {.status.replicas} {.status.selector}")
    assert scale == "5 5 cks.io/pool=default"
    held = [(await hands.lab.state.assign(name, ttl_seconds=60)).status.assigned_cluster for name in "abcde"]
    await hands.lab.state.release("a")
    assert held[0] is not None
    await hands.lab.reset(held[0])
    await kubectl("scale", "pool", "default", "--replicas=0", "--current-replicas=5")
    await hands.settle()
    (row,) = await kubectl.table("pools")
    assert (row["SIZE"], row["LOCKED"], row["AVAILABLE"]) == ("0", "4", "0")
    hands.lab.clock.forward(61)
    await hands.settle()
    assert (await kubectl("get", "pcl")).strip() == ""


async def test_a_pool_is_described_in_words(hands: Hands, kubectl: Kubectl) -> None:
    await hands.keep_up()
    told = await kubectl("describe", "pool", "default")
    assert "cluster1, cluster2, cluster3 being made" in told
    assert "0 of 3 clusters are made" in told
    await hands.settle()
    told = await kubectl("describe", "pool", "default")
    assert "3 of 3 clusters are made: 3 available" in told
    assert "Observed Generation:" in told


async def test_a_deleted_cluster_is_seen_on_its_way_out_and_made_anew(hands: Hands, kubectl: Kubectl) -> None:
    await hands.settle()
    await kubectl("delete", "pcl", "cluster2", "--wait=false")
    rows = {row["NAME"]: row for row in await kubectl.table("pcl")}
    assert rows["cluster2"]["REMOVING"] not in ("", "<none>")
    assert rows["cluster1"]["REMOVING"] in ("", "<none>")
    await hands.keep_up()
    (pool,) = await kubectl.table("pools", "-o", "wide")
    assert (pool["REMOVING"], pool["READY"]) == ("1", "False")
    await hands.settle()
    await kubectl("wait", "--for=condition=Ready", "pool/default", "--timeout=10s")
    assert len(await kubectl.table("pcl")) == 3


async def test_a_deleted_pool_takes_its_clusters_along(hands: Hands, kubectl: Kubectl) -> None:
    await hands.settle()
    await kubectl("delete", "pool", "default", "--wait=false")
    await hands.settle()
    await kubectl("wait", "--for=delete", "pool/default", "--timeout=10s")
    assert (await kubectl("get", "pcl,pools")).strip() == ""

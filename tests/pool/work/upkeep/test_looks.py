"""What a look at a guest leaves behind, and that the pool's own way into it does not end."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

import pytest
import yaml

from pool.core.clusters import ConditionType
from pool.core.errors import UnknownCluster
from pool.guest import pki
from pool.guest.identity import ensure_identity
from pool.guest.kubeconfig import RENEW_BEFORE, ensure_kubeconfig
from pool.kube.resources import NAMESPACES, SECRETS
from pool.kubevirt.cluster import KUBECONFIG_SECRET, Cluster
from pool.work.upkeep.health import look
from tests.pool.lab import Lab
from tests.pool.work.upkeep.hands import Hands


async def end_of_certificate(lab: Lab, cluster: Cluster) -> datetime:
    secret = await lab.kube.get(SECRETS, KUBECONFIG_SECRET, cluster.namespace)
    user = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))["users"][0]["user"]
    return pki.ends(base64.b64decode(user["client-certificate-data"]))


async def test_a_guest_that_is_not_there_is_noted_as_ill_and_one_that_is_gone_is_told_apart(hands: Hands) -> None:
    lab = hands.lab
    await lab.add("cluster1")
    await look(hands.host, "cluster1")
    condition = (await lab.state.cluster("cluster1")).status.condition(ConditionType.GUEST_HEALTHY)
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "NotFound")
    with pytest.raises(UnknownCluster):
        await look(hands.host, "cluster2")


async def test_the_pools_certificate_is_renewed_before_its_end_though_the_cluster_is_never_made_again(
    hands: Hands,
) -> None:
    lab, now = hands.lab, hands.lab.clock()
    cluster = Cluster.of(await lab.add("cluster1"))
    await lab.kube.create(NAMESPACES, NAMESPACES.manifest(cluster.namespace, labels=cluster.labels))
    identity = await ensure_identity(lab.kube, cluster, now)
    await ensure_kubeconfig(lab.kube, cluster, identity, now)
    first = await end_of_certificate(lab, cluster)
    await look(hands.host, "cluster1")
    assert await end_of_certificate(lab, cluster) == first, "not while it is good for long"
    lab.clock.forward((first - now - RENEW_BEFORE + timedelta(days=1)).total_seconds())
    await look(hands.host, "cluster1")
    assert await end_of_certificate(lab, cluster) > first

"""A canary in the guest: planted when the cluster became available, and gone if a reset really took the disks back."""

from __future__ import annotations

from contextlib import suppress

from pool.core.errors import AlreadyExists, AttestationFailed
from pool.guest.kubeconfig import connect_guest
from pool.kube.client import Kube
from pool.kube.resources import CONFIG_MAPS
from pool.kubevirt.cluster import Cluster

NAMESPACE = "kube-system"
LABEL = "cks.io/canary"


async def plant_canary(kube: Kube, cluster: Cluster, epoch: int) -> None:
    """Leave a ConfigMap named by the epoch in the guest; again does nothing."""
    async with connect_guest(kube, cluster) as guest:
        wanted = CONFIG_MAPS.manifest(
            f"cks-canary-{epoch}", NAMESPACE, labels={LABEL: "true"}, data={"epoch": str(epoch)}
        )
        with suppress(AlreadyExists):
            await guest.create(CONFIG_MAPS, wanted)


async def remove_canaries(kube: Kube, cluster: Cluster) -> None:
    """Take all canaries away, before the disks become a golden generation: in there they would never be gone."""
    async with connect_guest(kube, cluster) as guest:
        for found in await guest.list(CONFIG_MAPS, NAMESPACE, labels=LABEL):
            await guest.delete(CONFIG_MAPS, found["metadata"]["name"], NAMESPACE)


async def check_canaries_gone(kube: Kube, cluster: Cluster) -> None:
    """Prove that nothing planted before is left, of whatever epoch. Raises AttestationFailed."""
    async with connect_guest(kube, cluster) as guest:
        found = await guest.list(CONFIG_MAPS, NAMESPACE, labels=LABEL)
    if found:
        raise AttestationFailed(
            f"cluster {cluster.id} was not reset",
            expected="no canary of an earlier epoch",
            actual=", ".join(sorted(one["metadata"]["name"] for one in found)),
            cure="reset it again; its storage may restore nothing",
        )

"""Disks that CDI copies byte by byte, though most storage clones them at once: slow each time a cluster is made."""

from __future__ import annotations

from pool.kube.client import Kube
from pool.kube.resources import PVCS
from pool.kubevirt.cluster import CLUSTER_LABEL

FALLBACK_ANNOTATION = "cdi.kubevirt.io/cloneFallbackReason"
"""CDI writes here on a PVC why it copies what the storage could not clone."""


async def slow_clones(kube: Kube, namespace: str, cluster_id: str) -> dict[str, str]:
    """The cluster's disks that CDI copies (or copied) byte by byte, which takes minutes, and why, by PVC name."""
    claims = await kube.list(PVCS, namespace, labels=f"{CLUSTER_LABEL}={cluster_id}")
    notes = {claim["metadata"]["name"]: claim["metadata"].get("annotations") or {} for claim in claims}
    return {name: found[FALLBACK_ANNOTATION] for name, found in notes.items() if FALLBACK_ANNOTATION in found}

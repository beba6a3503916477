"""Whom the controllers speak as: KubeVirt's webhooks let its own service accounts do what they keep others from."""

from __future__ import annotations

KUBEVIRT = "kubevirt"
"""The namespace that KubeVirt is installed in."""
CONTROLLER = f"system:serviceaccount:{KUBEVIRT}:kubevirt-controller"
OWN = frozenset(f"system:serviceaccount:{KUBEVIRT}:kubevirt-{part}" for part in ("apiserver", "controller", "handler"))
"""virt-api, virt-controller, virt-handler."""
GROUPS = ("system:masters", "system:authenticated")
"""One client plays all parts, storage and scheduler too, so it may do everything."""

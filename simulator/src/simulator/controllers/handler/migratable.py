"""Whether an instance could be migrated live. Pure. (KubeVirt: pkg/virt-handler, calculateLiveMigrationCondition.)"""

from __future__ import annotations

from collections.abc import Iterable

from simulator.client import Obj

BRIDGED = "cannot migrate VMI which does not use masquerade or a migratable plugin to connect to the pod network"


def live_migratable(vmi: Obj, claims: Iterable[Obj]) -> Obj:
    """The condition LiveMigratable of an instance with these claims: the network is looked at first, then the disks."""
    if not _network_moves(vmi["spec"]):
        return _condition("InterfaceNotLiveMigratable", BRIDGED)
    for claim in claims:
        if "ReadWriteMany" not in (claim["spec"].get("accessModes") or []):
            text = (
                f"cannot migrate VMI: PVC {claim['metadata']['name']} is not shared, live migration requires that all "
            )
            return _condition("DisksNotLiveMigratable", f"{text}PVCs must be shared (using ReadWriteMany access mode)")
    return {**_condition("", ""), "status": "True"}


def _network_moves(spec: Obj) -> bool:
    """Whether the interface at the pod network, bridged unless it says otherwise, has an address that can move."""
    networks = [one["name"] for one in spec.get("networks") or [] if "pod" in one]
    interfaces = ((spec.get("domain") or {}).get("devices") or {}).get("interfaces")
    if interfaces is None:
        return False
    return all("masquerade" in one for one in interfaces if one.get("name") in networks)


def _condition(reason: str, message: str) -> Obj:
    given = {"reason": reason, "message": message} if reason else {}
    return {"type": "LiveMigratable", "status": "False", **given, "lastProbeTime": None, "lastTransitionTime": None}

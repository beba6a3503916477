"""What happens to volumes at their end: claims in use are protected, released volumes are reclaimed."""

from __future__ import annotations

from simulator.client import Obj
from simulator.client.meta import deleting, has_finalizer, without_finalizer
from simulator.client.resources import PODS, PVCS, PVS
from simulator.controllers.runtime.manager import Context, Controller
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.storage.claims import claims_of_pod, users
from simulator.guests.disk import Disks
from simulator.manifests import DRIVER

PROTECTION = "kubernetes.io/pvc-protection"


class ClaimProtection(Controller):
    """Lets a deleted claim go once no pod uses it. (Kubernetes: pvc-protection controller.)"""

    name = "pvc-protection"

    def watch(self) -> None:
        self.follow(PVCS)
        self.context.cache(PODS).subscribe(self._pod_changed)

    def _pod_changed(self, pod: Obj) -> None:
        for claim in claims_of_pod(pod):
            self.queue.add((pod["metadata"]["namespace"], claim))

    async def reconcile(self, key: Key) -> float | None:
        claim = self.context.cache(PVCS).get(*key)
        if claim is None or not deleting(claim) or not has_finalizer(claim, PROTECTION):
            return None
        pods = self.context.cache(PODS).inside(key[0])
        if not [pod for pod in users(key[1], pods) if pod.get("status", {}).get("phase") != "Failed"]:
            await self.context.update(PVCS, without_finalizer(claim, PROTECTION))
        return None


class Reclaimer(Controller):
    """Deletes this driver's volumes whose claim is gone, content and all, unless they are to be retained."""

    name = "pv-reclaimer"

    def __init__(self, context: Context, disks: Disks) -> None:
        super().__init__(context)
        self._disks = disks

    def watch(self) -> None:
        self.follow(PVS)
        self.context.cache(PVCS).subscribe(lambda claim: self.queue.add(("", f"pvc-{claim['metadata']['uid']}")))

    async def reconcile(self, key: Key) -> float | None:
        volume = self.context.cache(PVS).get(*key)
        if volume is None or volume["spec"].get("csi", {}).get("driver") != DRIVER:
            return None
        reference = volume["spec"]["claimRef"]
        claim = self.context.cache(PVCS).get(reference["namespace"], reference["name"])
        if claim is not None and claim["metadata"]["uid"] == reference["uid"]:
            return None
        if volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain":
            await self.context.set_status(PVS, volume, {"phase": "Released"})
            return None
        # In this order a crash between the two leaves no content that nothing leads to.
        self._disks.drop_volume(volume["spec"]["csi"]["volumeHandle"])
        await self.context.delete(PVS, volume)
        return None

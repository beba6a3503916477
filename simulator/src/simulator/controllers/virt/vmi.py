"""virt-controller's VirtualMachineInstance controller: the launcher pod, and the phases until a node takes over."""

from __future__ import annotations

from simulator.client import Obj
from simulator.client.meta import annotation, controller_of, deleting, has_finalizer, with_annotations
from simulator.client.meta import without_finalizer as without
from simulator.client.resources import DATA_VOLUMES, PODS, PVCS, VMIS
from simulator.controllers.runtime.manager import Controller
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.virt.launcher import CREATED_BY, claims_of, launcher_pod
from simulator.controllers.virt.run_strategy import final
from simulator.controllers.virt.vm import FOREGROUND, OBSERVED
from simulator.controllers.virt.vmi_status import claim_missing, followed, not_ready, with_data_volumes


class VirtualMachineInstances(Controller):
    name = "vmi"

    def watch(self) -> None:
        self.follow(VMIS)
        self.context.cache(PODS).subscribe(self._pod_changed)
        for gvr in (PVCS, DATA_VOLUMES):
            self.context.cache(gvr).subscribe(self._claim_changed)

    def _pod_changed(self, pod: Obj) -> None:
        reference = controller_of(pod)
        if reference is not None and reference["kind"] == "VirtualMachineInstance":
            self.queue.add((pod["metadata"]["namespace"], reference["name"]))

    def _claim_changed(self, claim: Obj) -> None:
        for vmi in self.context.cache(VMIS).inside(claim["metadata"]["namespace"]):
            if claim["metadata"]["name"] in claims_of(vmi):
                self.queue.add((vmi["metadata"]["namespace"], vmi["metadata"]["name"]))

    async def reconcile(self, key: Key) -> float | None:
        vmi = self.context.cache(VMIS).get(*key)
        if vmi is None:
            return None
        pod = launcher_of(vmi, self.context.cache(PODS).inside(key[0]))
        if deleting(vmi):
            await self._terminate(vmi, pod)
            return None
        if annotation(vmi, "kubevirt.io/latest-observed-api-version") is None:
            vmi = await self.context.update(VMIS, with_annotations(vmi, OBSERVED))
        if pod is None and vmi.get("status", {}).get("phase", "Pending") == "Pending":
            await self._launch(vmi)
            return None
        await self._save(vmi, with_data_volumes(followed(vmi, pod), self._volumes(vmi)))
        if pod is not None:
            await self._label(pod)
        return None

    def _volumes(self, vmi: Obj) -> list[Obj]:
        """The instance's DataVolumes that exist."""
        names = [one["dataVolume"]["name"] for one in vmi["spec"].get("volumes") or [] if "dataVolume" in one]
        found = [self.context.cache(DATA_VOLUMES).get(vmi["metadata"]["namespace"], name) for name in names]
        return [volume for volume in found if volume is not None]

    async def _launch(self, vmi: Obj) -> None:
        for claim in claims_of(vmi):
            if self.context.cache(PVCS).get(vmi["metadata"]["namespace"], claim) is None:
                await self._save(vmi, claim_missing(vmi, claim))
                text = f"PVC {vmi['metadata']['namespace']}/{claim} does not exist, waiting for it to appear"
                self.context.events.record(vmi, "Warning", "FailedPvcNotFound", text)
                return
        pod = await self.context.create(PODS, launcher_pod(vmi))
        text = f"Created virtual machine pod {pod['metadata']['name']}"
        self.context.events.record(vmi, "Normal", "SuccessfulCreate", text)

    async def _label(self, pod: Obj) -> None:
        """A scheduled pod carries its node as a label too."""
        node = pod["spec"].get("nodeName")
        labels = pod["metadata"].get("labels") or {}
        if node and pod.get("status", {}).get("phase") == "Running" and "kubevirt.io/nodeName" not in labels:
            meta = {**pod["metadata"], "labels": {**labels, "kubevirt.io/nodeName": node}}
            await self.context.update(PODS, {**pod, "metadata": meta})

    async def _terminate(self, vmi: Obj, pod: Obj | None) -> None:
        if pod is not None:
            if not deleting(pod):
                await self.context.delete(PODS, pod)
            elif not final(vmi):
                await self._save(vmi, followed(vmi, pod))
            return
        ended = followed(vmi, None)
        if not final(ended):
            # A running domain whose pod is gone: the node reports its end.
            await self._save(vmi, not_ready(vmi, "PodNotExists", "virt-launcher pod has not yet been scheduled"))
            return
        vmi = await self._save(vmi, ended)
        if has_finalizer(vmi, FOREGROUND):
            await self.context.update(VMIS, without(vmi, FOREGROUND))

    async def _save(self, old: Obj, new: Obj) -> Obj:
        return new if new == old else await self.context.update(VMIS, new)


def launcher_of(vmi: Obj, pods: list[Obj]) -> Obj | None:
    """The instance's pod; one that is not on its way out is preferred."""
    mine = [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(CREATED_BY) == vmi["metadata"]["uid"]]
    return min(mine, key=deleting, default=None)

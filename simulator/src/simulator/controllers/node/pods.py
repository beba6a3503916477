"""The host's scheduler and kubelet: pods get a node, an address, and run until they are deleted."""

from __future__ import annotations

import asyncio

from simulator.api.errors import ApiError
from simulator.api.writing.binding import binding_to
from simulator.client import Obj
from simulator.client.meta import annotation, controller_of, deleting, now, with_annotations, with_condition
from simulator.client.resources import NODES, PODS, PVCS, SECRETS, STORAGE_CLASSES, VMIS
from simulator.controllers.node.addresses import Addresses
from simulator.controllers.node.pulling import Tries, pullable, said, tried
from simulator.controllers.node.status import crashed, running, waiting
from simulator.controllers.runtime.manager import Context, Controller, key_of
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.storage.claims import SELECTED_NODE, bound, claims_of_pod, class_of, waits_for_consumer
from simulator.controllers.virt.launcher import ERR_IMAGE_PULL
from simulator.controllers.virt.run_strategy import final, phase_of
from simulator.faults.troubles import TroubleKind, victim

UNSCHEDULABLE = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 nodes are "
UNSCHEDULABLE += "available: 1 Preemption is not helpful for scheduling."


class Pods(Controller):
    """Every pod of the host runs on the one node; a virt-launcher pod outlives its deletion until its guest is off."""

    name = "node"

    def __init__(self, context: Context, node: str = "node-a") -> None:
        super().__init__(context)
        self._node = node
        self._due: dict[tuple[str, str], float] = {}
        self._addresses = Addresses()
        self._pulls: dict[str, Tries] = {}

    async def stop(self) -> None:
        """Give all addresses back."""
        self._addresses.close()

    def watch(self) -> None:
        self.follow(PODS)
        self.follow_troubles(PODS)
        self.context.cache(VMIS).subscribe(self._instance_changed)
        self.context.cache(PVCS).subscribe(self._claim_changed)
        self.context.cache(NODES).subscribe(self._node_seen)
        self.context.cache(STORAGE_CLASSES)

    def _instance_changed(self, vmi: Obj) -> None:
        for pod in self.context.cache(PODS).inside(vmi["metadata"]["namespace"]):
            reference = controller_of(pod)
            if reference is not None and reference["uid"] == vmi["metadata"]["uid"]:
                self.queue.add((pod["metadata"]["namespace"], pod["metadata"]["name"]))

    def _claim_changed(self, claim: Obj) -> None:
        for pod in self.context.cache(PODS).inside(claim["metadata"]["namespace"]):
            if not pod["spec"].get("nodeName") and claim["metadata"]["name"] in claims_of_pod(pod):
                self.queue.add((pod["metadata"]["namespace"], pod["metadata"]["name"]))

    def _node_seen(self, node: Obj) -> None:
        if node["metadata"]["name"] == self._node:
            self.queue.add(("", self._node))

    async def reconcile(self, key: Key) -> float | None:
        if not key[0]:
            await self._report_node(key[1])
            return None
        pod = self.context.cache(PODS).get(*key)
        if pod is None:
            self._addresses.give_back(key)
            return None
        if deleting(pod):
            return await self._end(pod)
        if not pod["spec"].get("nodeName"):
            return await self._schedule(pod)
        if pod["spec"]["nodeName"] == self._node:
            return await self._run(pod)
        return None

    async def _report_node(self, name: str) -> None:
        node = self.context.cache(NODES).get("", name)
        if node is None or (node.get("status") or {}).get("conditions"):
            return
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
            "lastHeartbeatTime": now(),
            "lastTransitionTime": now(),
        }
        resources = {"cpu": "64", "memory": "256Gi", "pods": "500"}
        status = {"conditions": [ready], "capacity": resources, "allocatable": resources}
        await self.context.set_status(NODES, node, status)

    def _wait(self, pod: Obj, step: str, delay: float) -> float:
        clock = asyncio.get_running_loop().time()
        return self._due.setdefault((pod["metadata"]["uid"], step), clock + delay) - clock

    async def _schedule(self, pod: Obj) -> float | None:
        if self._unbound(pod):
            await self._unschedulable(pod)
            return None
        wait = self._wait(pod, "schedule", self.delays.pod_schedule)
        if wait > 0:
            return wait
        await self._place_claims(pod)
        await self.client.create(PODS, binding_to(pod, self._node), subresource="binding")
        return None

    async def _place_claims(self, pod: Obj) -> None:
        """Tell the storage of late-binding claims for which node they are wanted. (Kubernetes: the scheduler.)"""
        for name in claims_of_pod(pod):
            claim = self.context.cache(PVCS).get(pod["metadata"]["namespace"], name)
            if claim is not None and not bound(claim) and annotation(claim, SELECTED_NODE) is None:
                await self.context.update(PVCS, with_annotations(claim, {SELECTED_NODE: self._node}))

    def _unbound(self, pod: Obj) -> bool:
        """Whether a claim of the pod must bind first; one that waits for its consumer binds with the pod."""
        namespace = pod["metadata"]["namespace"]
        for name in claims_of_pod(pod):
            claim = self.context.cache(PVCS).get(namespace, name)
            if claim is None:
                return True
            storage_class = class_of(claim, self.context.cache(STORAGE_CLASSES))
            if not bound(claim) and not waits_for_consumer(storage_class):
                return True
        return False

    async def _unschedulable(self, pod: Obj) -> None:
        new = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": UNSCHEDULABLE,
            "lastTransitionTime": now(),
        }
        status = {"phase": "Pending", **(pod.get("status") or {})}
        status["conditions"] = with_condition(status.get("conditions"), new)
        await self.context.set_status(PODS, pod, status)

    async def _run(self, pod: Obj) -> float | None:
        phase = (pod.get("status") or {}).get("phase", "Pending")
        if phase == "Running":
            return await self._finish(pod)
        if phase != "Pending":
            return None
        namespace = pod["metadata"]["namespace"]
        claims = [self.context.cache(PVCS).get(namespace, name) for name in claims_of_pod(pod)]
        if not all(claim is not None and bound(claim) for claim in claims):
            return self.delays.retry
        missing = await self._missing_secret(pod)
        if missing is not None:
            text = 'MountVolume.SetUp failed for volume "{}" : secret "{}" not found'.format(*missing)
            self.context.events.record(pod, "Warning", "FailedMount", text, component="kubelet")
            await self.context.set_status(PODS, pod, waiting(pod, "ContainerCreating"))
            return self.delays.retry
        wait = self._wait(pod, "start", self.delays.pod_start)
        if wait > 0:
            return wait
        trouble = self.context.troubles.of(TroubleKind.FAIL_PULL, victim(pod))
        if trouble is not None or not pullable(pod):
            return await self._pull_in_vain(pod, trouble.message if trouble else "")
        breaks = self.context.troubles.of(TroubleKind.FAIL_START, victim(pod)) is not None
        status = crashed(pod) if breaks else running(pod, self._address(key_of(pod)))
        await self.context.set_status(PODS, pod, status)
        return None

    async def _missing_secret(self, pod: Obj) -> tuple[str, str] | None:
        """Names of the first volume and Secret that cannot be mounted."""
        for volume in pod["spec"].get("volumes") or []:
            source = volume.get("secret") or {}
            if not source or source.get("optional"):
                continue
            try:
                await self.client.get(SECRETS, source["secretName"], pod["metadata"]["namespace"])
            except ApiError as error:
                if error.code != 404:
                    raise
                return volume["name"], source["secretName"]
        return None

    async def _pull_in_vain(self, pod: Obj, message: str) -> float:
        """One look at a pod whose images cannot be pulled: seconds to the next."""
        uid = pod["metadata"]["uid"]
        before, time = self._pulls.get(uid), asyncio.get_running_loop().time()
        tries, reason, again = tried(before, time, self.delays.speed)
        self._pulls[uid] = tries
        pod = await self.context.set_status(PODS, pod, waiting(pod, reason, lambda image: said(image, reason, message)))
        if reason == ERR_IMAGE_PULL and tries != before:
            for container in pod["status"]["containerStatuses"]:
                text = f'Failed to pull image "{container["image"]}": {container["state"]["waiting"]["message"]}'
                self.context.events.record(pod, "Warning", "Failed", text, component="kubelet")
        return again

    def _address(self, key: Key) -> str:
        """A new address for a pod."""
        return self._addresses.take(key, {(pod.get("status") or {}).get("podIP") for pod in self.context.cache(PODS)})

    async def _finish(self, pod: Obj) -> float | None:
        """A launcher pod ends with its guest."""
        vmi = self._instance(pod)
        if vmi is not None and final(vmi):
            ended = {**pod["status"], "phase": phase_of(vmi)}
            await self.context.set_status(PODS, pod, ended)
        return None

    def _instance(self, pod: Obj) -> Obj | None:
        """The instance that a launcher pod runs."""
        reference = controller_of(pod)
        if reference is None or reference["kind"] != "VirtualMachineInstance":
            return None
        vmi = self.context.cache(VMIS).get(pod["metadata"]["namespace"], reference["name"])
        return vmi if vmi is not None and vmi["metadata"]["uid"] == reference["uid"] else None

    async def _end(self, pod: Obj) -> float | None:
        """Remove a deleted pod once nothing runs in it any more."""
        vmi = self._instance(pod)
        if vmi is not None and not final(vmi) and phase_of(vmi) in ("Scheduled", "Running"):
            return None
        for step in ("schedule", "start"):
            self._due.pop((pod["metadata"]["uid"], step), None)
        self._pulls.pop(pod["metadata"]["uid"], None)
        meta = pod["metadata"]
        try:
            await self.client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"], grace=0)
        except ApiError as error:
            if error.code != 404:
                raise
        return None

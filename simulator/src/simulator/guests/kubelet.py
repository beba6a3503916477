"""A guest node's kubelet: it registers the node, renews its lease, and plays the pods bound to it."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass, field

from simulator.api.errors import ApiError
from simulator.client import Client, Obj
from simulator.client.finding import find
from simulator.client.meta import deleting, micro_now, now, with_condition
from simulator.client.resources import EVENTS, LEASES, NODES, PODS
from simulator.guests.disk import Disk
from simulator.guests.mounts import mount
from simulator.timing.delays import Delays

log = logging.getLogger("simulator.guests")
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40


@dataclass
class Kubelet:
    """One boot of one node; `boot_id` is new each time. `says`: annotations that units of the node write on it."""

    node: str
    address: str
    control_plane: bool
    version: str
    disk: Disk
    delays: Delays
    boot_id: str
    says: dict[str, str] = field(default_factory=dict)
    _next_pod: int = 2

    async def run(self, client: Client) -> None:
        """Be a node of that API server until cancelled or it fails (ApiError)."""
        await self.register(client)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew(client))
            tasks.create_task(self._follow_pods(client))

    async def register(self, client: Client) -> None:
        """The node object with this boot's Ready condition, and a fresh lease."""
        node = await find(client, NODES, self.node) or await client.create(NODES, self._new_node())
        await client.update(NODES, {**node, "status": self._status(node)}, subresource="status")
        await self._renew_lease(client)
        if self.says:
            node = await client.get(NODES, self.node)
            meta = node["metadata"]
            noted = {**(meta.get("annotations") or {}), **self.says}
            await client.update(NODES, {**node, "metadata": {**meta, "annotations": noted}})

    def _new_node(self) -> Obj:
        labels = {"kubernetes.io/hostname": self.node, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        spec: Obj = {}
        if self.control_plane:
            labels["node-role.kubernetes.io/control-plane"] = ""
            spec["taints"] = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.node, "labels": labels}, "spec": spec}

    def _status(self, node: Obj) -> Obj:
        conditions = (node.get("status") or {}).get("conditions") or []
        for type_, reason, message in (
            ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("Ready", "KubeletReady", "kubelet is posting ready status"),
        ):
            stamp = now()
            new = {
                "type": type_,
                "status": "True" if type_ == "Ready" else "False",
                "reason": reason,
                "message": message,
                "lastTransitionTime": stamp,
            }
            conditions = [
                {**one, "lastHeartbeatTime": stamp} if one["type"] == type_ else one
                for one in with_condition(conditions, new)
            ]
        return {
            "conditions": conditions,
            "addresses": [
                {"type": "InternalIP", "address": self.address},
                {"type": "Hostname", "address": self.node},
            ],
            "capacity": {"cpu": "2", "memory": "4Gi", "pods": "110"},
            "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"},
            "nodeInfo": {
                "bootID": self.boot_id,
                "machineID": self.disk.machine.setdefault("machine-id", uuid.uuid4().hex),
                "systemUUID": self.disk.machine.get("instance-id", ""),
                "kubeletVersion": self.version,
                "kubeProxyVersion": self.version,
                "kernelVersion": "6.8.0",
                "osImage": "Ubuntu 24.04 LTS",
                "containerRuntimeVersion": "containerd://2.0.0",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        }

    async def _renew(self, client: Client) -> None:
        while True:
            await asyncio.sleep(self.delays.kubelet_lease)
            await self._renew_lease(client)
            node = await find(client, NODES, self.node)
            if node is None or not _ready(node):
                # Marked unreachable in the meantime, or removed: say again that the node is there.
                await self.register(client)

    async def _renew_lease(self, client: Client) -> None:
        stamp = micro_now()
        lease = await find(client, LEASES, self.node, LEASE_NAMESPACE)
        if lease is not None:
            await client.update(LEASES, {**lease, "spec": {**lease["spec"], "renewTime": stamp}})
            return
        meta = {"name": self.node, "namespace": LEASE_NAMESPACE}
        spec = {"holderIdentity": self.node, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": stamp}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
        await client.create(LEASES, lease, LEASE_NAMESPACE)

    async def _follow_pods(self, client: Client) -> None:
        async with asyncio.TaskGroup() as tasks:
            playing: dict[str, asyncio.Task[None]] = {}
            async for event in client.watch(PODS):
                pod, uid = event.object, event.object["metadata"]["uid"]
                if pod["spec"].get("nodeName") != self.node or event.type not in ("ADDED", "MODIFIED"):
                    continue
                if deleting(pod):
                    tasks.create_task(self._remove(client, pod))
                elif uid not in playing and (pod.get("status") or {}).get("phase", "Pending") == "Pending":
                    playing[uid] = tasks.create_task(self._play(client, pod))

    async def _play(self, client: Client, pod: Obj) -> None:
        """Start a pod's containers, once its volumes can be mounted."""
        meta = pod["metadata"]
        await asyncio.sleep(self.delays.pod_run)
        told = False
        while True:
            current = await find(client, PODS, meta["name"], meta["namespace"])
            if current is None or current["metadata"]["uid"] != meta["uid"] or deleting(current):
                return
            fault = mount(self.disk.files, current)
            status = self._waiting(current) if fault else self._running(current)
            try:
                if status != current.get("status"):
                    await client.update(PODS, {**current, "status": status}, subresource="status")
            except ApiError as error:
                if error.code not in (404, 409):
                    raise
                continue
            if fault is None:
                return
            if not told:
                await client.create(EVENTS, _event(current, fault), meta["namespace"])
                told = True
            await asyncio.sleep(self.delays.retry)

    def _waiting(self, pod: Obj) -> Obj:
        status = pod.get("status") or {}
        states = [
            {
                "name": container["name"],
                "image": container.get("image", ""),
                "ready": False,
                "restartCount": 0,
                "state": {"waiting": {"reason": "ContainerCreating"}},
            }
            for container in pod["spec"].get("containers") or []
        ]
        return {**status, "phase": "Pending", "hostIP": self.address, "containerStatuses": states}

    def _running(self, pod: Obj) -> Obj:
        status = pod.get("status") or {}
        conditions = status.get("conditions") or []
        for type_ in ("PodScheduled", "Initialized", "ContainersReady", "Ready"):
            conditions = with_condition(conditions, {"type": type_, "status": "True", "lastTransitionTime": now()})
        address = self.address if pod["spec"].get("hostNetwork") else self._pod_address()
        started = {"running": {"startedAt": now()}}
        states = [
            {
                "name": container["name"],
                "image": container.get("image", ""),
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": started,
            }
            for container in pod["spec"].get("containers") or []
        ]
        return {
            **status,
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": self.address,
            "startTime": status.get("startTime") or now(),
            "conditions": conditions,
            "containerStatuses": states,
        }

    def _pod_address(self) -> str:
        self._next_pod += 1
        return f"10.244.{0 if self.control_plane else 1}.{self._next_pod % 253 + 2}"

    async def _remove(self, client: Client, pod: Obj) -> None:
        meta = pod["metadata"]
        try:
            await client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"], grace=0)
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def _ready(node: Obj) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _event(pod: Obj, text: str) -> Obj:
    meta = pod["metadata"]
    stamp = now()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name']}.{uuid.uuid4().hex[:16]}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "type": "Warning",
        "reason": "FailedMount",
        "message": text,
        "count": 1,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "source": {"component": "kubelet"},
    }

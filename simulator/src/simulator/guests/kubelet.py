"""A guest node's kubelet: it registers the node, renews its lease, and plays the pods bound to it."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator.api.errors import ApiError
from simulator.client import Client, Obj
from simulator.client.finding import find
from simulator.client.meta import deleting, micro_now, now, with_condition
from simulator.client.resources import EVENTS, LEASES, NODES, PODS
from simulator.guests.disk import Disk
from simulator.guests.mounts import mount
from simulator.guests.plugins import NO_NETWORK, ready
from simulator.guests.pod_status import failed_mount, running, waiting
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
    registered: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the cluster has the node."""
    _said: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is something new to be said."""

    async def run(self, client: Client) -> None:
        """Be a node of that API server until cancelled or it fails (ApiError)."""
        await self.register(client)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew(client))
            tasks.create_task(self._go_on_saying(client))
            tasks.create_task(self._follow_pods(client))

    async def register(self, client: Client) -> None:
        """The node object with this boot's Ready condition, and a fresh lease."""
        node = await find(client, NODES, self.node) or await client.create(NODES, self._new_node())
        network = await ready(self.disk.files, client)
        await client.update(NODES, {**node, "status": self._status(node, network=network)}, subresource="status")
        await self._renew_lease(client)
        self.registered.set()
        await self._annotate(client)

    def say(self, notes: Mapping[str, str]) -> None:
        """Write these annotations on the node, too."""
        self.says |= notes
        self._said.set()

    async def _go_on_saying(self, client: Client) -> None:
        while True:
            await self._said.wait()
            self._said.clear()
            await self._annotate(client)

    async def _annotate(self, client: Client) -> None:
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

    def _status(self, node: Obj, *, network: bool) -> Obj:
        conditions = (node.get("status") or {}).get("conditions") or []
        for type_, reason, message in (
            ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("Ready", "KubeletReady", "kubelet is posting ready status") if network else ("Ready", *NO_NETWORK),
        ):
            stamp = now()
            new = {
                "type": type_,
                "status": "True" if reason == "KubeletReady" else "False",
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
            status = waiting(current, self.address) if fault else running(current, self.address, self._pod_address())
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
                await client.create(EVENTS, failed_mount(current, fault), meta["namespace"])
                told = True
            await asyncio.sleep(self.delays.retry)

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

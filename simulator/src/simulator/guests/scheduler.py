"""A guest cluster's scheduler and node lifecycle controller."""

from __future__ import annotations

import asyncio

from simulator.api.errors import ApiError
from simulator.api.writing.binding import binding_to
from simulator.client import Client, Obj
from simulator.client.meta import age, condition, deleting, now, with_condition
from simulator.client.resources import LEASES, NODES, PODS
from simulator.guests.kubelet import LEASE_NAMESPACE
from simulator.timing.delays import Delays


class Scheduler:
    """Binds pods without a node to a Ready node that they tolerate, the one with the fewest pods."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._unbound: dict[str, Obj] = {}
        self._load: dict[str, int] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_pods())
            tasks.create_task(self._follow_nodes())

    async def _follow_pods(self) -> None:
        async for event in self._client.watch(PODS):
            pod, uid = event.object, event.object["metadata"]["uid"]
            if event.type == "DELETED" or pod["spec"].get("nodeName") or deleting(pod):
                self._unbound.pop(uid, None)
            else:
                self._unbound[uid] = pod
                await self._bind(pod)

    async def _follow_nodes(self) -> None:
        async for _ in self._client.watch(NODES):
            for pod in list(self._unbound.values()):
                await self._bind(pod)

    async def _bind(self, pod: Obj) -> None:
        fitting = [node for node in await self._client.list(NODES) if fits(pod, node)]
        if not fitting:
            return
        chosen = min(fitting, key=lambda node: self._load.get(node["metadata"]["name"], 0))["metadata"]["name"]
        try:
            await self._client.create(PODS, binding_to(pod, chosen), subresource="binding")
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            return
        self._unbound.pop(pod["metadata"]["uid"], None)
        self._load[chosen] = self._load.get(chosen, 0) + 1


def fits(pod: Obj, node: Obj) -> bool:
    """Ready, not cordoned, selected and tolerated."""
    ready = condition((node.get("status") or {}).get("conditions"), "Ready")
    if ready is None or ready["status"] != "True" or node.get("spec", {}).get("unschedulable"):
        return False
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return False
    taints = node.get("spec", {}).get("taints") or []
    return all(_tolerated(pod, taint) for taint in taints if taint.get("effect") in ("NoSchedule", "NoExecute"))


def _tolerated(pod: Obj, taint: Obj) -> bool:
    for one in pod["spec"].get("tolerations") or []:
        if one.get("effect") not in (None, "", taint["effect"]):
            continue
        if one.get("operator") == "Exists" and one.get("key") in (None, "", taint["key"]):
            return True
        if one.get("key") == taint["key"] and one.get("value", "") == taint.get("value", ""):
            return True
    return False


class NodeMonitor:
    """Marks nodes Ready=Unknown whose lease was not renewed for `node_grace`."""

    def __init__(self, client: Client, delays: Delays) -> None:
        self._client = client
        self._delays = delays

    async def run(self) -> None:
        # What leases say at the start may be old: each node gets its grace from now.
        pause = self._delays.node_grace
        while True:
            await asyncio.sleep(pause)
            pause = await self._look()

    async def _look(self) -> float:
        """Mark nodes that are lost. Seconds until another one may be."""
        grace = self._delays.node_grace
        pause = grace
        leases = {lease["metadata"]["name"]: lease for lease in await self._client.list(LEASES, LEASE_NAMESPACE)}
        for node in await self._client.list(NODES):
            lease = leases.get(node["metadata"]["name"])
            left = grace - age(lease["spec"]["renewTime"]) if lease is not None else 0.0
            if left > 0:
                pause = min(pause, left)
            else:
                await self._lost(node)
        return pause

    async def _lost(self, node: Obj) -> None:
        status = node.get("status") or {}
        new = {
            "type": "Ready",
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
            "lastTransitionTime": now(),
        }
        changed = {**status, "conditions": with_condition(status.get("conditions"), new)}
        if changed != status:
            try:
                await self._client.update(NODES, {**node, "status": changed}, subresource="status")
            except ApiError as error:
                if error.code not in (404, 409):
                    raise

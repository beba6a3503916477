"""What a guest's kubelet says of its pods. Pure."""

from __future__ import annotations

import uuid

from simulator.client import Obj
from simulator.client.meta import now, with_condition


def waiting(pod: Obj, host: str) -> Obj:
    """The status of a pod whose volumes cannot be mounted."""
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
    return {**status, "phase": "Pending", "hostIP": host, "containerStatuses": states}


def running(pod: Obj, host: str, address: str) -> Obj:
    """The status of a pod whose containers run."""
    status = pod.get("status") or {}
    conditions = status.get("conditions") or []
    for type_ in ("PodScheduled", "Initialized", "ContainersReady", "Ready"):
        conditions = with_condition(conditions, {"type": type_, "status": "True", "lastTransitionTime": now()})
    address = host if pod["spec"].get("hostNetwork") else address
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
        "hostIP": host,
        "startTime": status.get("startTime") or now(),
        "conditions": conditions,
        "containerStatuses": states,
    }


def failed_mount(pod: Obj, text: str) -> Obj:
    """The Event of a volume that cannot be mounted."""
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

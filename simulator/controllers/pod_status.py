"""Statuses that the host's kubelet gives pods. Pure."""

from __future__ import annotations

from simulator.client import Obj
from simulator.controllers.meta import now, with_condition


def running(pod: Obj, address: str) -> Obj:
    """The status of a pod whose containers run."""
    status = pod.get("status") or {}
    conditions = status.get("conditions") or []
    for type_ in ("Initialized", "ContainersReady", "Ready"):
        conditions = with_condition(conditions, {"type": type_, "status": "True", "lastTransitionTime": now()})
    return {
        **status,
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": "127.0.0.1",
        "startTime": status.get("startTime") or now(),
        "qosClass": "Burstable",
        "conditions": conditions,
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container.get("image", ""),
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now()}},
            }
            for container in pod["spec"].get("containers") or []
        ],
    }


def crashed(pod: Obj) -> Obj:
    """The status of a pod whose containers ended as soon as they were started."""
    status = pod.get("status") or {}
    ended = {"exitCode": 1, "reason": "Error", "startedAt": now(), "finishedAt": now()}
    states = [
        {
            "name": container["name"],
            "image": container.get("image", ""),
            "ready": False,
            "started": False,
            "restartCount": 0,
            "state": {"terminated": ended},
        }
        for container in pod["spec"].get("containers") or []
    ]
    return {**status, "phase": "Failed", "hostIP": "127.0.0.1", "containerStatuses": states}

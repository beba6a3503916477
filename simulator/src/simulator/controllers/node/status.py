"""Statuses that the host's kubelet gives pods. Pure."""

from __future__ import annotations

from collections.abc import Callable

from simulator.client import Obj
from simulator.client.meta import now, with_condition


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
        **_states(pod, {"ready": True, "started": True, "restartCount": 0, "state": {"running": {"startedAt": now()}}}),
    }


def _states(pod: Obj, state: Obj) -> Obj:
    """All containers in one state. The only init containers here are sidecars, which run beside the others."""
    found = {}
    for field, told in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        containers = pod["spec"].get(field) or []
        states = [{"name": one["name"], "image": one.get("image", ""), **state} for one in containers]
        if states or field == "containers":
            found[told] = states
    return found


def waiting(pod: Obj, reason: str, said: Callable[[str], str] | None = None) -> Obj:
    """The status of a pod whose containers wait for `reason`; `said`: what each says of its image."""
    status = pod.get("status") or {}
    states = []
    for container in pod["spec"].get("containers") or []:
        image = container.get("image", "")
        held = {"reason": reason, **({"message": said(image)} if said else {})}
        state = {"name": container["name"], "image": image, "imageID": "", "state": {"waiting": held}}
        states.append({**state, "ready": False, "started": False, "restartCount": 0})
    return {**status, "phase": "Pending", "hostIP": "127.0.0.1", "containerStatuses": states}


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

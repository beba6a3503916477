"""The endpoints controller: which pods stand behind a Service."""

from __future__ import annotations

from simulator.api.errors import ApiError
from simulator.client import Obj
from simulator.client.meta import deleting, is_true, owner
from simulator.client.resources import ENDPOINTS, PODS, SERVICES
from simulator.controllers.runtime.manager import Context, Controller
from simulator.controllers.runtime.workqueue import Key


class EndpointsOfServices(Controller):
    name = "endpoints"

    def watch(self) -> None:
        self.follow(SERVICES)
        self.context.cache(PODS).subscribe(self._pod_changed)
        self.context.cache(ENDPOINTS)

    def _pod_changed(self, pod: Obj) -> None:
        for key in services_of(self.context, pod):
            self.queue.add(key)

    async def reconcile(self, key: Key) -> float | None:
        service = self.context.cache(SERVICES).get(*key)
        if service is None or deleting(service) or not service["spec"].get("selector"):
            return None
        subsets = subsets_of(service, self.context.cache(PODS).inside(key[0]))
        try:
            await self._write(service, subsets, self.context.cache(ENDPOINTS).get(*key))
        except ApiError as error:
            # 404: the namespace goes. 422: other API servers have no addresses of pods on loopback in Endpoints, and
            # nothing here needs them.
            if error.code not in (404, 422):
                raise
        return None

    async def _write(self, service: Obj, subsets: list[Obj], current: Obj | None) -> None:
        meta = service["metadata"]
        if current is None:
            own = {
                "name": meta["name"],
                "namespace": meta["namespace"],
                "labels": dict(meta.get("labels") or {}),
                "ownerReferences": [owner({**service, "apiVersion": "v1", "kind": "Service"})],
            }
            endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": own, "subsets": subsets}
            await self.context.create(ENDPOINTS, endpoints)
        elif current.get("subsets") != subsets:
            await self.context.update(ENDPOINTS, {**current, "subsets": subsets})


def services_of(context: Context, pod: Obj) -> list[Key]:
    """The Services that the pod stands behind."""
    namespace = pod["metadata"]["namespace"]
    there = context.cache(SERVICES).inside(namespace)
    return [(namespace, service["metadata"]["name"]) for service in there if selects(service, pod)]


def selects(service: Obj, pod: Obj) -> bool:
    selector = service["spec"].get("selector") or {}
    labels = pod["metadata"].get("labels") or {}
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def subsets_of(service: Obj, pods: list[Obj]) -> list[Obj]:
    """Ready and not ready addresses of the selected pods, with the ports as the pods have them."""
    chosen = [pod for pod in pods if selects(service, pod) and (pod.get("status") or {}).get("podIP")]
    living = [pod for pod in chosen if (pod["status"].get("phase")) == "Running"]
    eager = bool(service["spec"].get("publishNotReadyAddresses"))
    ready = [
        pod for pod in living if eager or (is_true(pod["status"].get("conditions"), "Ready") and not deleting(pod))
    ]
    ready_uids = {pod["metadata"]["uid"] for pod in ready}
    subset: Obj = {}
    if ready:
        subset["addresses"] = [_address(pod) for pod in ready]
    waiting = [pod for pod in living if pod["metadata"]["uid"] not in ready_uids]
    if waiting:
        subset["notReadyAddresses"] = [_address(pod) for pod in waiting]
    if not subset:
        return []
    subset["ports"] = [
        {
            **({"name": port["name"]} if port.get("name") else {}),
            "port": port.get("targetPort") if isinstance(port.get("targetPort"), int) else port["port"],
            "protocol": port.get("protocol", "TCP"),
        }
        for port in service["spec"].get("ports") or []
    ]
    return [subset]


def _address(pod: Obj) -> Obj:
    meta = pod["metadata"]
    return {
        "ip": pod["status"]["podIP"],
        "nodeName": pod["spec"].get("nodeName", ""),
        "targetRef": {"kind": "Pod", "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
    }

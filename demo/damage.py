"""What a learner's session leaves behind: objects in the guest's API, and a file on a node's disk.

Files are put and looked for the way any Kubernetes does it: a hostPath volume of type `FileOrCreate` makes the file on
the node, one of type `File` keeps its pod from starting where there is none.
"""

from __future__ import annotations

import asyncio
from typing import Any

from demo.learner import connect_guest
from pool.core.errors import NotFound
from pool.kube.client import Kube
from pool.kube.resources import EVENTS, NAMESPACES, PODS, SECRETS
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster

NAMESPACE, SECRET, FILE = "pwned", "loot", "/etc/cks-damage"

WAIT_SECONDS = 30.0


class Damage:
    """Damage to one guest cluster, done and looked for through the guest's own API."""

    description = f"namespace {NAMESPACE}, secret {NAMESPACE}/{SECRET}, and {FILE} on the worker's disk"

    def __init__(self, kube: Kube, cluster: Cluster) -> None:
        self._kube = kube
        self.cluster = cluster

    async def inflict(self) -> None:
        """Make a namespace, a secret in it, and a file on the worker's disk."""
        async with connect_guest(self._kube, self.cluster) as guest:
            await guest.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
            secret = {"metadata": {"name": SECRET, "namespace": NAMESPACE}, "stringData": {"password": "hunter2"}}
            await guest.create(SECRETS, secret, NAMESPACE)
            await guest.create(PODS, self._pod("mole", NAMESPACE, "FileOrCreate"), NAMESPACE)
            async with Watching(guest) as watching:
                what = "a pod that makes a file to run"
                await watching.until(PODS, "mole", NAMESPACE, _running, timeout=WAIT_SECONDS, what=what)

    async def remains(self) -> list[str]:
        """What of the damage is to be seen in the guest now."""
        async with connect_guest(self._kube, self.cluster) as guest:
            found = []
            if await guest.find(NAMESPACES, NAMESPACE) is not None:
                found.append(f"namespace {NAMESPACE}")
            if await guest.find(SECRETS, SECRET, NAMESPACE) is not None:
                found.append(f"secret {NAMESPACE}/{SECRET}")
            if await self._file_exists(guest):
                found.append(FILE)
            return found

    async def _file_exists(self, guest: Kube) -> bool:
        """Whether a pod that needs the file starts on the worker."""
        probe = await guest.create(PODS, self._pod("probe", "default", "File"), "default")
        try:
            async with Watching(guest) as watching, asyncio.timeout(WAIT_SECONDS):
                running = asyncio.create_task(
                    watching.until(PODS, "probe", "default", _running, timeout=WAIT_SECONDS, what="the probe to run")
                )
                refused = asyncio.create_task(_mount_failed(guest, probe["metadata"]["uid"]))
                done, pending = await asyncio.wait([running, refused], return_when=asyncio.FIRST_COMPLETED)
                for task in pending:
                    task.cancel()
                await asyncio.gather(*pending, return_exceptions=True)
                return running in done and running.result()
        finally:
            await guest.delete(PODS, "probe", "default")

    def _pod(self, name: str, namespace: str, kind: str) -> dict[str, Any]:
        volume = {"name": "file", "hostPath": {"path": FILE, "type": kind}}
        container = {"name": "main", "image": "pause:3.10", "volumeMounts": [{"name": "file", "mountPath": "/file"}]}
        return {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"nodeName": self.cluster.worker.name, "containers": [container], "volumes": [volume]},
        }


def _running(pod: dict[str, Any] | None) -> bool | None:
    if pod is None:
        raise NotFound(404, "NotFound", "the pod is gone")
    return True if pod.get("status", {}).get("phase") == "Running" else None


async def _mount_failed(guest: Kube, pod_uid: str) -> None:
    """Return when the kubelet says that it cannot mount a volume of the pod."""

    def says_so(event: dict[str, Any]) -> bool:
        return event["involvedObject"].get("uid") == pod_uid and event.get("reason") == "FailedMount"

    events, version = await guest.list_at(EVENTS, "default")
    if any(says_so(event) for event in events):
        return
    async for _, event in guest.watch(EVENTS, "default", resource_version=version):
        if says_so(event):
            return

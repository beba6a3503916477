"""A namespace of one's own on any server, with what KubeVirt needs to run VMs in it."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass

from tests.contract.api import Api
from tests.http_api import Obj
from tests.lab import CORE, TEMPLATES, Ca, core, kubevirt, snapshots
from tests.lab import Lab as SimulatorLab

CDI = "/apis/cdi.kubevirt.io/v1beta1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
STORAGE = "/apis/snapshot.storage.k8s.io/v1"
CLONER = "contract-cloner"

__all__ = [
    "CORE",
    "RBAC",
    "STORAGE",
    "Ca",
    "Lab",
    "claims",
    "core",
    "kubevirt",
    "reasons",
    "snapshots",
    "unique",
    "volumes",
]


def unique(prefix: str) -> str:
    """A name that no other run has."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def volumes(namespace: str, name: str = "") -> str:
    """DataVolumes."""
    return f"{CDI}/namespaces/{namespace}/datavolumes" + (f"/{name}" if name else "")


def claims(namespace: str, name: str = "") -> str:
    """PersistentVolumeClaims."""
    return core(namespace, "persistentvolumeclaims", name)


def reasons(obj: Obj | None) -> dict[str, tuple[str, str]]:
    """Conditions by type: status and reason."""
    conditions = ((obj or {}).get("status") or {}).get("conditions") or []
    return {one["type"]: (one["status"], one.get("reason", "")) for one in conditions}


@dataclass
class Lab(SimulatorLab):
    """VMs `cp` and `wk` in a namespace that goes away with the test; the golden image is made if it is missing."""

    api: Api

    async def prepare(self) -> None:
        """Golden image, the right to clone it, namespace, Services."""
        await self._golden()
        await super().prepare()

    async def _golden(self) -> None:
        await self.api.ensure(f"{CORE}/namespaces", {"metadata": {"name": TEMPLATES}})
        rules = [{"apiGroups": ["cdi.kubevirt.io"], "resources": ["datavolumes/source"], "verbs": ["*"]}]
        await self.api.ensure(f"{RBAC}/namespaces/{TEMPLATES}/roles", {"metadata": {"name": CLONER}, "rules": rules})
        # A golden image may be a claim alone, and CDI refuses a DataVolume for a claim that is there.
        if await self.api.find(claims(TEMPLATES, "golden")) is None:
            storage = {"resources": {"requests": {"storage": "10Gi"}}}
            volume = {
                "apiVersion": "cdi.kubevirt.io/v1beta1",
                "kind": "DataVolume",
                "metadata": {"name": "golden"},
                "spec": {"source": {"registry": {"url": "docker://golden"}}, "storage": storage},
            }
            await self.api.ensure(volumes(TEMPLATES), volume)

    @property
    def binding(self) -> str:
        """Path of the RoleBinding by which the namespace may clone."""
        return f"{RBAC}/namespaces/{TEMPLATES}/rolebindings/cloner-{self.namespace}"

    async def allow_cloning(self) -> None:
        group = f"system:serviceaccounts:{self.namespace}"
        collection, _, name = self.binding.rpartition("/")
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": CLONER}
        binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        await self.api.create(collection, binding)

    async def clean(self) -> None:
        """Leave nothing but the golden image."""
        await self.api.discard(f"{CORE}/namespaces/{self.namespace}")
        await self.api.discard(self.binding)
        await self.api.gone(f"{CORE}/namespaces/{self.namespace}")

    def vm(self, name: str, *, strategy: str = "Always", grace: int = 120) -> Obj:
        """A VM that real KubeVirt takes, too: with memory."""
        vm = super().vm(name, strategy=strategy, grace=grace)
        vm["spec"]["template"]["spec"]["domain"]["resources"] = {"requests": {"cpu": "2", "memory": "2Gi"}}
        return vm

    async def halted(self, *names: str) -> None:
        """VMs that were never started, their disks populated (KubeVirt: at once, also for Halted VMs)."""
        await self.secrets(*(names or ("cp",)))
        for name in names or ("cp",):
            await self.api.create(kubevirt(self.namespace), self.vm(name, strategy="Halted"))
        for name in names or ("cp",):
            path = volumes(self.namespace, f"{name}-rootdisk")
            await self.api.until(path, lambda one: ((one or {}).get("status") or {}).get("phase") == "Succeeded")

    async def secrets(self, *names: str) -> None:
        """Cloud-init that does nothing, for VMs whose guest is of no concern."""
        for name in names:
            secret = {"metadata": {"name": f"{name}-cloudinit"}, "stringData": {"userdata": "#cloud-config\n"}}
            await self.api.create(core(self.namespace, "secrets"), secret)

    async def launch(self, name: str = "cp") -> Obj:
        """The VM, started and ready."""
        await self.power(name, "start")
        return await self.running(name)

    async def launched(self, strategy: str) -> Obj:
        """The running instance of a new VM `cp` of that run strategy."""
        await self.secrets("cp")
        await self.api.create(kubevirt(self.namespace), self.vm("cp", strategy=strategy))
        if strategy == "Manual":
            await self.power("cp", "start")
        await self.running()
        return await self.api.get(kubevirt(self.namespace, "virtualmachineinstances", "cp"))

    async def shut_down(self, grace: int) -> None:
        """Have the guest shut down behind its VM's back: its pod is taken away, with that many seconds."""
        [pod] = await self.api.items(core(self.namespace, "pods"))
        await self.api.delete(core(self.namespace, "pods", f"{pod['metadata']['name']}?gracePeriodSeconds={grace}"))

    async def halt(self, name: str = "cp", grace: int | None = 0) -> None:
        """The VM, stopped, its VMI gone."""
        await self.power(name, "stop", None if grace is None else {"gracePeriod": grace})
        await self.api.gone(kubevirt(self.namespace, "virtualmachineinstances", name))

    async def event(self, about: Obj, reason: str) -> tuple[str, str]:
        """Type and message of the first event of this reason about an object, once there is one."""
        async with asyncio.timeout(self.api.patience):
            async for _, one in self.api.events(core(self.namespace, "events")):
                if (one["involvedObject"].get("uid"), one["reason"]) == (about["metadata"]["uid"], reason):
                    return one["type"], one["message"]
        raise AssertionError("the watch ended")

    async def get_vm(self, name: str = "cp") -> Obj:
        return await self.api.get(kubevirt(self.namespace, name=name))

    async def claim_uids(self) -> dict[str, str]:
        """UIDs of the claims that are not on their way out, by name."""
        found = [one["metadata"] for one in await self.api.items(claims(self.namespace))]
        return {meta["name"]: meta["uid"] for meta in found if "deletionTimestamp" not in meta}

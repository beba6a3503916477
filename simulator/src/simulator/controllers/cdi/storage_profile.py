"""CDI's StorageProfile controller: one for each StorageClass, named alike, that says how its volumes are cloned."""

from __future__ import annotations

from simulator.client import Obj
from simulator.client.meta import deleting
from simulator.client.resources import STORAGE_CLASSES, STORAGE_PROFILES
from simulator.controllers.runtime.manager import Controller
from simulator.controllers.runtime.workqueue import Key

ASKED = ("cloneStrategy", "snapshotClass")
"""Fields of the spec that the status repeats."""


class StorageProfiles(Controller):
    """`spec` of a profile is what an administrator asks for, `status` what is used. (CDI:
    pkg/controller/storageprofile-controller.go.)"""

    name = "storage-profile"

    def watch(self) -> None:
        self.follow(STORAGE_CLASSES)
        self.follow(STORAGE_PROFILES)

    async def reconcile(self, key: Key) -> float | None:
        profile = self.context.cache(STORAGE_PROFILES).get(*key)
        storage_class = self.context.cache(STORAGE_CLASSES).get(*key)
        if storage_class is None or deleting(storage_class):
            if profile is not None and not deleting(profile):
                await self.context.delete(STORAGE_PROFILES, profile)
            return None
        if profile is None:
            profile = await self.context.create(STORAGE_PROFILES, profile_of(key[1]))
        status = profile_status(profile, storage_class)
        if status != profile.get("status"):
            await self.context.set_status(STORAGE_PROFILES, profile, status)
        return None


def profile_of(storage_class: str) -> Obj:
    kind = {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "StorageProfile"}
    return {**kind, "metadata": {"name": storage_class}, "spec": {}}


def profile_status(profile: Obj, storage_class: Obj) -> Obj:
    """What the profile has said so far, with its class and what is asked for. A snapshot class need not exist."""
    status = {key: value for key, value in (profile.get("status") or {}).items() if key not in ASKED}
    status |= {"storageClass": storage_class["metadata"]["name"], "provisioner": storage_class["provisioner"]}
    spec = profile.get("spec") or {}
    return status | {key: spec[key] for key in ASKED if spec.get(key)}

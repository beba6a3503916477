"""What a VirtualMachineRestore's conditions and events say. (KubeVirt: restore.go, updateRestoreStatus.)"""

from __future__ import annotations

from simulator.client import Obj
from simulator.client.meta import now
from simulator.client.resources import VM_RESTORES
from simulator.controllers.runtime.manager import Context
from simulator.controllers.snapshots.status import conditioned

COMPONENT = "restore-controller"


class Told:
    """Writes the status of restores, one text a pass."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def say(self, restore: Obj, progressing: bool, progress: str, ready: str, **fields: object) -> Obj:
        status = restore.get("status") or {}
        conditions = conditioned(status.get("conditions"), "Progressing", progressing, progress)
        conditions = conditioned(conditions, "Ready", False, ready)
        return await self._context.set_status(VM_RESTORES, restore, {**status, **fields, "conditions": conditions})

    async def updating(self, restore: Obj, **fields: object) -> Obj:
        """The claims are there; the target is next."""
        return await self.say(restore, True, "Updating target spec", "Waiting for target update", **fields)

    async def error(self, restore: Obj, text: str) -> None:
        """Show what is wrong for now."""
        current = self._context.cache(VM_RESTORES).get(restore["metadata"]["namespace"], restore["metadata"]["name"])
        if current is None:
            return
        message = f"VirtualMachineRestore encountered error {text}"
        self._context.events.record(current, "Warning", "VirtualMachineRestoreError", message, component=COMPONENT)
        await self.say(current, False, text, text)

    async def wait(self, restore: Obj, text: str, event: str) -> None:
        """The target is not powered off yet."""
        self._context.events.record(restore, "Warning", "RestoreTargetNotReady", event, component=COMPONENT)
        await self.say(restore, False, text, text)

    async def fail(self, restore: Obj, text: str) -> None:
        """The end: a Failure condition, and the VM stays marked if it was."""
        status = restore.get("status") or {}
        conditions = status.get("conditions")
        for type_, holds in (("Progressing", False), ("Ready", False), ("Failure", True)):
            conditions = conditioned(conditions, type_, holds, text)
        message = f"VirtualMachineRestore failed {text}"
        self._context.events.record(restore, "Warning", "Operation failed", message, component=COMPONENT)
        await self._context.set_status(VM_RESTORES, restore, {**status, "conditions": conditions})

    async def complete(self, restore: Obj) -> None:
        """The good end."""
        text = f"Successfully completed VirtualMachineRestore {restore['metadata']['name']}"
        self._context.events.record(restore, "Normal", "VirtualMachineRestoreComplete", text, component=COMPONENT)
        status = restore["status"]
        conditions = conditioned(status.get("conditions"), "Progressing", False, "Operation complete")
        conditions = conditioned(conditions, "Ready", True, "Operation complete")
        done = {**status, "complete": True, "restoreTime": now(), "conditions": conditions}
        await self._context.set_status(VM_RESTORES, restore, done)

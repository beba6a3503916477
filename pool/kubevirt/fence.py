"""Fencing: what a run does to a cluster's VMs fails once another run, or a session, has the cluster.

A run that stood still (a paused host) between looking at its claim and writing knows nothing of having been overtaken.
So whoever takes a cluster over puts a mark of its own on both VMs, and every later write to them tests for it:
the API server then refuses the write of the one before. What cannot be made conditional goes by UID, or is undone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pool.core.errors import Conflict, Invalid, StaleOperation
from pool.kube.client import Kube, Object, Objects
from pool.kube.gather import gather
from pool.kube.resources import VMS, Resource
from pool.kubevirt.cluster import Machine
from pool.kubevirt.manifests import run_key
from pool.kubevirt.ownership import Owner, named, owned, owner, removable, remove_exactly

MARK = "cks.io/claim"
"""On a VM: who may write to it, as run, epoch, and the word of the operation: a run may be carried out twice."""


@dataclass(frozen=True)
class Fence:
    """What one run may do to the VMs of a cluster. `prove` raises StaleOperation if the claim is another's by now."""

    kube: Kube
    mark: str
    prove: Callable[[], Awaitable[object]]

    @classmethod
    def of(cls, kube: Kube, run_id: str, epoch: int, word: str, prove: Callable[[], Awaitable[object]]) -> Fence:
        """A fence with a mark that no other has, not even one of the same run: `word` is its operation's."""
        return cls(kube, f"{run_key(run_id)}.{epoch}.{word}", prove)

    async def take(self, *machines: Machine) -> None:
        """Put the mark on VMs, as far as they are there and not another's; on an earlier cluster's, too.

        Raises StaleOperation.
        """
        refused: dict[str, Invalid] = {}
        while True:
            found = await gather(self.kube.find(VMS, one.name, one.namespace) for one in machines)
            unmarked = [
                (machine, vm)
                for machine, vm in zip(machines, found, strict=True)
                if vm is not None and owner(vm, machine.cluster) is not Owner.OTHERS and _mark_of(vm) != self.mark
            ]
            if not unmarked:
                return
            # Read before it is proved: whoever takes the cluster after the proof changes the VM, which is seen.
            await self.prove()
            for machine, vm in unmarked:
                version = vm["metadata"]["resourceVersion"]
                if version in refused:
                    raise refused[version]
                same = _test("/metadata/resourceVersion", version)
                try:
                    await self._patch(machine, [same, *noted(vm, {MARK: self.mark})])
                except Invalid as error:
                    # It has changed, and is looked at again; if not, it was refused for another reason.
                    refused[version] = error
                except Conflict:
                    continue

    async def change(self, machine: Machine, missing: Callable[[Object], Objects]) -> Object:
        """Have the VM be as wanted: `missing` says by which JSON patch operations it is not so yet. The VM then.

        Raises StaleOperation with nothing changed; Invalid while a snapshot or restore runs, NotFound without a VM.
        """
        refused: Invalid | None = None
        while True:
            vm = self._held(owned(await self.kube.get(VMS, machine.name, machine.namespace), machine.cluster))
            operations = missing(vm)
            if not operations:
                return vm
            if refused is not None:
                raise refused
            try:
                return await self._patch(machine, [tested(MARK, self.mark), *operations])
            except Invalid as error:
                # A test that failed reads like any other refusal, and so does the second try of a call that was carried
                # out: the VM tells them apart.
                refused = error
            except Conflict:
                continue

    async def delete(self, machine: Machine) -> Object | None:
        """Delete the VM with what it owns, also an earlier cluster's. The VM as it was, None if there was none.

        Raises StaleOperation with nothing changed, NotOurs.
        """
        while True:
            vm = await self.kube.find(VMS, machine.name, machine.namespace)
            if vm is None:
                return None
            self._held(removable(vm, machine.cluster))
            meta = vm["metadata"]
            exactly = {"uid": meta["uid"], "resource_version": meta["resourceVersion"]}
            try:
                await self.kube.delete(VMS, machine.name, machine.namespace, **exactly, propagation="Foreground")
            except Conflict:
                continue
            return vm

    async def create(self, resource: Resource, obj: Object) -> Object:
        """Create an object, and remove it again if the claim was lost meanwhile: a creation has no preconditions.

        It carries the mark, and is left alone if another run has adopted it. Raises StaleOperation, AlreadyExists.
        """
        meta = obj["metadata"]
        marked = obj | {"metadata": meta | {"annotations": (meta.get("annotations") or {}) | {MARK: self.mark}}}
        made = await self.kube.create(resource, marked)
        try:
            await self.prove()
        except StaleOperation:
            await self._take_back(resource, made)
            raise
        return made

    async def adopt(self, resource: Resource, found: Object) -> Object:
        """Put the mark on an object that is there, so that whoever made it does not take it back.

        Raises StaleOperation, NotFound if it was taken back already.
        """
        while _mark_of(found) != self.mark:
            meta = found["metadata"]
            await self.prove()
            operations = [_test("/metadata/resourceVersion", meta["resourceVersion"]), *noted(found, {MARK: self.mark})]
            try:
                return await self.kube.patch(resource, meta["name"], operations, meta["namespace"], repeatable=True)
            except (Invalid, Conflict):
                now = await self.kube.get(resource, meta["name"], meta["namespace"])
                if now["metadata"]["resourceVersion"] == meta["resourceVersion"]:
                    raise
                found = now
        return found

    async def _take_back(self, resource: Resource, made: Object) -> None:
        meta = made["metadata"]
        while True:
            found = await self.kube.find(resource, meta["name"], meta["namespace"])
            if found is None or found["metadata"]["uid"] != meta["uid"] or _mark_of(found) != self.mark:
                return
            exactly = {"uid": meta["uid"], "resource_version": found["metadata"]["resourceVersion"]}
            try:
                await self.kube.delete(resource, meta["name"], meta["namespace"], **exactly)
            except Conflict:
                continue
            return

    async def remove(self, resource: Resource, *found: Object) -> list[Object]:
        """Remove these very objects, which were read before the claim is proved; returns those that were there.

        Raises StaleOperation.
        """
        if found:
            await self.prove()
        removed = await gather(remove_exactly(self.kube, resource, one) for one in found)
        return [one for one, was_there in zip(found, removed, strict=True) if was_there]

    async def _patch(self, machine: Machine, operations: Objects) -> Object:
        # Each tests first, so a second try of one that was carried out harms nothing.
        return await self.kube.patch(VMS, machine.name, operations, machine.namespace, repeatable=True)

    def _held(self, vm: Object) -> Object:
        """The VM, if it carries the mark. Raises StaleOperation."""
        if _mark_of(vm) != self.mark:
            raise StaleOperation(
                f"{named(vm)} is another run's",
                expected=f"{MARK}={self.mark}",
                actual=_mark_of(vm) or "none",
                cure="stop this run; the other one carries on",
            )
        return vm


def noted(vm: Object, notes: dict[str, str | None]) -> Objects:
    """The JSON patch operations by which the VM has these annotations, and has not those that are None."""
    there = vm["metadata"].get("annotations")
    found = there or {}
    wanted = {key: value for key, value in notes.items() if value is not None and found.get(key) != value}
    if there is None:
        return [{"op": "add", "path": "/metadata/annotations", "value": wanted}] if wanted else []
    added = [{"op": "add", "path": f"/metadata/annotations/{_key(key)}", "value": wanted[key]} for key in wanted]
    gone = [key for key, value in notes.items() if value is None and key in found]
    return added + [{"op": "remove", "path": f"/metadata/annotations/{_key(key)}"} for key in gone]


def tested(annotation: str, value: str) -> Object:
    """The JSON patch operation that fails unless the VM has this annotation."""
    return _test(f"/metadata/annotations/{_key(annotation)}", value)


def _mark_of(vm: Object) -> str:
    return str((vm["metadata"].get("annotations") or {}).get(MARK, ""))


def _test(path: str, value: str) -> Object:
    return {"op": "test", "path": path, "value": value}


def _key(annotation: str) -> str:
    """An annotation's key in a JSON pointer."""
    return annotation.replace("~", "~0").replace("/", "~1")

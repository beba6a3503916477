"""CDI's clone populator: takes claims that clone others through their phases, and says so on them."""

from __future__ import annotations

import asyncio

from simulator.api.quantities import quantity
from simulator.client import Obj
from simulator.client.meta import annotation, deleting
from simulator.client.resources import (
    PODS,
    PVCS,
    PVS,
    STORAGE_CLASSES,
    STORAGE_PROFILES,
    VOLUME_SNAPSHOT_CLASSES,
)
from simulator.controllers.cdi.clone_plan import PHASES, Clone, CloneError, Plan, Strategy
from simulator.controllers.runtime.manager import Context, Controller
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.storage.claims import CLONE_REQUEST, bound, class_of, request, slowness, users, waits
from simulator.controllers.storage.populating import CLONE_TYPE, MAKING, ClonePhase, clone_phase, cloning
from simulator.controllers.storage.snapshot_classes import Ambiguous, snapshot_class

COMPONENT = "clone-populator"
LOOKS = 4
"""How often the progress of a copy is looked at."""


class ClonePopulator(Controller):
    """The storage makes the volume in one of the phases `MAKING`, and binds it in `Rebind`; the rest is done here.

    CDI makes helper claims and snapshots beside the source; none are made here.
    """

    name = COMPONENT

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._began: dict[tuple[str, ClonePhase], float] = {}

    def watch(self) -> None:
        self.follow(PVCS)
        self.context.cache(PVCS).subscribe(self._source_changed)
        self.context.cache(PVS).subscribe(self._volume_changed)
        for gvr in (PODS, STORAGE_CLASSES, STORAGE_PROFILES, VOLUME_SNAPSHOT_CLASSES):
            self.context.cache(gvr)

    def _source_changed(self, source: Obj) -> None:
        """Clones wait for their source to be bound."""
        if not bound(source):
            return
        name = f"{source['metadata']['namespace']}/{source['metadata']['name']}"
        for claim in self.context.cache(PVCS):
            if annotation(claim, CLONE_REQUEST) == name and not bound(claim):
                self.queue.add((claim["metadata"]["namespace"], claim["metadata"]["name"]))

    def _volume_changed(self, volume: Obj) -> None:
        reference = volume["spec"].get("claimRef")
        if reference:
            self.queue.add((reference["namespace"], reference["name"]))

    async def reconcile(self, key: Key) -> float | None:
        claim = self.context.cache(PVCS).get(*key)
        phase = clone_phase(claim) if claim is not None else None
        if claim is None or phase is None or deleting(claim):
            return None
        if bound(claim):
            self._began = {step: began for step, began in self._began.items() if step[0] != claim["metadata"]["uid"]}
            await self._reach(claim, ClonePhase.SUCCEEDED)
            return None
        storage_class = class_of(claim, self.context.cache(STORAGE_CLASSES))
        if waits(claim, storage_class):
            return None
        if phase in (ClonePhase.PENDING, ClonePhase.ERROR):
            return await self._begin(claim, storage_class)
        return await self._advance(claim, phase, storage_class)

    async def _begin(self, claim: Obj, storage_class: Obj | None) -> float | None:
        """Choose a strategy once the source can be read."""
        if annotation(claim, CLONE_REQUEST) is None:
            # From a VolumeSnapshot: there is nothing to choose.
            await self._reach(claim, ClonePhase.SNAPSHOT_CLONE, strategy=Strategy.SNAPSHOT)
            return None
        source = self._source(claim)
        if source is None or not bound(source):
            return None
        if self._in_use(claim, source):
            return self.delays.retry
        try:
            plan = self._plan(claim, source, storage_class)
        except CloneError as error:
            text = "The clone doesn't meet the validation requirements"
            self._warn(claim, "CloneValidationFailed", text)
            await self._reach(claim, ClonePhase.ERROR, error=str(error))
            return self.delays.retry
        if plan.reason:
            self._warn(claim, plan.reason, plan.fallback)
        await self._reach(claim, PHASES[plan.strategy][0], strategy=plan.strategy, fallback=plan.fallback)
        return None

    def _source(self, claim: Obj) -> Obj | None:
        return self.context.cache(PVCS).get(*(annotation(claim, CLONE_REQUEST) or "/").split("/", 1))

    def _in_use(self, claim: Obj, source: Obj) -> bool:
        namespace, name = source["metadata"]["namespace"], source["metadata"]["name"]
        pods = [
            pod
            for pod in users(name, self.context.cache(PODS).inside(namespace))
            if (pod.get("status") or {}).get("phase") != "Failed"
        ]
        for pod in pods:
            text = f"pod {namespace}/{pod['metadata']['name']} using PersistentVolumeClaim {name}"
            self._warn(claim, "CloneSourceInUse", text)
        return bool(pods)

    def _plan(self, claim: Obj, source: Obj, storage_class: Obj | None) -> Plan:
        if storage_class is None:
            raise CloneError("target storage class not found")
        profile = self.context.cache(STORAGE_PROFILES).get("", storage_class["metadata"]["name"])
        wanted = ((profile or {}).get("status") or {}).get("cloneStrategy", Strategy.SNAPSHOT)
        classes = list(self.context.cache(VOLUME_SNAPSHOT_CLASSES))
        try:
            snapshots = snapshot_class(storage_class, profile, classes) is not None
        except Ambiguous:
            # CDI takes any of several; only KubeVirt insists on a marked one.
            snapshots = True
        volume = self.context.cache(PVS).get("", source["spec"].get("volumeName", "")) or {}
        driver = ((volume.get("spec") or {}).get("csi") or {}).get("driver", "")
        return Clone(source, claim, storage_class, driver, snapshots).plan(Strategy(wanted))

    async def _advance(self, claim: Obj, phase: ClonePhase, storage_class: Obj | None) -> float | None:
        made = self.context.cache(PVS).get("", f"pvc-{claim['metadata']['uid']}") is not None
        if phase is ClonePhase.SNAPSHOT:
            wait = self.delays.snapshot_create - self._since(claim, phase)
            if wait > 0:
                return wait
        elif phase in MAKING and not made:
            return await self._report_copy(claim, storage_class) if phase is ClonePhase.HOST_CLONE else None
        elif phase is ClonePhase.REBIND:
            return None
        phases = PHASES[Strategy(annotation(claim, CLONE_TYPE) or "")]
        await self._reach(claim, phases[phases.index(phase) + 1])
        return None

    async def _report_copy(self, claim: Obj, storage_class: Obj | None) -> float:
        """CDI asks the pod that copies how far it is."""
        total = self.delays.copy(quantity(request(claim))) * slowness(storage_class)
        share = min(self._since(claim, ClonePhase.HOST_CLONE) / total, 0.999)
        await self._reach(claim, ClonePhase.HOST_CLONE, progress=f"{100 * share:.1f}%")
        return total / LOOKS

    def _since(self, claim: Obj, phase: ClonePhase) -> float:
        """Seconds that the claim is known to be in the phase."""
        clock = asyncio.get_running_loop().time()
        return clock - self._began.setdefault((claim["metadata"]["uid"], phase), clock)

    async def _reach(self, claim: Obj, phase: ClonePhase, **notes: str) -> None:
        changed = cloning(claim, phase, **notes)
        if changed["metadata"]["annotations"] != claim["metadata"]["annotations"]:
            await self.context.update(PVCS, changed)

    def _warn(self, claim: Obj, reason: str, text: str) -> None:
        self.context.events.record(claim, "Warning", reason, text, component=COMPONENT)

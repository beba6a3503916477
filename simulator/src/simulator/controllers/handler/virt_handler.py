"""virt-handler with the domains on its node: instances start, run, shut down, end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from simulator.client import Obj
from simulator.client.meta import deleting, is_true, now, without_condition
from simulator.client.resources import PODS, PVCS, PVS, SERVICES, VMIS
from simulator.controllers.handler.console_log import ConsoleLogs
from simulator.controllers.handler.hardware import hardware_of
from simulator.controllers.handler.migratable import live_migratable
from simulator.controllers.runtime.manager import Context, Controller
from simulator.controllers.runtime.workqueue import Key
from simulator.controllers.snapshots.quiescing import agent_of, connected
from simulator.controllers.virt.launcher import grace_of
from simulator.controllers.virt.run_strategy import final, phase_of
from simulator.controllers.virt.vmi import launcher_of
from simulator.controllers.virt.vmi_status import in_phase
from simulator.faults.troubles import TroubleKind, victim
from simulator.guests.disk import Disk, Disks
from simulator.guests.images import image
from simulator.guests.machine import Machine, Outside
from simulator.guests.neighbours import Neighbours

COMPONENT = "virt-handler"


@dataclass
class Domain:
    """A running domain, and when its shutdown began (loop time)."""

    key: Key
    machine: Machine
    stopping_since: float | None = None


log = logging.getLogger("simulator.controllers")


class VirtHandler(Controller):
    """Domains of the node, one an instance.

    A shutdown that the guest finishes within its grace ends Succeeded, one cut short ends Failed; with a grace of 0 the
    domain is destroyed at once and the instance is Succeeded. (KubeVirt: pkg/virt-handler/vm.go.)
    """

    name = "virt-handler"

    def __init__(self, context: Context, disks: Disks, consoles: ConsoleLogs, node: str = "node-a") -> None:
        super().__init__(context)
        self._node = node
        self._disks = disks
        self._neighbours = Neighbours(lambda namespace: context.cache(SERVICES).inside(namespace))
        self._consoles = consoles
        self._domains: dict[str, Domain] = {}
        self._due: dict[str, float] = {}

    def watch(self) -> None:
        self.follow(VMIS)
        self.follow_troubles(VMIS)
        self.context.cache(PODS).subscribe(self._pod_changed)
        self.context.cache(SERVICES).subscribe(lambda _: self._neighbours.changed.beat())
        for gvr in (PVCS, PVS):
            self.context.cache(gvr)

    def _pod_changed(self, pod: Obj) -> None:
        name = (pod["metadata"].get("labels") or {}).get("vm.kubevirt.io/name")
        if name:
            self.queue.add((pod["metadata"]["namespace"], name))

    async def stop(self) -> None:
        """Power everything off."""
        await asyncio.gather(*(domain.machine.power_off() for domain in self._domains.values()))
        self._domains.clear()

    async def reconcile(self, key: Key) -> float | None:
        vmi = self.context.cache(VMIS).get(*key)
        await self._bury(key, vmi)
        if vmi is None or final(vmi) or vmi.get("status", {}).get("nodeName") != self._node:
            return None
        pod = launcher_of(vmi, self.context.cache(PODS).inside(key[0]))
        phase = phase_of(vmi)
        if phase == "Scheduled" and not deleting(vmi) and pod is not None and not deleting(pod):
            return await self._start(key, vmi, pod)
        if phase == "Running":
            return await self._watch_over(vmi, pod)
        if phase == "Scheduled":
            await self._end(vmi, "Succeeded" if deleting(vmi) else "Failed")
        return None

    async def _bury(self, key: Key, vmi: Obj | None) -> None:
        """Destroy domains of instances that are gone."""
        if vmi is None:
            self._consoles.close(key)
        for uid, domain in list(self._domains.items()):
            if domain.key == key and (vmi is None or vmi["metadata"]["uid"] != uid):
                del self._domains[uid]
                await domain.machine.power_off()

    async def _start(self, key: Key, vmi: Obj, pod: Obj) -> float | None:
        uid = vmi["metadata"]["uid"]
        clock = asyncio.get_running_loop().time()
        wait = self._due.setdefault(uid, clock + self.delays.domain_start) - clock
        if wait > 0:
            return wait
        if uid not in self._domains:
            hardware = await hardware_of(self.client, vmi, pod)
            outside = Outside(self._consoles.open(key, uid), self._teller(vmi), lambda: self.queue.add(key))
            world = self._neighbours, outside, self.context.troubles, self.context.clock
            machine = Machine(hardware, self._disk(vmi), self.delays, *world)
            self._domains[uid] = Domain(key, machine)
        await self.context.update(VMIS, self._running(vmi, pod))
        self._domains[uid].machine.power_on()
        self._due.pop(uid, None)
        text = "VirtualMachineInstance started."
        self.context.events.record(vmi, "Normal", "Started", text, component=COMPONENT)
        return None

    def _teller(self, vmi: Obj) -> Callable[[bool, str], None]:
        def tell(wrong: bool, text: str) -> None:
            type_, reason = ("Warning", "GuestFault") if wrong else ("Normal", "GuestConsole")
            self.context.events.record(vmi, type_, reason, text, component="guest")

        return tell

    def _disk(self, vmi: Obj) -> Disk:
        """The content behind the first claim of the instance. Without one: a fresh system, gone with the instance, when
        a volume is an image, else an empty disk."""
        for claim in self._claims(vmi):
            volume = self.context.cache(PVS).get("", claim["spec"].get("volumeName", ""))
            handle = ((volume or {}).get("spec") or {}).get("csi", {}).get("volumeHandle", "")
            if handle in self._disks.volumes:
                return self._disks.volumes[handle]
            name = f"{claim['metadata']['namespace']}/{claim['metadata']['name']}"
            log.warning("claim %s has no content here, so its guest finds an empty disk: it is another's", name)
        images = [one["containerDisk"] for one in vmi["spec"].get("volumes") or [] if "containerDisk" in one]
        return image(images[0].get("image", "")) if images else Disk()

    def _claims(self, vmi: Obj) -> list[Obj]:
        names = [
            (volume.get("dataVolume") or {}).get("name") or (volume.get("persistentVolumeClaim") or {}).get("claimName")
            for volume in vmi["spec"].get("volumes") or []
        ]
        found = [self.context.cache(PVCS).get(vmi["metadata"]["namespace"], name) for name in names if name]
        return [claim for claim in found if claim is not None]

    def _running(self, vmi: Obj, pod: Obj) -> Obj:
        address = pod["status"]["podIP"]
        interfaces = vmi["spec"].get("domain", {}).get("devices", {}).get("interfaces") or [{"name": "default"}]
        interface = {
            "name": interfaces[0].get("name", "default"),
            "ipAddress": address,
            "ipAddresses": [address],
            "mac": self._domains[vmi["metadata"]["uid"]].machine.hardware.mac_address,
            "podInterfaceName": "eth0",
        }
        devices = [volume["name"] for volume in vmi["spec"].get("volumes") or []]
        volumes = [{"name": name, "target": f"vd{chr(ord('a') + index)}"} for index, name in enumerate(devices)]
        ready = {"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": now()}
        conditions = without_condition(vmi["status"].get("conditions"), "Ready")
        conditions.append(live_migratable(vmi, self._claims(vmi)))
        return in_phase(
            vmi,
            "Running",
            interfaces=[interface],
            volumeStatus=volumes,
            conditions=[*conditions, ready, *self._agent(vmi)],
        )

    def _agent(self, vmi: Obj) -> list[Obj]:
        """The agent's condition, of a guest that boots."""
        return [] if self._domains[vmi["metadata"]["uid"]].machine.hangs else connected(vmi)

    async def _hear(self, vmi: Obj) -> None:
        """The agent of a guest that goes on after all says that it is there."""
        conditions = vmi["status"].get("conditions") or []
        if agent_of(vmi) is not None and not is_true(conditions, "AgentConnected") and self._agent(vmi):
            status = {**vmi["status"], "conditions": [*conditions, *self._agent(vmi)]}
            await self.context.update(VMIS, {**vmi, "status": status})

    async def _watch_over(self, vmi: Obj, pod: Obj | None) -> float | None:
        domain = self._domains.get(vmi["metadata"]["uid"])
        if domain is None:
            # The domain did not survive a restart of the simulator.
            await self._end(vmi, "Failed")
            return None
        if domain.machine.cut:
            await self._end(vmi, "Failed")
            return None
        if pod is not None and not deleting(vmi) and not deleting(pod):
            if self.context.troubles.of(TroubleKind.POWER_OFF, domain.machine.as_victim) is not None:
                await self._end(vmi, "Succeeded", clean=True)
                return None
            await self._hear(vmi)
            return None
        if self.context.troubles.of(TroubleKind.STUCK_STOP, victim(vmi)) is not None:
            return None
        if pod is None and not deleting(vmi):
            await self._end(vmi, "Failed")
            return None
        return await self._shut_down(vmi, domain, grace_left(vmi, pod))

    async def _shut_down(self, vmi: Obj, domain: Domain, grace: int) -> float | None:
        """One look at a domain that is to end: how long until the guest is off, or the grace (seconds) is over."""
        clock = asyncio.get_running_loop().time()
        if domain.stopping_since is None:
            domain.stopping_since = clock
        clean = grace > 0 and self.delays.shutdown * self.delays.speed <= grace and not domain.machine.hangs
        if grace <= 0:
            delay, phase = self.delays.kill, "Succeeded"
        elif clean:
            delay, phase = self.delays.shutdown, "Succeeded"
        else:
            delay, phase = grace / self.delays.speed, "Failed"
        left = domain.stopping_since + delay - clock
        if left > 0:
            return left
        await self._end(vmi, phase, clean=clean)
        return None

    async def _end(self, vmi: Obj, phase: str, *, clean: bool = False) -> None:
        """The domain is off, by the guest's own shutdown or cut, then the instance is final."""
        domain = self._domains.get(vmi["metadata"]["uid"])
        if domain is not None:
            await (domain.machine.shut_down() if clean else domain.machine.power_off())
        await self.context.update(VMIS, in_phase(vmi, phase))
        self._domains.pop(vmi["metadata"]["uid"], None)
        self._due.pop(vmi["metadata"]["uid"], None)


def grace_left(vmi: Obj, pod: Obj | None) -> int:
    """Seconds that a guest has to shut down: its instance's, or those of its pod when that is killed sooner."""
    pods: int | None = (pod or {}).get("metadata", {}).get("deletionGracePeriodSeconds")
    return grace_of(vmi) if pods is None else min(grace_of(vmi), pods)

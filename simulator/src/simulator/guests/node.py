"""A machine as a node of a cluster: what kubeadm makes of it, and what runs on it from then on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Protocol

from simulator.faults.troubles import Part, TroubleKind, Troubles, Victim
from simulator.guests import preflight
from simulator.guests.console import Console
from simulator.guests.control_plane import ControlPlane
from simulator.guests.disk import Disk
from simulator.guests.hardware import Hardware
from simulator.guests.joining import find_control_plane
from simulator.guests.keeping import Trust, keep
from simulator.guests.kubeadm import Refused
from simulator.guests.kubelet import Kubelet
from simulator.guests.neighbours import Neighbours
from simulator.guests.network import Network
from simulator.guests.validity import end_of_kubelet
from simulator.timing.clock import Clock
from simulator.timing.delays import Delays

log = logging.getLogger("simulator.guests")
BROKEN = "kernel panic: the simulated guest broke, see the simulator's log"


class Owner(Protocol):
    """The machine, as its node knows it."""

    hardware: Hardware
    disk: Disk
    network: Network
    control_plane: ControlPlane | None
    boot_id: str
    delays: Delays
    neighbours: Neighbours
    troubles: Troubles
    clock: Clock
    console: Console

    @property
    def addresses(self) -> frozenset[str]: ...
    @property
    def as_victim(self) -> Victim: ...
    def say(self, text: str, *, wrong: bool = False) -> None: ...
    def tell(self, text: str, *, wrong: bool = False) -> None: ...
    async def reached(self, point: str) -> None:
        """A point at which the power may be cut."""


class Node:
    """`notes`: annotations that the machine says on its Node."""

    def __init__(self, machine: Owner, notes: Mapping[str, str]) -> None:
        self._machine = machine
        self._notes = notes
        self._kubelet: Kubelet | None = None
        self._task: asyncio.Task[None] | None = None

    def resume(self) -> None:
        """What systemd starts on a machine that is a node already."""
        role = self._machine.disk.machine["role"]
        self._machine.say(f"booted from disk as {role}")
        self._run(self._serve_again() if role == "control-plane" else self._work_again())

    async def ended(self) -> None:
        """Until nothing of it runs any more."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """End what runs of it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._kubelet = None

    def note(self, notes: Mapping[str, str]) -> None:
        """Say these annotations, too, from now on."""
        self._notes = {**self._notes, **notes}
        if self._kubelet is not None:
            self._kubelet.say(notes)

    async def reset(self) -> None:
        """kubeadm reset. It leaves the network plugins' configuration."""
        machine = self._machine
        await self.stop()
        serving, machine.control_plane = machine.control_plane, None
        if serving is not None:
            serving.detach()
            await serving.close()
            machine.neighbours.changed.beat()
        for name in ("role", "node", "address", "version", "api", "ca-hash"):
            machine.disk.machine.pop(name, None)
        machine.disk.etcd = None
        preflight.wipe(machine.disk.files)

    async def serve(self, serving: ControlPlane) -> None:
        """Be a control plane from now on; returns once its cluster has the node."""
        self._serve(serving)
        self._machine.say("Your Kubernetes control-plane has initialized successfully!")
        self._run(self._run_kubelet(serving))
        await self._registered()

    async def work(self) -> None:
        """Be a worker from now on; returns once its cluster has the node."""
        self._machine.say("This node has joined the cluster")
        self._run(self._keep(self._my_control_plane))
        await self._registered()

    async def _serve_again(self) -> None:
        machine = self._machine
        await asyncio.sleep(machine.delays.api_start)
        address = machine.disk.machine["address"]
        if address not in machine.addresses:
            raise Refused(f"etcd cannot listen on {address}: cannot assign requested address")
        serving = await ControlPlane.restart(machine.disk, machine.hardware.address, machine.clock)
        self._serve(serving)
        machine.say("kube-apiserver is serving")
        await asyncio.sleep(machine.delays.reboot_ready)
        await self._run_kubelet(serving)

    def _serve(self, serving: ControlPlane) -> None:
        machine = self._machine
        broken = TroubleKind.UNHEALTHY_GUEST, machine.as_victim, Part.APISERVER
        serving.healthy = lambda: machine.troubles.of(*broken) is None
        machine.control_plane = serving
        machine.neighbours.changed.beat()

    async def _run_kubelet(self, serving: ControlPlane) -> None:
        async with asyncio.TaskGroup() as tasks:
            controllers = tasks.create_task(serving.run_controllers(self._machine.delays))
            tasks.create_task(self._keep(lambda: serving))
            # Theirs are of the day of the API server's.
            await self._machine.clock.until(serving.ends)
            controllers.cancel()

    async def _work_again(self) -> None:
        await asyncio.sleep(self._machine.delays.reboot_ready)
        await self._keep(self._my_control_plane)

    def _my_control_plane(self) -> ControlPlane | None:
        """The control plane that this worker joined, when it can be reached and is the same cluster still."""
        known = self._machine.disk.machine
        try:
            serving = find_control_plane(self._machine, known["api"], self._machine.neighbours)
        except Refused:
            return None
        return serving if serving.authority.spki_hash == known["ca-hash"] else None

    def _trusted_until(self, serving: ControlPlane) -> datetime:
        """When kubelet and API server cease to trust each other's certificates. Raises Refused without one."""
        return min(serving.ends, end_of_kubelet(self._machine.disk.files))

    async def _keep(self, reach: Callable[[], ControlPlane | None]) -> None:
        machine, kubelet = self._machine, self._kubelet
        assert kubelet is not None
        trust = Trust(machine.clock, self._trusted_until, lambda text: machine.say(text, wrong=True))
        world = machine.neighbours.changed, machine.troubles, machine.as_victim
        try:
            await keep(kubelet, trust.reached(reach), trust, *world, retry=machine.delays.retry)
        except Refused as error:
            machine.say(str(error), wrong=True)

    async def _registered(self) -> None:
        """Until the cluster has the node, for which kubeadm waits. It does not wait for a kubelet in trouble here."""
        broken = self._machine.troubles.of(TroubleKind.UNHEALTHY_GUEST, self._machine.as_victim, Part.KUBELET)
        if broken is None and self._kubelet is not None:
            await self._kubelet.registered.wait()

    def _new_kubelet(self) -> Kubelet:
        machine, known = self._machine, self._machine.disk.machine
        return Kubelet(
            node=known["node"],
            address=known["address"],
            control_plane=known["role"] == "control-plane",
            version=known["version"],
            disk=machine.disk,
            delays=machine.delays,
            boot_id=machine.boot_id,
            says=dict(self._notes),
        )

    def _run(self, life: Coroutine[None, None, None]) -> None:
        async def lived() -> None:
            try:
                await life
            except Refused as error:
                self._machine.say(str(error), wrong=True)
            except Exception:
                log.exception("guest %s/%s broke", self._machine.hardware.namespace, self._machine.hardware.name)
                self._machine.say(BROKEN, wrong=True)

        self._kubelet = self._new_kubelet()
        self._task = asyncio.create_task(lived(), name=f"node {self._machine.hardware.name}")

"""The controllers by part, so that each part can be played alone beside another API server."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from simulator.client import Client
from simulator.controllers.cdi.clone_populator import ClonePopulator
from simulator.controllers.cdi.datavolume import DataVolumes
from simulator.controllers.cdi.import_populator import ImportPopulator
from simulator.controllers.cdi.storage_profile import StorageProfiles
from simulator.controllers.csi.provisioner import Provisioner
from simulator.controllers.csi.snapshotter import Snapshotter
from simulator.controllers.csi.volumes import ClaimProtection, Reclaimer
from simulator.controllers.handler.console_log import ConsoleLogs
from simulator.controllers.handler.virt_handler import VirtHandler
from simulator.controllers.network.endpoints import EndpointsOfServices
from simulator.controllers.network.service_proxy import ServiceProxy
from simulator.controllers.node.pods import Pods
from simulator.controllers.restores.restore import VirtualMachineRestores
from simulator.controllers.runtime.manager import Context, Controller, Manager
from simulator.controllers.snapshots.content import SnapshotContents
from simulator.controllers.snapshots.snapshot import VirtualMachineSnapshots
from simulator.controllers.snapshots.volume_statuses import VolumeStatuses
from simulator.controllers.virt.vm import VirtualMachines
from simulator.controllers.virt.vmi import VirtualMachineInstances
from simulator.faults.troubles import Troubles
from simulator.guests.disk import Disks
from simulator.timing.clock import Clock
from simulator.timing.delays import Delays


class Part(StrEnum):
    VIRT = "virt"
    """virt-controller: VMs, instances, snapshots, restores."""
    CDI = "cdi"
    """DataVolumes."""
    CSI = "csi"
    """Volumes and their snapshots."""
    NODE = "node"
    """Scheduler and kubelet of the one node."""
    GUESTS = "guests"
    """virt-handler there, with what runs in the instances."""
    NETWORK = "network"
    """Endpoints and the Service proxy."""


class Controllers:
    """Chosen parts (all by default) running against one API. `delays` are used as they are, so give a scaled table;
    `troubles` are what goes wrong in their world."""

    def __init__(
        self,
        client: Client,
        delays: Delays,
        only: Collection[Part] = tuple(Part),
        troubles: Troubles | None = None,
        clock: Clock | None = None,
        disks: Disks | None = None,
    ) -> None:
        self.context = Context(client, delays, troubles, clock)
        self.disks = disks if disks is not None else Disks()
        self.consoles = ConsoleLogs()
        chosen = [controller for part in Part if part in only for controller in self._part(part)]
        self._manager = Manager(self.context, chosen)

    async def start(self) -> None:
        """Returns once caches are filled and workers run."""
        await self._manager.start()

    async def stop(self) -> None:
        """Stop working, power off the guests."""
        await self._manager.stop()

    def _part(self, part: Part) -> list[Controller]:
        context, disks = self.context, self.disks
        if part is Part.VIRT:
            return [
                VirtualMachines(context),
                VirtualMachineInstances(context),
                VolumeStatuses(context),
                VirtualMachineSnapshots(context),
                SnapshotContents(context),
                VirtualMachineRestores(context),
            ]
        if part is Part.CDI:
            return [DataVolumes(context), ClonePopulator(context), ImportPopulator(context), StorageProfiles(context)]
        if part is Part.CSI:
            return [
                Provisioner(context, disks),
                Snapshotter(context, disks),
                Reclaimer(context, disks),
                ClaimProtection(context),
            ]
        if part is Part.NODE:
            return [Pods(context)]
        if part is Part.GUESTS:
            return [VirtHandler(context, disks, self.consoles)]
        return [EndpointsOfServices(context), ServiceProxy(context)]

"""One VM of the pair over all its runs: what stays with it, what changes with each run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from boot.addresses import Placed, new_place
from boot.command import GATEWAY, Files, Hardware, command
from boot.console import Said, follow, size
from boot.disks import overlay
from boot.patience import patient
from boot.qemu import Qemu, power_on
from boot.relay import Service
from boot.seed import write_seed
from pool.core.pools import Pool
from pool.guest.addons import Addons
from pool.guest.cloudinit import network_data, user_data
from pool.guest.identity import Identity
from pool.kubevirt.cluster import Machine


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Node:
    """A VM; `service` is the one through which the other VM reaches its WireGuard port."""

    machine: Machine
    service: Service
    hardware: Hardware
    files: Files
    placed: Placed = field(default_factory=new_place)
    """Where its present run is reached."""
    since: datetime = field(default_factory=_now)
    """When it was last switched on."""
    qemu: Qemu | None = None
    """Its run; None while it is off."""

    @property
    def name(self) -> str:
        """The VM's name, and its node's."""
        return self.machine.name

    @property
    def running(self) -> bool:
        """Whether it is on."""
        return self.qemu is not None and self.qemu.running

    def seed(self, identity: Identity, peer: Service, pool: Pool, addons: Addons) -> None:
        """Make what cloud-init finds, as the product renders it; kubeadm waits longer on emulated processors."""
        endpoint = f"{GATEWAY}:{peer.port}"
        rendered = user_data(self.machine.cluster, self.machine, identity, endpoint, pool, addons)
        write_seed(
            self.files.seed,
            instance_id=self.machine.firmware_uuid,
            hostname=self.name,
            user_data=patient(rendered) if self.hardware.emulated else rendered,
            network_data=network_data(self.machine),
        )

    async def new_disk(self, base: Path, name: str, size: str | None = None) -> None:
        """Give it another disk, which begins as `base`."""
        disk = self.files.disk.with_name(f"{self.name}-{name}.qcow2")
        await overlay(base, disk, size)
        self.files = replace(self.files, disk=disk)

    async def power_on(self) -> None:
        """Switch it on, at new addresses. Raises QemuFailed."""
        self.placed = new_place()
        self.service.lead_to(self.placed.wireguard)
        self.since = _now()
        order = command(self.machine, self.hardware, self.files, self.placed)
        self.qemu = await power_on(order, self.files.console.with_suffix(".qemu.log"))

    async def power_down(self, timeout: float) -> None:
        """Have the guest switch itself off. Raises QemuFailed."""
        assert self.qemu is not None
        await self.qemu.power_down(timeout)

    async def cut(self) -> None:
        """Cut its power, if it is on."""
        if self.qemu is not None:
            await self.qemu.cut()

    def says(self) -> AsyncIterator[Said]:
        """What its first boot says on the console from now on."""
        return follow(self.files.console, size(self.files.console))

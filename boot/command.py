"""The command that QEMU is started with: a machine as KubeVirt's launcher would make it of our VM manifest. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boot.addresses import LOOPBACK, Placed
from pool.kubevirt.cluster import API_PORT, WIREGUARD_PORT, Machine

GUEST = "10.0.2.2"
GATEWAY = "10.0.2.1"
"""KubeVirt's masquerade: the second host of its default vmNetworkCIDR 10.0.2.0/24, behind the first one. From in the
guest, QEMU's user-mode network has the loopback of the host at the gateway's address."""
NAMESERVER = "10.0.2.3"


@dataclass(frozen=True)
class Hardware:
    """Cores, MiB of memory, and the processor as QEMU calls it, emulated or the host's own (KVM).

    `max` is the host's own with KVM, and all that can be emulated without.
    """

    cores: int = 2
    memory: int = 4096
    processor: str = "max"
    emulated: bool = False


@dataclass(frozen=True)
class Files:
    """The files of a machine. `console` is appended to."""

    disk: Path
    seed: Path
    console: Path


def command(machine: Machine, hardware: Hardware, files: Files, placed: Placed) -> list[str]:
    """QEMU's arguments, QMP on its standard input and output."""
    network = [
        f"user,id=pod,ipv6=off,net=10.0.2.0/24,host={GATEWAY},dhcpstart={GUEST},dns={NAMESERVER}",
        f"hostfwd=udp:{LOOPBACK}:{placed.wireguard}-{GUEST}:{WIREGUARD_PORT}",
        f"hostfwd=tcp:{placed.api}:{API_PORT}-{GUEST}:{API_PORT}",
    ]
    return [
        "qemu-system-x86_64",
        *("-name", machine.name),
        *("-uuid", machine.firmware_uuid),
        *("-machine", f"q35,accel={'tcg' if hardware.emulated else 'kvm'}", "-cpu", hardware.processor),
        *("-smp", str(hardware.cores), "-m", str(hardware.memory)),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-device", "virtio-rng-pci"),
        *("-drive", f"file={_quoted(files.disk)},if=virtio,format=qcow2,discard=unmap"),
        *("-drive", f"file={_quoted(files.seed)},if=virtio,format=raw,readonly=on"),
        *("-netdev", ",".join(network)),
        *("-device", f"virtio-net-pci,netdev=pod,mac={machine.mac_address}"),
        *("-chardev", f"file,id=console,append=on,path={_quoted(files.console)}", "-serial", "chardev:console"),
        *("-qmp", "stdio"),
    ]


def _quoted(path: Path) -> str:
    """A path inside an option; a comma would end it."""
    return str(path).replace(",", ",,")

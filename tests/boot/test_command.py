from __future__ import annotations

from pathlib import Path

import pytest

from boot.addresses import Placed
from boot.command import Files, Hardware, command
from boot.pair import cluster_of, pool_of


@pytest.fixture
def order() -> list[str]:
    machine = cluster_of(pool_of()).worker
    files = Files(Path("/tmp/a,b/disk.qcow2"), Path("/tmp/seed.iso"), Path("/tmp/wk.console"))
    return command(machine, Hardware(), files, Placed("127.64.1.2", 40001))


def after(order: list[str], option: str) -> list[str]:
    return [order[place + 1] for place, one in enumerate(order) if one == option]


def test_the_machine_is_the_one_that_the_pool_describes(order: list[str]) -> None:
    machine = cluster_of(pool_of()).worker
    assert after(order, "-uuid") == [machine.firmware_uuid]
    assert f"virtio-net-pci,netdev=pod,mac={machine.mac_address}" in after(order, "-device")
    assert (after(order, "-smp"), after(order, "-m")) == (["2"], ["4096"])


def test_its_network_is_that_of_a_masquerade(order: list[str]) -> None:
    assert after(order, "-netdev") == [
        "user,id=pod,ipv6=off,net=10.0.2.0/24,host=10.0.2.1,dhcpstart=10.0.2.2,dns=10.0.2.3,"
        "hostfwd=udp:127.0.0.1:40001-10.0.2.2:51820,hostfwd=tcp:127.64.1.2:6443-10.0.2.2:6443"
    ]


def test_disks_are_the_root_disk_and_a_seed_that_nobody_writes_to(order: list[str]) -> None:
    disk, seed = after(order, "-drive")
    assert disk == "file=/tmp/a,,b/disk.qcow2,if=virtio,format=qcow2,discard=unmap"
    assert seed == "file=/tmp/seed.iso,if=virtio,format=raw,readonly=on"


def test_its_console_is_kept_over_restarts(order: list[str]) -> None:
    assert after(order, "-chardev") == ["file,id=console,append=on,path=/tmp/wk.console"]
    assert after(order, "-serial") == ["chardev:console"]

"""Guests alone: machines on disks, with no host around them, from power-on to power-off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import yaml

from simulator.client import Client, Obj
from simulator.faults.troubles import Troubles
from simulator.guests.console import Console
from simulator.guests.disk import Disk
from simulator.guests.hardware import Hardware
from simulator.guests.images import image
from simulator.guests.machine import Machine, Outside
from simulator.guests.neighbours import Neighbours
from simulator.timing.clock import Clock
from simulator.timing.delays import Delays
from tests.lab import TOKEN, Ca, pem

IMAGE = "docker://quay.io/capk/ubuntu-2404-container-disk:v1.34.1"
STEPS = "/usr/local/lib/lab/first-boot.d"
STATE, MARK = "/var/lib/lab/first-boot", "/etc/lab/done"
LIBRARY = """
readonly REFUSED=78
tell() {
  printf '\\nboot: %s\\n' "$1" >/dev/console || true
}
says() {
  local line
  while IFS= read -r line || [ -n "$line" ]; do
    tell "${0##*/}: says: ${line:0:400}"
  done
}
fail() {
  echo "+why: $*"
  exit 1
}
refuse() {
  echo "+why: $*"
  exit "$REFUSED"
}
"""
DRIVER = f"""#!/bin/bash
set -uo pipefail
readonly finished={MARK}
readonly state={STATE}
if [ -e "$finished" ]; then exit 0; fi
sync
annotate() {{
  kubectl --kubeconfig /etc/kubernetes/kubelet.conf annotate --overwrite node cp lab/first-boot="$(cat "$state")"
}}
for step in {STEPS}/*; do
  "$step" 2>&1 | tee /run/log
  case ${{PIPESTATUS[0]}} in
  0) sync ;;
  *) exit 1 ;;
  esac
done
touch "$finished"
sync
"""
UNIT = """[Unit]
ConditionPathExists=!/etc/lab/done
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/boot
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=78
"""
HEAD = "#!/bin/bash\nset -eEuo pipefail\n. /usr/local/lib/lab/first-boot.sh\ntrap blame ERR\n"
INIT = """
if [ ! -e /etc/lab/made ]; then
  if [ -e /etc/kubernetes/kubelet.conf ] || [ -e /etc/kubernetes/bootstrap-kubelet.conf ] ||
    [ -e /etc/kubernetes/pki/ca.crt ] || [ -e /var/lib/etcd/member ]; then
    kubeadm reset --force
    rm -rf /var/lib/etcd /etc/kubernetes/pki /etc/kubernetes/*.conf /etc/kubernetes/manifests/*
  fi
  install -D -m 0644 /etc/lab/pki/ca.crt /etc/kubernetes/pki/ca.crt
  install -D -m 0600 /etc/lab/pki/ca.key /etc/kubernetes/pki/ca.key
  kubeadm init --config /etc/lab/kubeadm.yaml --skip-token-print
  sync
  touch /etc/lab/made
fi
"""
JOIN = "kubeadm join --config /etc/lab/kubeadm.yaml\n"
BOOTCMD = (
    "test -e /etc/lab/done || rm -f /var/lib/cloud/instance/sem/config_write_files"
    " /var/lib/cloud/instance/sem/config_runcmd /var/lib/cloud/instance/sem/config_scripts_user"
)
RUNCMD: list[Any] = [
    ["sync"],
    ["systemctl", "daemon-reload"],
    ["systemctl", "enable", "boot.service"],
    ["systemctl", "start", "--no-block", "boot.service"],
]
CNI = {"/etc/cni/net.d/10-lab.conflist": "{}"}
CA = Ca()


def init_configuration(version: str = "v1.34.1") -> str:
    of = {"apiVersion": "kubeadm.k8s.io/v1beta4"}
    init = {**of, "kind": "InitConfiguration", "bootstrapTokens": [{"token": TOKEN}]}
    init["localAPIEndpoint"] = {"advertiseAddress": "10.0.2.2"}
    cluster = {
        **of,
        "kind": "ClusterConfiguration",
        "kubernetesVersion": version,
        "controlPlaneEndpoint": "cp.lab:6443",
    }
    return yaml.safe_dump_all([init, cluster])


def join_configuration() -> str:
    token = {"apiServerEndpoint": "cp.lab:6443", "token": TOKEN, "caCertHashes": [CA.hash]}
    join: Obj = {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "JoinConfiguration"}
    join |= {"discovery": {"bootstrapToken": token}, "timeouts": {"discovery": "100m"}}
    return yaml.safe_dump(join)


def userdata(name: str, files: dict[str, str], runcmd: Iterable[Any], bootcmd: Iterable[Any]) -> str:
    written = [{"path": path, "content": content} for path, content in files.items()]
    config: Obj = {"hostname": name, "write_files": written, "runcmd": list(runcmd)}
    if bootcmd:
        config["bootcmd"] = list(bootcmd)
    return "#cloud-config\n" + yaml.dump(config, Dumper=yaml.CSafeDumper)


def stepwise(steps: dict[str, str], more: dict[str, str] | None = None, *, version: str = "v1.34.1") -> dict[str, str]:
    """The files of a control plane with those steps, each beginning as all do."""
    return {
        "/usr/local/sbin/boot": DRIVER,
        "/usr/local/lib/lab/first-boot.sh": LIBRARY,
        "/etc/systemd/system/boot.service": UNIT,
        "/etc/lab/kubeadm.yaml": init_configuration(version),
        "/etc/lab/pki/ca.crt": CA.pem,
        "/etc/lab/pki/ca.key": pem(CA.key),
        **CNI,
        **(more or {}),
        **{f"{STEPS}/{name}": HEAD + text for name, text in steps.items()},
    }


@dataclass
class Guest:
    """One VM: its disk, and the machine that runs from it."""

    bench: Bench
    name: str
    userdata: str
    disk: Disk
    machine: Machine | None = None
    events: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """What this boot has printed."""
        assert self.machine is not None
        return [text for _, text in self.machine.console.lines]

    def boot(self) -> None:
        address = self.bench.addresses[self.name]
        names = {"namespace": "lab", "name": self.name, "uid": uuid4().hex, "address": address, "mac_address": ""}
        more = {"firmware_uuid": f"uuid-{self.name}", "networkdata": "", "network_cidr": "10.0.2.0/24"}
        hardware = Hardware(**names, **more, labels={"role": self.name}, userdata=self.userdata)
        outside = Outside(Console(""), lambda _, text: self.events.append(text), self.bench.changed.set)
        world = self.bench.neighbours, outside, self.bench.troubles, self.bench.clock
        self.machine = Machine(hardware, self.disk, self.bench.delays, *world)
        self.machine.power_on()

    async def cut(self) -> None:
        assert self.machine is not None
        await self.machine.power_off()

    async def stop(self) -> None:
        assert self.machine is not None
        await self.machine.shut_down()

    async def prints(self, text: str) -> str:
        """The first line of this boot's with that text."""
        line: str = await self.bench.until(lambda: next((line for line in self.lines if text in line), None))
        return line

    async def has_lost_power(self) -> None:
        machine = self.machine
        await self.bench.until(lambda: (machine is not None and machine.cut) or None)
        await self.cut()

    async def serves(self) -> Client:
        """Its API server, once it has one."""
        machine = self.machine
        await self.bench.until(lambda: machine.control_plane if machine is not None else None)
        return self.api

    @property
    def api(self) -> Client:
        assert self.machine is not None
        assert self.machine.control_plane is not None
        return self.machine.control_plane.client


class Bench:
    """Guests of one namespace."""

    def __init__(self, lease: float) -> None:
        self.troubles = Troubles()
        self.clock = Clock()
        self.delays = Delays(lease_floor=lease).scaled(1000)
        self.changed = asyncio.Event()
        # Others run such tests beside these, and there is one port 6443 an address.
        network = f"127.{64 + uuid4().int % 32}.{uuid4().int % 256}"
        place = 2 + uuid4().int % 250
        self.addresses = {"cp": f"{network}.{place}", "wk": f"{network}.{place + 1}"}
        service = {"metadata": {"name": "cp"}, "spec": {"selector": {"role": "cp"}}}
        self.neighbours = Neighbours(lambda namespace: [service] if namespace == "lab" else [])
        self.guests: list[Guest] = []

    def guest(
        self,
        files: dict[str, str],
        *,
        name: str = "cp",
        runcmd: Iterable[Any] = RUNCMD,
        bootcmd: Iterable[Any] = (["sh", "-c", BOOTCMD],),
        address: str = IMAGE,
    ) -> Guest:
        """A VM that boots from an image for the first time."""
        guest = Guest(self, name, userdata(name, files, runcmd, bootcmd), image(address))
        self.guests.append(guest)
        guest.boot()
        return guest

    async def until(self, look: Callable[[], Any]) -> Any:
        """What `look` finds in the end. Nobody tells of what a console or a machine is at: look again and again."""
        for _ in range(5000):
            if (found := look()) is not None:
                return found
            await asyncio.sleep(0.002)
        raise AssertionError([guest.lines for guest in self.guests])


@asynccontextmanager
async def bench(lease: float = 0.05) -> AsyncIterator[Bench]:
    """`lease`: seconds between two renewals of a node's, of which a control plane misses four."""
    made = Bench(lease)
    try:
        yield made
    finally:
        for guest in made.guests:
            await guest.cut()

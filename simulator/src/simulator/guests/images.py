"""Which Kubernetes an image carries, as far as its address says so. Pure.

| address | the image |
|---|---|
| a tag, or a file's name, with a version: `docker://host/image:v1.34.1`, `https://host/node-v1.34.1.qcow2` | carries that Kubernetes with its control plane's images, and no network plugin |
| any other file by http(s), and cloud images wherever they are: `...-cloudimg...`, `...genericcloud...` | is a system without Kubernetes |
| anything else: `docker://golden`, a digest | carries whatever is wanted, a network plugin too |
"""  # noqa: E501  # a table

from __future__ import annotations

import re

from simulator.guests.disk import KUBERNETES, Disk
from simulator.guests.plugins import CONFIGURATION
from simulator.guests.programs import KUBERNETES as PROGRAMS
from simulator.guests.programs import PROGRAM_FOLDER

VERSION = re.compile(r"v\d+\.\d+\.\d+")
STOCK = re.compile(r"cloudimg|genericcloud|cloud-?image", re.IGNORECASE)
STORE = "/var/lib/containerd/"
"""Where the images of containers are, a file each."""
WHOLE = "unpacked\n"
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
SYSTEM = {"/etc/os-release": "ID=ubuntu\n", "/etc/hosts": "127.0.0.1 localhost\n"}


def image(address: str = "") -> Disk:
    """A fresh disk of an image, nothing set up."""
    name = address.rpartition("/")[2].partition("@")[0]
    version = VERSION.search(name)
    if version is not None:
        brought = {STORE + one: WHOLE for one in of_control_plane(version[0])}
        disk = Disk(bootable=True, files={**SYSTEM, **brought}, machine={KUBERNETES: version[0]})
    elif STOCK.search(address) or address.startswith(("http://", "https://")):
        return Disk(bootable=True, files=SYSTEM, machine={KUBERNETES: "none"})
    else:
        disk = Disk(bootable=True, files={**SYSTEM, f"{CONFIGURATION}/10-image.conflist": "{}\n"})
    add_programs(disk)
    return disk


def of_control_plane(version: str, repository: str = "registry.k8s.io") -> list[str]:
    """The images of containers that a control plane of that version consists of."""
    return [f"{repository}/{name}:{version}" for name in CONTROL_PLANE]


def add_programs(disk: Disk, version: str = "") -> None:
    """Install Kubernetes."""
    disk.files |= {PROGRAM_FOLDER + name: "" for name in PROGRAMS}
    if version:
        disk.machine[KUBERNETES] = version

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
SYSTEM = {"/etc/os-release": "ID=ubuntu\n", "/etc/hosts": "127.0.0.1 localhost\n"}


def image(address: str = "") -> Disk:
    """A fresh disk of an image, nothing set up."""
    name = address.rpartition("/")[2].partition("@")[0]
    version = VERSION.search(name)
    if version is not None:
        disk = Disk(bootable=True, files=SYSTEM, machine={KUBERNETES: version[0], "images": version[0]})
    elif STOCK.search(address) or address.startswith(("http://", "https://")):
        return Disk(bootable=True, files=SYSTEM, machine={KUBERNETES: "none", "images": "none"})
    else:
        disk = Disk(bootable=True, files={**SYSTEM, f"{CONFIGURATION}/10-image.conflist": "{}\n"})
    add_programs(disk)
    return disk


def add_programs(disk: Disk, version: str = "") -> None:
    """Install Kubernetes."""
    disk.files |= {PROGRAM_FOLDER + name: "" for name in PROGRAMS}
    if version:
        disk.machine[KUBERNETES] = version

"""A played node: the rendered files on a disk of its own, run by a real bash, with commands that are played.

Absolute paths in the scripts lead to the node's disk. A power cut ends everything at once, and what was not synced by
then is lost, as real disks showed it: files that are there and empty.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pool.guest.file import File

COMMANDS = Path(__file__).with_name("commands.sh")
DRIVER = "/usr/local/sbin/cks-first-boot"
MARK = "/etc/cks/first-boot.done"
IMAGES = "/var/lib/containerd"
BROUGHT = "registry.k8s.io/etcd:3.6.5-0"
"""An image that is on the disk from the beginning."""
OURS = re.compile(r"(?<![\w/.}])/(?=(?:etc|run|usr/local|var/lib|dev/console|proc/net)\b)")


@dataclass
class Node:
    """A node with these files, in that folder. `reruns`: cloud-init writes them at each boot until all is done."""

    folder: Path
    files: Sequence[File]
    reruns: bool = True
    codes: list[int] = field(default_factory=list)
    """How each run of the driver ended."""

    def __post_init__(self) -> None:
        for path in (
            "root/dev",
            "root/run",
            "root/proc/net/netfilter",
            "root/etc/apt/apt.conf.d",
            "root/etc/apt/sources.list.d",
            "durable",
            "fails",
            "bin",
        ):
            (self.folder / path).mkdir(parents=True, exist_ok=True)
        for name in ("kubeadm", "kubectl", "crictl", "apt-get", "timedatectl"):
            (self.folder / "bin" / name).write_text(f'#!/bin/bash\nplayed_{name} "$@"\n')
            (self.folder / "bin" / name).chmod(0o755)
        (self.folder / "version").write_text("v1.34.1\n")
        (self.folder / "fingerprint").write_text("DE15B14486CD377B9E876E1A234654DA9A296436")
        (self.folder / "ca.crt").write_text(CA)
        self.containerd("1.7")
        self.write("/etc/fstab", "UUID=1 / ext4 defaults 0 1\n/swap.img none swap sw 0 0\n")
        self.write("/etc/hosts", "127.0.0.1 localhost\n")
        for name, text in (("listed", f"{BROUGHT}\n"), ("layers", f"{BROUGHT}\n"), (BROUGHT, "whole\n")):
            self.write(f"{IMAGES}/{name}", text)
        shutil.copytree(self.path(IMAGES), self.folder / "durable" / IMAGES.lstrip("/"), dirs_exist_ok=True)
        self.cloud_init()

    def cloud_init(self) -> None:
        """Write the files, as cloud-init does before anything of theirs is run."""
        for file in self.files:
            self.write(file.path, self.at_home(file.content))
            self.path(file.path).chmod(int(file.mode, 8))

    def at_home(self, text: str) -> str:
        """A script whose paths lead to this node's disk."""
        text = text.replace("/usr/lib/systemd/systemd-networkd-", "").replace("/usr/lib/apt/", "")
        return OURS.sub(f"{self.folder}/root/", text)

    def path(self, path: str) -> Path:
        return self.folder / "root" / path.lstrip("/")

    def write(self, path: str, text: str) -> None:
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)

    def read(self, name: str) -> str:
        """A file of the node (an absolute path), or what is beside its disk (a name); empty if it is not there."""
        found = self.path(name) if name.startswith("/") else self.folder / name
        return found.read_text() if found.exists() else ""

    @property
    def done(self) -> bool:
        return self.path(MARK).exists()

    @property
    def console(self) -> list[str]:
        return [line for line in self.read("/dev/console").splitlines() if line]

    @property
    def calls(self) -> list[str]:
        return self.read("calls").splitlines()

    @property
    def slept(self) -> list[str]:
        """The seconds of each sleep."""
        return self.read("slept").split()

    def containerd(self, version: str) -> None:
        """Which version of containerd the distribution has."""
        shutil.copy(Path(__file__).parent / "containerd" / f"{version}.toml", self.folder / "containerd.toml")

    def fails(self, command: str, times: int, words: str) -> None:
        """Let a command fail so many times, saying that."""
        (self.folder / "fails" / command).write_text(f"{times}\n{words}\n")

    def run(self, cut: int = 0) -> int:
        """One run of the driver, cut at that point of it. Its exit code; negative if it was cut."""
        self.codes.append(self.call(DRIVER, cut))
        return self.codes[-1]

    def call(self, script: str, cut: int = 0, *arguments: str) -> int:
        """One run of a script of the node."""
        (self.folder / "points").unlink(missing_ok=True)
        if script == DRIVER:
            self.write("/dev/console", "")
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        environment = {"PATH": path, "NODE": str(self.folder), "BASH_ENV": str(COMMANDS), "CUT": str(cut)}
        with (self.folder / "journal").open("ab") as journal:
            ended = subprocess.run(
                ["bash", str(self.path(script)), *arguments],
                env=environment,
                stdout=journal,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return ended.returncode

    def power_cut(self, *, gone: bool = False) -> None:
        """What was not synced is lost: files are empty, or not there (`gone`), or back. The next boot follows."""
        durable = self.folder / "durable"
        shutil.copytree(durable, self.folder / "root", dirs_exist_ok=True)
        for path in [path for path in (self.folder / "root").rglob("*") if path.is_file()]:
            if (durable / path.relative_to(self.folder / "root")).is_file():
                continue
            if gone:
                path.unlink()
            else:
                path.write_text("")
        self.boot()

    def boot(self) -> None:
        """What happens before the driver at a boot."""
        for path in ("/run", "/proc"):
            shutil.rmtree(self.path(path))
        self.path("/run").mkdir()
        self.path("/proc/net/netfilter").mkdir(parents=True)
        if self.reruns and not self.done:
            self.cloud_init()

    def settle(self, tries: int = 3) -> None:
        """Run until it is done, as systemd does, or so many times; then say so, as a unit of every boot does."""
        for _ in range(tries):
            if self.run() == 0:
                self.call("/usr/local/sbin/cks-boots", 0, "say")
                return


CA = "the pool's CA\n"

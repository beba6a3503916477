"""The programs that set a node up: kubeadm, kubectl, packages, downloads."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from urllib.parse import urlsplit

from simulator.guests import addons, containerd, making, preflight
from simulator.guests.disk import KUBERNETES
from simulator.guests.images import add_programs
from simulator.guests.interpreter import Action
from simulator.guests.kubeadm import Refused
from simulator.guests.node import Node, Owner
from simulator.guests.programs import UNKNOWN, Result, has_program

PACKAGE = re.compile(r"^kubeadm(?:=v?(\d+\.\d+\.\d+)\S*)?$")
SOURCES = "/etc/apt/sources.list.d/"
URL = re.compile(r"https?://[^\s\"']+")
DISTRIBUTION = "http://archive.ubuntu.com/ubuntu"
"""Where the system's own packages come from."""


class Setup:
    """The programs of one boot; `retried`: whether the script that runs them is tried again when it fails; `aloud`:
    whether what kubeadm fails of is on the console, whatever the script makes of it. `failed`: of that the last."""

    def __init__(self, machine: Owner, node: Node, *, retried: bool, aloud: bool) -> None:
        self.failed = ""
        self._aloud = aloud
        self._machine = machine
        self._node = node
        self._retried = retried
        self.actions: dict[str, Action] = {
            "kubeadm": self._kubeadm,
            "kubectl": self._kubectl,
            "apt-get": self._apt_get,
            "crictl": partial(containerd.crictl, machine),
            "ctr": partial(containerd.ctr, machine),
            "sync": self._sync,
            "curl": self._download,
            "wget": self._download,
            "apt-helper": self._download,
        }

    async def _sync(self, words: list[str]) -> Result:
        self._machine.disk.sync(*(one for one in words[1:] if not one.startswith("-")))
        return Result(True)

    async def _kubeadm(self, words: list[str]) -> Result:
        if not has_program(self._machine.disk.files, "kubeadm"):
            return Result(False, "kubeadm: command not found", 127)
        verb, more = (words[1:2] or [""])[0], " ".join(words[2:])
        try:
            if verb == "version":
                return Result(True, f"{self._machine.disk.machine.get(KUBERNETES, UNKNOWN)}\n")
            if verb == "reset":
                await self._node.reset()
            elif verb == "init" and more.startswith("phase "):
                if "bootstrap-token" in words:
                    await making.allow_joining(self._machine, self._configuration(words))
            elif verb == "init":
                skipped = re.search(r"--skip-phases[= ]\S*bootstrap-token", more)
                await making.init(self._machine, self._node, self._configuration(words), tokens=skipped is None)
            elif verb == "join":
                await making.join(self._machine, self._node, self._configuration(words), retried=self._retried)
            else:
                return Result(None)
        except Refused as error:
            if self._aloud:
                self.failed = f"kubeadm {verb}: {error}"
                self._machine.say(self.failed, wrong=True)
            return Result(False, str(error))
        return Result(True)

    def _configuration(self, words: list[str]) -> str:
        """Raises Refused when there is none."""
        path = _option(words, "--config")
        text = self._machine.disk.files.get(path)
        if text is None:
            raise Refused(f"unable to read config from {path!r}: open {path}: no such file or directory")
        return text

    async def _kubectl(self, words: list[str]) -> Result:
        if "apply" not in words:
            return Result(True if "annotate" in words else None)
        serving = self._machine.control_plane
        if serving is None:
            return Result(False, "The connection to the server was refused - did you specify the right host or port?")
        path = _option(words, "--filename") or _option(words, "-f")
        server_side = any(one in ("--server-side", "--server-side=true") for one in words)
        try:
            await addons.apply(serving.server, self._machine.disk.files, path, server_side=server_side)
        except addons.NotApplied as error:
            return Result(False, str(error))
        return Result(True)

    async def _apt_get(self, words: list[str]) -> Result:
        machine = self._machine
        urls = [DISTRIBUTION]
        for path, text in machine.disk.files.items():
            urls += URL.findall(text) if path.startswith(SOURCES) else []
        for url in urls:
            host = urlsplit(url).hostname or ""
            if preflight.unreachable(host, machine.troubles, machine.as_victim):
                return Result(False, f"E: Failed to fetch {url.rstrip('/')}/InRelease  Could not resolve '{host}'", 100)
        found = next((match for word in words if (match := PACKAGE.match(word))), None)
        if "install" in words and found is not None:
            return await self._install(found[1] or "", urls[1:])
        return Result(True)

    async def _install(self, version: str, repositories: list[str]) -> Result:
        """Kubernetes from its repository, of which each has one minor version."""
        minors = [minor for url in repositories for minor in re.findall(r"/v(\d+\.\d+)/", url)]
        if not repositories or (version and minors and version.rpartition(".")[0] not in minors):
            text = f"E: Version '{version}-*' for 'kubeadm' was not found" if repositories and version else ""
            return Result(False, text or "E: Unable to locate package kubeadm", 100)
        await asyncio.sleep(self._machine.delays.packages)
        add_programs(self._machine.disk, f"v{version or minors[0] + '.0'}")
        return Result(True)

    async def _download(self, words: list[str]) -> Result:
        for word in words[1:]:
            host = urlsplit(word).hostname or "" if URL.match(word) else ""
            if host and preflight.unreachable(host, self._machine.troubles, self._machine.as_victim):
                if words[0].endswith("apt-helper"):
                    return Result(False, f"E: Failed to fetch {word}  Could not resolve '{host}'", 100)
                return Result(False, f"curl: (6) Could not resolve host: {host}", 6)
        return Result(True)


def _option(words: list[str], name: str) -> str:
    """The value of an option, `--name value` or `--name=value`; empty without it."""
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if word == name:
            return value
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""

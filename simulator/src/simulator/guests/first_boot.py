"""What first-boot shell scripts do, as far as the outcome depends on it: kubeadm, run-once marks, /etc/hosts. Pure.

No shell is run: of a script only these lines are understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

KUBEADM = re.compile(r"\bkubeadm\s+(init|join)\b([^\n;&|]*)")
CONFIG = re.compile(r"--config[=\s]+(\S+)")
ASSIGNMENT = re.compile(r"^\s*(?:readonly\s+|export\s+|local\s+)?([A-Za-z_][A-Za-z0-9_]*)=(\S+)\s*$", re.MULTILINE)
TESTED = re.compile(r"(?:\[\[?\s+|\btest\s+)(?:!\s*)?-[efds]\s+(\S+)")
TOUCHED = re.compile(r"^\s*touch\s+(\S+)", re.MULTILINE)
HOSTS = re.compile(r"\becho\s+(['\"])([^'\"]+)\1\s*>>\s*['\"]?/etc/hosts")
ENABLE = re.compile(r"\bsystemctl\s+(?:\S+\s+)*?enable\s+(?:--\S+\s+)*(\S+)")
UNITS = "/etc/systemd/system/"


@dataclass(frozen=True)
class Script:
    """A script that runs kubeadm: `verb` init or join with the configuration at `config`.

    `guards` are files whose presence it looks at first, `marks` files it makes when it is through; `resets`: it wipes
    a node that is set up already.
    """

    verb: str
    config: str
    guards: frozenset[str]
    marks: tuple[str, ...]
    hosts: tuple[str, ...]
    resets: bool

    def passed(self, files: Mapping[str, str]) -> bool:
        """It has been through on this disk, and sees that."""
        return any(mark in files for mark in self.guards)


def read(text: str) -> Script | None:
    """The script's kubeadm run, if it has one."""
    text = plain(text)
    found = KUBEADM.search(text)
    if found is None:
        return None
    config = CONFIG.search(found[2])
    # What is looked at only to decide about a reset guards nothing.
    tested = frozenset(_bare(path) for path in TESTED.findall(text))
    marks = tuple(_bare(path) for path in TOUCHED.findall(text))
    resets = re.search(r"\bkubeadm\s+reset\b", text) is not None
    guards = tested & frozenset(marks) if resets else tested
    entries = tuple(entry for _, entry in HOSTS.findall(text))
    return Script(found[1], _bare(config[1]) if config else "", guards, marks, entries, resets)


def find(commands: Iterable[str], files: Mapping[str, str]) -> Script | None:
    """The first kubeadm run that commands lead to, themselves or in the scripts on the disk that they call."""
    for command in commands:
        for text in (command, *(files[word] for word in command.split() if word in files)):
            script = read(text)
            if script is not None:
                return script
    return None


def enabled_units(commands: Iterable[str]) -> list[str]:
    """systemd units that the commands enable: they run at every boot."""
    units = [unit for command in commands for unit in ENABLE.findall(command)]
    return [unit if "." in unit else f"{unit}.service" for unit in units]


def unit_commands(units: Iterable[str], files: Mapping[str, str]) -> list[str]:
    """What the enabled units on a disk start, unless their condition does not hold."""
    commands = []
    for unit in units:
        text = files.get(UNITS + unit, "")
        barred = re.findall(r"^ConditionPathExists=!(\S+)", text, re.MULTILINE)
        if not any(path in files for path in barred):
            commands += re.findall(r"^ExecStart=[-@:+!]*(.+)$", text, re.MULTILINE)
    return commands


def plain(text: str) -> str:
    """A script without comments and broken lines, and with the variables that it sets to plain values."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines)
    for name, value in ASSIGNMENT.findall(text):
        if "$" not in value:
            text = re.sub(rf"\$\{{{name}\}}|\${name}\b", _bare(value), text)
    return text


def _bare(word: str) -> str:
    return word.strip("'\"")

"""Which scripts a boot runs: those that cloud-init's commands and systemd's units lead to. Pure.

A script that runs kubeadm sets the machine up. So does one that loops over a directory of scripts, its steps:
`for step in /a/directory/*; do`. What scripts do is `interpreter`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

KUBEADM = re.compile(r"\bkubeadm\s+(init|join)\b")
LOOP = re.compile(r"^\s*for\s+(\w+)\s+in\s+(/[^\s*]+)/\*\s*;\s*do\b(.*?)^done\b", re.MULTILINE | re.DOTALL)
ASSIGNMENT = re.compile(r"^\s*(?:readonly\s+|export\s+|local\s+)?([A-Za-z_][A-Za-z0-9_]*)=(\S+)\s*$", re.MULTILINE)
TESTED = re.compile(r"(?:\[\[?\s+|\btest\s+)(?:!\s*)?-[efds]\s+(\S+)")
TOUCHED = re.compile(r"^\s*touch\s+(\S+)", re.MULTILINE)
SAID = re.compile(r"\bkubectl\b.*\bannotate\b.*\bnode\s+\S+\s+([^\s=]+)=\"\$\(cat \"?([^)\s\"]+)\"?\)\"")
"""What a node says of itself: an annotation, and the file that it is read from."""
ENABLE = re.compile(r"\bsystemctl\s+(?:\S+\s+)*?enable\s+(?:--\S+\s+)*(\S+)")
START = re.compile(r"\bsystemctl\s+(?:--\S+\s+)*(?:start\s+(?:--\S+\s+)*|enable\s+(?:--\S+\s+)*--now\s+)(\S+)")
UNITS = "/etc/systemd/system/"
RESTART_SEC = 0.1
"""systemd's default between a failure and the next try, in seconds."""


@dataclass(frozen=True)
class Script:
    """A script that sets a machine up, and how systemd treats it: `restart`, seconds until it is tried again when it
    fails, None for never; `final`, exit statuses that end it all the same. `steps`: the directory that it loops over,
    empty for a script that does everything itself; `synced`: it syncs after each; `marks`: the files that it makes when
    all are through; `state`: the file that says how far it is, and the annotation (`says`) that this is read into."""

    name: str
    text: str
    restart: float | None = None
    final: frozenset[int] = frozenset()
    steps: str = ""
    synced: bool = False
    marks: tuple[str, ...] = ()
    state: str = ""
    says: str = ""

    def passed(self, files: Mapping[str, str]) -> bool:
        """It has been through on this disk, and sees that."""
        tested = {_bare(path) for path in TESTED.findall(plain(self.text))}
        return any(mark in files and mark in tested for mark in self.marks)


def find(commands: Iterable[str], units: Iterable[str], files: Mapping[str, str]) -> Script | None:
    """The first script that sets the machine up, of those that commands and units lead to."""
    for name, text, restart, final in (*_of_commands(commands, files), *_of_units(units, files)):
        if script := _read(name, text, restart, final, files):
            return script
    return None


Found = tuple[str, str, float | None, frozenset[int]]


def _of_commands(commands: Iterable[str], files: Mapping[str, str]) -> Iterator[Found]:
    for command in commands:
        for unit in START.findall(command):
            yield from _of_units([_unit(unit)], files)
        yield "", command, None, frozenset()
        for word in command.split():
            if word in files:
                yield word.rpartition("/")[2], files[word], None, frozenset()


def _of_units(units: Iterable[str], files: Mapping[str, str]) -> Iterator[Found]:
    for unit in units:
        text = files.get(UNITS + unit, "")
        again = re.search(r"^Restart=(?:on-failure|always)\s*$", text, re.MULTILINE) is not None
        pause = re.search(r"^RestartSec=([\d.]+)s?\s*$", text, re.MULTILINE)
        final = re.search(r"^RestartPreventExitStatus=([\d ]+)$", text, re.MULTILINE)
        statuses = frozenset(int(one) for one in final[1].split()) if final else frozenset()
        for command in unit_commands([unit], files):
            for word in command.split():
                if word in files:
                    restart = (float(pause[1]) if pause else RESTART_SEC) if again else None
                    yield unit.removesuffix(".service"), files[word], restart, statuses


def _read(
    name: str, text: str, restart: float | None, final: frozenset[int], files: Mapping[str, str]
) -> Script | None:
    for _, folder, body in LOOP.findall(text):
        steps = files_in(folder, files)
        if steps and all(files[one].startswith("#!") for one in steps):
            known = plain(text)
            marks = tuple(_bare(path) for path in TOUCHED.findall(known))
            said = SAID.findall(known)
            key, state = said[0] if said else ("", "")
            return Script(name, text, restart, final, folder, _syncs(body), marks, state, key)
    return Script(name, text, restart, final) if KUBEADM.search(plain(text)) else None


def _syncs(body: str) -> bool:
    return re.search(r"(?:^|[;)&])\s*sync\b", body, re.MULTILINE) is not None


def files_in(folder: str, files: Mapping[str, str]) -> list[str]:
    """The paths of the files in a directory, in order."""
    return sorted(path for path in files if path.rpartition("/")[0] == folder and not path.endswith("/."))


def enabled_units(commands: Iterable[str]) -> list[str]:
    """systemd units that the commands enable: they run at every boot."""
    return [_unit(unit) for command in commands for unit in ENABLE.findall(command)]


def masked_units(units: Iterable[str], files: Mapping[str, str]) -> list[str]:
    """Units whose files are empty: systemd takes them for masked."""
    return [unit for unit in units if files.get(UNITS + unit) == ""]


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


def _unit(name: str) -> str:
    return name if "." in name else f"{name}.service"


def _bare(word: str) -> str:
    return word.strip("'\"")

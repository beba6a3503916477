"""A disk that counts its boots: what units of cloud-init's do that keep such a count, and say it on the Node. Pure.

No shell is run. Of the scripts that enabled units start these lines are understood: where the count is kept
(`echo "$((count + 1)) $boot" >/a/file`), and by which annotation it is said
(`kubectl annotate node NAME some/key="$(cat /a/file)"`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping

from simulator.guests.first_boot import SAID, plain, unit_commands

COUNTED = re.compile(r"\becho\s+\"\$\(\(.*\+ 1\)\) \$\w+\"\s*>\s*\"?([^\s\"]+)")


def count(units: Iterable[str], files: MutableMapping[str, str], boot_id: str) -> None:
    """Count this boot in the files in which enabled units count; once for each boot ID."""
    for text in _scripts(units, files):
        for found in COUNTED.finditer(text):
            path = found[1].removesuffix(".new")
            known, _, counted = files.get(path, "0 ").strip().partition(" ")
            if counted != boot_id:
                files[path] = f"{int(known or 0) + 1} {boot_id}\n"


def said(units: Iterable[str], files: Mapping[str, str]) -> dict[str, str]:
    """What enabled units say on their Node: annotations."""
    found = {key: path for text in _scripts(units, files) for key, path in SAID.findall(text)}
    return {key: files[path].strip() for key, path in found.items() if path in files}


def _scripts(units: Iterable[str], files: Mapping[str, str]) -> list[str]:
    names = {word for command in unit_commands(units, files) for word in command.split() if word in files}
    return [plain(files[name]) for name in sorted(names)]

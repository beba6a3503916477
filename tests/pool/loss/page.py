"""The commands of docs/backup.md, as they are written there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "backup.md"


def commands(title: str) -> list[list[str]]:
    """What kubectl is told under a heading, without the namespace, which is its caller's, and without restarts of
    programs that a test does not have."""
    text = PAGE.read_text()
    section = text.split(f"# {title}\n", 1)[1].split("\n#", 1)[0]
    lines = re.findall(r"^\$ kubectl (.*)", section, re.MULTILINE)
    found = [shlex.split(line.removeprefix("-n cks-pool ")) for line in lines if " rollout " not in f" {line}"]
    assert found, f"no command under {title}"
    return found

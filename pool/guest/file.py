"""A file that cloud-init writes."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """Path, text, mode (octal), owner and group, and whether it is carried compressed."""

    path: str
    content: str
    mode: str = "0644"
    owner: str = "root:root"
    compressed: bool = False

    @property
    def packed(self) -> str:
        """The text as cloud-init's encoding `gz+b64`, the same for the same text; empty if it is carried as it is."""
        if not self.compressed:
            return ""
        return base64.b64encode(gzip.compress(self.content.encode(), mtime=0)).decode()

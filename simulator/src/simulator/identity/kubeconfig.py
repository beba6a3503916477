"""The kubeconfig that lets clients in."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

CONTEXT = "simulator"


def write(path: Path, *, server: str, ca: bytes, token: str) -> None:
    """Write it whole or not at all, readable by its owner only. Raises OSError."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [
            {
                "name": CONTEXT,
                "cluster": {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()},
            }
        ],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": "admin", "namespace": "default"}}],
    }
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(yaml.safe_dump(content, sort_keys=False))
    draft.replace(path)

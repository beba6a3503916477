"""cloud-init's NoCloud seed as KubeVirt makes it: an ISO 9660 image with Joliet and Rock Ridge, made without root."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pycdlib

LABEL = "cidata"
"""The volume by which cloud-init knows a seed (cloud-init, "NoCloud")."""


def write_seed(path: Path, *, instance_id: str, hostname: str, user_data: str, network_data: str) -> None:
    """Make the seed at `path`. KubeVirt takes the firmware's UUID for `instance_id` (pkg/cloud-init/cloud-init.go)."""
    files = {
        "meta-data": json.dumps({"instance-id": instance_id, "local-hostname": hostname}),
        "user-data": user_data,
        "network-config": network_data,
    }
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, vol_ident=LABEL, joliet=3, rock_ridge="1.09")
    for name, text in files.items():
        content = text.encode()
        plain = name.replace("-", "").upper()
        image.add_fp(io.BytesIO(content), len(content), f"/{plain}.;1", rr_name=name, joliet_path=f"/{name}")
    image.write(str(path))
    image.close()

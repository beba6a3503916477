"""What is in a seed."""

from __future__ import annotations

import io
from pathlib import Path

import pycdlib


def user_data_of(seed: Path) -> str:
    """The user data, as cloud-init reads them."""
    image, content = pycdlib.PyCdlib(), io.BytesIO()
    image.open(str(seed))
    image.get_file_from_iso_fp(content, rr_path="/user-data")
    image.close()
    return content.getvalue().decode()

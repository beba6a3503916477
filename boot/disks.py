"""Disk images: what a node boots from, its golden copy, what is restored from it. `qemu-img` does the work."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path


class DiskFailed(RuntimeError):
    """qemu-img refused; the message is its own."""


async def format_of(image: Path) -> str:
    """`qcow2` or `raw`. Raises DiskFailed if it is no image."""
    return str(json.loads(await _qemu_img("info", "--output", "json", str(image)))["format"])


async def overlay(base: Path, disk: Path, size: str | None = None) -> None:
    """A disk that begins as `base` (which is never written to), of `size` (20Gi) or its base's size."""
    form = await format_of(base)
    wanted = [str(disk)] if size is None else [str(disk), size.removesuffix("i")]
    await _qemu_img("create", "-q", "-f", "qcow2", "-F", form, "-b", str(base.resolve()), *wanted)


async def copy(disk: Path, golden: Path) -> None:
    """The disk of a machine that is off, as it is now."""
    await asyncio.to_thread(shutil.copyfile, disk, golden)
    golden.chmod(0o400)


async def _qemu_img(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "qemu-img", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise DiskFailed(errors.decode(errors="replace").strip())
    return output.decode()

"""`python -m boot`: boot a rendered pair under QEMU and tell what was seen."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import signal
from pathlib import Path

from pydantic import ValidationError

from boot.command import Hardware
from boot.cuts import cuts_of
from boot.disks import format_of
from boot.pair import made_pair, pool_of
from boot.story import Story
from demo.leftovers import FolderInUse, end_leftovers, locked
from demo.screen import Screen, StepFailed
from pool.core.errors import InvalidInput
from pool.core.pools import Network
from pool.guest.addons import NO_ADDONS, Addons

CUTS = "60-cluster"
"""Where half a node is left behind."""


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 the story held; 1 a step did not, which is named; 2 a bad argument, or a folder in use."""
    parser = argparse.ArgumentParser("python -m boot", description="Boot a pair of nodes under QEMU.")
    parser.add_argument("--image", type=Path, help="a node's disk image (boot/README.md says where to get one)")
    parser.add_argument("--kubernetes", default="", help="the version that it carries (default: a Pool's default)")
    parser.add_argument("--network", default="", help="builtin (default), or none, if the add-ons bring one")
    parser.add_argument("--addons", type=Path, help="a folder of what a Pool's add-ons are: manifests, prepare.sh")
    parser.add_argument(
        "--cut", default=CUTS, help=f"steps of first boot, as 20-link,{CUTS}+15, power-on+8; '' for none"
    )
    parser.add_argument("--cores", type=int, default=2, help="of each machine (default 2)")
    parser.add_argument("--memory", type=int, default=4096, help="MiB of each machine (default 4096)")
    parser.add_argument("--processor", default="max", help="as QEMU calls it (default max: the host's own with KVM)")
    parser.add_argument("--emulated", action="store_true", help="do without KVM, though there is /dev/kvm")
    parser.add_argument("--folder", type=Path, default=Path(".run/boot"), help="disks and consoles (default .run/boot)")
    arguments = parser.parse_args(argv)
    screen = Screen()
    # A guest that boots refuses this and that; what is waited for is said by the steps.
    logging.getLogger("stamina").setLevel(logging.ERROR)
    try:
        asyncio.run(_boot(screen, arguments))
    except (InvalidInput, ValidationError, FolderInUse) as error:
        screen.line(str(error))
        return 2
    except StepFailed as error:
        screen.line(f"The boot stopped: {error}")
        return 1
    except asyncio.CancelledError:
        screen.line("Stopped.")
        return 130
    return 0


async def _boot(screen: Screen, arguments: argparse.Namespace) -> None:
    _cancel_on_signals()
    cuts, pool = cuts_of(arguments.cut), pool_of(arguments.kubernetes, arguments.network)
    _need_qemu()
    image = await _usable(arguments.image)
    folder = arguments.folder.resolve()
    with locked(folder):
        await end_leftovers(folder)
        _remove_former(folder)
        hardware = _hardware(screen, arguments)
        async with made_pair(pool, _addons(arguments.addons), hardware, folder) as (nodes, identity):
            story = Story(screen, folder, nodes, identity, image)
            try:
                await story.tell(cuts, pool.spec.machines.disk, pods=pool.spec.network is Network.BUILTIN)
            except StepFailed:
                screen.line(story.consoles())
                raise
    screen.line(f"\nAll of it held, in {screen.elapsed():.0f} s. Disks and consoles stay in {folder}.")


async def _usable(image: Path | None) -> Path:
    """The image, which is there and is one. Raises InvalidInput."""
    if image is None or not image.is_file():
        raise InvalidInput(
            "no disk image of a node",
            expected="a qcow2 or raw file, which boot/README.md says where to get",
            actual=image or "",
            cure="make boot IMAGE=path/to/node.qcow2",
        )
    await format_of(image)
    return image.resolve()


def _addons(folder: Path | None) -> Addons:
    """The files of a folder, as the ConfigMap of a Pool would have them. Raises InvalidInput."""
    if folder is None:
        return NO_ADDONS
    if not folder.is_dir():
        raise InvalidInput(f"no folder of add-ons at {folder}")
    return {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}


def _hardware(screen: Screen, arguments: argparse.Namespace) -> Hardware:
    emulated = arguments.emulated or not os.access("/dev/kvm", os.R_OK | os.W_OK)
    if emulated:
        screen.line("Without KVM: the processors are emulated. Count on minutes where real ones need seconds.")
    return Hardware(arguments.cores, arguments.memory, arguments.processor, emulated)


def _need_qemu() -> None:
    missing = [tool for tool in ("qemu-system-x86_64", "qemu-img") if shutil.which(tool) is None]
    if missing:
        raise InvalidInput(
            f"no {' and no '.join(missing)} on this machine",
            cure="install QEMU (Debian, Ubuntu: apt install qemu-system-x86 qemu-utils; "
            "Fedora: dnf install qemu-system-x86 qemu-img)",
        )


def _remove_former(folder: Path) -> None:
    """Remove the disks and consoles of an earlier boot."""
    for pattern in ("*.qcow2", "*.console"):
        for former in folder.glob(pattern):
            former.unlink()


def _cancel_on_signals() -> None:
    """Have Ctrl-C and SIGTERM cancel the current task, so that the machines are ended."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)


if __name__ == "__main__":
    raise SystemExit(main())

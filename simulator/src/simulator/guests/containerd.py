"""The images of a machine, as its containerd has them.

Each is a file on the disk: it is listed as soon as it was pulled, and of one that was not synced a power cut leaves the
name. The kubelet pulls nothing.
"""

from __future__ import annotations

from simulator.guests import images, preflight
from simulator.guests.disk import KUBERNETES
from simulator.guests.images import STORE, WHOLE
from simulator.guests.kubeadm import Init, Refused
from simulator.guests.node import Owner
from simulator.guests.programs import Result


def pull_control_plane(machine: Owner, init: Init) -> None:
    """kubeadm's preflight. Raises Refused when an image is not on the disk and cannot be pulled either."""
    if KUBERNETES not in machine.disk.machine:
        # It was made of an image that brings whatever is wanted.
        return
    for image in images.of_control_plane(init.version, init.repository):
        why = "" if STORE + image in machine.disk.files else _pull(machine, image)
        if why:
            raise Refused(f"[ERROR ImagePull]: failed to pull image {image}: {why}")


async def crictl(machine: Owner, words: list[str]) -> Result:
    """`crictl pull IMAGE`; of containers nothing is known."""
    why = _pull(machine, words[-1]) if "pull" in words else ""
    return Result(not why, why and f"pulling image: rpc error: code = Unknown desc = {why}")


async def ctr(machine: Owner, words: list[str]) -> Result:
    """`ctr --namespace k8s.io images list [name==IMAGE]`, `images remove IMAGE`; of leases there is none."""
    files = machine.disk.files
    match [word for word in words[1:] if not word.startswith("-")]:
        case [_, "images", "list", *filters]:
            listed = sorted(path.removeprefix(STORE) for path in files if path.startswith(STORE))
            return Result(True, "".join(f"{one}\n" for one in listed if not filters or f"name=={one}" in filters))
        case [_, "images", "remove", image]:
            files.pop(STORE + image, None)
    return Result(True)


def _pull(machine: Owner, image: str) -> str:
    """Why it failed, in containerd's words. What is listed is not unpacked again, be it half."""
    host, _, path = image.partition("/")
    if not preflight.unreachable(host, machine.troubles, machine.as_victim):
        machine.disk.files.setdefault(STORE + image, WHOLE)
        return ""
    url = f"https://{host}/v2/{path.replace(':', '/manifests/')}"
    return (
        f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": failed to do request: '
        f'Head "{url}": dial tcp: lookup {host}: no such host'
    )

"""hostPath volumes on a node's disk. Pure but for the disk's files."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from simulator.client import Obj

DIRECTORY_MARK = "/."
"""A directory is a file of this name below it: an empty one is there too."""


def mount(files: MutableMapping[str, str], pod: Obj) -> str | None:
    """Play the pod's hostPath volumes on the disk: create what may be created. The fault of the first volume that
    cannot be mounted, as kubelet words it, or None."""
    for volume in pod["spec"].get("volumes") or []:
        if "hostPath" in volume:
            fault = _mount(files, volume["hostPath"]["path"].rstrip("/") or "/", volume["hostPath"].get("type") or "")
            if fault:
                return f'MountVolume.SetUp failed for volume "{volume["name"]}" : {fault}'
    return None


def _mount(files: MutableMapping[str, str], path: str, type_: str) -> str | None:
    if type_ == "FileOrCreate" and not is_directory(files, path):
        files.setdefault(path, "")
    elif type_ == "DirectoryOrCreate" and path not in files:
        files.setdefault(path + DIRECTORY_MARK, "")
    if type_ in ("File", "FileOrCreate") and path not in files:
        return f"hostPath type check failed: {path} is not a file"
    if type_ in ("Directory", "DirectoryOrCreate") and not is_directory(files, path):
        return f"hostPath type check failed: {path} is not a directory"
    return None


def is_directory(files: Mapping[str, str], path: str) -> bool:
    return any(name.startswith(path.rstrip("/") + "/") for name in files)

"""The virt-launcher pod of an instance. Pure."""

from __future__ import annotations

import random
import string

from simulator.client import Obj
from simulator.client.meta import owner

CREATED_BY = "kubevirt.io/created-by"
DEFAULT_GRACE = 30
POD_EXTRA_GRACE = 30
"""Seconds that the pod's grace period is longer than the guest's. (KubeVirt)"""

ERR_IMAGE_PULL, IMAGE_PULL_BACK_OFF = "ErrImagePull", "ImagePullBackOff"
"""Why a container waits whose image cannot be pulled: just tried, between two tries."""
CONSOLE_LOG = "guest-console-log"
"""The container that prints what the guest prints on its serial console."""
CLOUD_INIT_SECRETS = {"secretRef": "udata", "userDataSecretRef": "udata", "networkDataSecretRef": "ndata"}
"""References to Secrets, and what ends the names of their volumes in the pod."""


def grace_of(vmi: Obj) -> int:
    """The guest's shutdown grace period in seconds."""
    grace = vmi["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE if grace is None else int(grace)


def claims_of(vmi: Obj) -> list[str]:
    """Claims that the instance's volumes need; a DataVolume's claim has its name."""
    claims = []
    for volume in vmi["spec"].get("volumes") or []:
        if "dataVolume" in volume:
            claims.append(volume["dataVolume"]["name"])
        elif "persistentVolumeClaim" in volume:
            claims.append(volume["persistentVolumeClaim"]["claimName"])
    return claims


def launcher_pod(vmi: Obj) -> Obj:
    """A pod with a new name each time."""
    meta = vmi["metadata"]
    suffix = "".join(random.choices(string.ascii_lowercase + string.digits, k=5))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"virt-launcher-{meta['name'][:40]}-{suffix}",
            "namespace": meta["namespace"],
            "labels": {
                **{key: value for key, value in (meta.get("labels") or {}).items() if key != "kubevirt.io/nodeName"},
                "kubevirt.io": "virt-launcher",
                CREATED_BY: meta["uid"],
                "vm.kubevirt.io/name": meta["name"],
                "vmi.kubevirt.io/id": meta["name"],
            },
            "annotations": {"kubevirt.io/domain": meta["name"]},
            "ownerReferences": [owner(vmi)],
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": grace_of(vmi) + POD_EXTRA_GRACE,
            **({"initContainers": [_console_log()]} if _logs_console(vmi) else {}),
            "containers": [
                {"name": "compute", "image": "virt-launcher", "resources": _resources(vmi)},
                *({"name": f"volume{name}", "image": image} for name, image in _container_disks(vmi)),
            ],
            "volumes": [
                {"name": f"disk-{index}", "persistentVolumeClaim": {"claimName": claim}}
                for index, claim in enumerate(claims_of(vmi))
            ]
            + [{"name": name, "secret": {"secretName": secret}} for name, secret in _cloud_init_secrets(vmi)],
        },
    }


def _logs_console(vmi: Obj) -> bool:
    """Only if the VM asks for it: of a cluster with `disableSerialConsoleLog`, which leaves it to the VM."""
    devices = vmi["spec"].get("domain", {}).get("devices") or {}
    return devices.get("logSerialConsole") is True and devices.get("autoattachSerialConsole") is not False


def _console_log() -> Obj:
    """A sidecar. (KubeVirt: pkg/virt-controller/services/serialconsolelog.go.)"""
    return {"name": CONSOLE_LOG, "image": "virt-launcher", "command": ["/usr/bin/virt-tail"], "restartPolicy": "Always"}


def _container_disks(vmi: Obj) -> list[tuple[str, str]]:
    """Name and image of the volumes that come as images; each is a container of the pod."""
    volumes = vmi["spec"].get("volumes") or []
    return [(one["name"], one["containerDisk"].get("image", "")) for one in volumes if "containerDisk" in one]


def _cloud_init_secrets(vmi: Obj) -> list[tuple[str, str]]:
    """Volumes of the pod that come of cloud-init's Secrets: their names, and those of the Secrets."""
    found = []
    for volume in vmi["spec"].get("volumes") or []:
        source = volume.get("cloudInitNoCloud") or volume.get("cloudInitConfigDrive") or {}
        for reference, suffix in CLOUD_INIT_SECRETS.items():
            if reference in source:
                found.append((f"{volume['name']}-{suffix}", source[reference]["name"]))
    return found


def _resources(vmi: Obj) -> Obj:
    resources: Obj = vmi["spec"].get("domain", {}).get("resources") or {}
    return {key: resources[key] for key in ("requests", "limits") if key in resources}


def unpulled(pod: Obj) -> tuple[str, str] | None:
    """Reason and message of the first container that waits for its image."""
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        held = (container.get("state") or {}).get("waiting") or {}
        if held.get("reason") in (ERR_IMAGE_PULL, IMAGE_PULL_BACK_OFF):
            return held["reason"], held.get("message", "")
    return None

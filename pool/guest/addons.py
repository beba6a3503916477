"""A Pool's add-ons: manifests and scripts of a ConfigMap, with which its clusters are prepared at first boot."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pool.core.errors import AddonsUnusable, NotFound
from pool.core.pools import Pool
from pool.guest.file import File
from pool.kube.client import Kube
from pool.kube.resources import CONFIG_MAPS
from pool.kubevirt.cluster import Machine, Role

Addons = Mapping[str, str]
"""The texts of a ConfigMap, by key."""
NO_ADDONS: Addons = MappingProxyType({})

MANIFESTS = (".yaml", ".yml", ".json")
PREPARE, PREPARE_CONTROL_PLANE = "prepare.sh", "prepare-control-plane.sh"

MAX_KEY = 240
"""Characters of a key: a number is put before it, and a file's name has 255."""
MAX_PACKED = 900_000
"""Bytes that add-ons may have as they are carried, compressed and in base64. A Secret holds 1 MiB (Kubernetes:
MaxSecretSize), and what else a node gets is some 30 kB."""


async def read_addons(kube: Kube, pool: Pool) -> Addons:
    """What the Pool's ConfigMap holds; nothing if it names none. Raises AddonsUnusable."""
    if pool.spec.addons is None:
        return {}
    where = f"ConfigMap {pool.metadata.namespace}/{pool.spec.addons}"
    try:
        found = await kube.get(CONFIG_MAPS, pool.spec.addons, pool.metadata.namespace)
    except NotFound as error:
        raise AddonsUnusable(
            f"the add-ons of Pool {pool.name}",
            expected=where,
            actual="none of that name",
            cure="create it, or leave spec.addons out",
        ) from error
    addons: dict[str, str] = found.get("data") or {}
    strange = sorted([key for key in addons if not _known(key)] + list(found.get("binaryData") or {}))
    if strange:
        raise AddonsUnusable(
            f"the add-ons of Pool {pool.name}, {where}",
            expected=f"manifests (*{', *'.join(MANIFESTS)}), {PREPARE} and {PREPARE_CONTROL_PLANE}, as text, with"
            f" keys of up to {MAX_KEY} characters",
            actual=", ".join(strange),
            cure="rename these keys, or remove them",
        )
    packed = sum(len(file.packed) for file in _files(addons, list(Role)))
    if packed > MAX_PACKED:
        raise AddonsUnusable(
            f"the add-ons of Pool {pool.name}, {where}",
            expected=f"at most {MAX_PACKED} bytes, compressed and in base64: cloud-init's Secret holds no more",
            actual=f"{packed} bytes",
            cure=f"make them smaller; {PREPARE} can download what is large",
        )
    return addons


def addon_files(machine: Machine, addons: Addons) -> list[File]:
    """The add-ons as files of that VM: manifests for the control plane, scripts for whom they are."""
    return _files(addons, [machine.role])


def _files(addons: Addons, roles: list[Role]) -> list[File]:
    made = []
    if Role.CONTROL_PLANE in roles:
        manifests = sorted(key for key in addons if key.endswith(MANIFESTS))
        digits = max(2, len(str(len(manifests))))
        for number, key in enumerate(manifests, start=1):
            made.append(File(f"/etc/cks/addons/{number:0{digits}}-{key}", addons[key], "0600", compressed=True))
    scripts = [(10, PREPARE)] + [(20, PREPARE_CONTROL_PLANE)] * (Role.CONTROL_PLANE in roles)
    made += [
        File(f"/etc/cks/prepare/{number}-{key}", addons[key], "0700", compressed=True)
        for number, key in scripts
        if key in addons
    ]
    return made


def _known(key: str) -> bool:
    return (key.endswith(MANIFESTS) and len(key) <= MAX_KEY) or key in (PREPARE, PREPARE_CONTROL_PLANE)

"""What a golden image's disk is filled from, as CDI takes it, and what is to be there first.

(CDI v1.66, doc/datavolumes.md. Of versions before 1.65 none compares checksums.)
"""

from __future__ import annotations

from collections.abc import Mapping

from pool.core.errors import VMFailed
from pool.core.image_sources import Scheme, checked, object_of
from pool.core.pool_status import IMPORT_FAILED
from pool.core.pools import Image
from pool.kube.client import Kube, Object
from pool.kube.resources import CONFIG_MAPS, DATA_SOURCES, DATA_VOLUMES, PVCS, VOLUME_SNAPSHOTS, Resource

OBJECTS: Mapping[Scheme, Resource] = {
    Scheme.PVC: PVCS,
    Scheme.DATA_VOLUME: DATA_VOLUMES,
    Scheme.DATA_SOURCE: DATA_SOURCES,
    Scheme.VOLUME_SNAPSHOT: VOLUME_SNAPSHOTS,
}
"""What images that are copies of something on the host are copies of."""


def source_of(image: Image) -> Object:
    """The part of a DataVolume's spec that says where the image comes from. Raises InvalidInput.

    A registry's image is pulled by CDI's pod (`pullMethod` unset): by the node's own runtime, `pullSecret` and
    `certificates` would not count.
    """
    scheme = checked(image)
    if scheme is Scheme.DOCKER:
        return {"source": {"registry": _web(image)}}
    if scheme in (Scheme.HTTP, Scheme.HTTPS):
        return {"source": {"http": _web(image)}}
    namespace, name = object_of(image)
    where = {"namespace": namespace, "name": name}
    if scheme is Scheme.DATA_SOURCE:
        return {"sourceRef": {"kind": DATA_SOURCES.kind, **where}}
    # A DataVolume's claim is named like it.
    return {"source": {"snapshot" if scheme is Scheme.VOLUME_SNAPSHOT else "pvc": where}}


def is_from(volume: Object, image: Image) -> bool:
    """Whether the DataVolume is filled as the image is to be now; with another secret it is not, by the same URL."""
    return _known(volume["spec"]) == source_of(image)


def is_compared(volume: Object, image: Image) -> bool:
    """Whether CDI compares the checksum that the image has: one that does not know the field drops it unsaid."""
    source = (volume["spec"].get("source") or {}).get("http") or {}
    return image.checksum is None or source.get("checksum") == image.checksum


async def check_source(kube: Kube, image: Image, templates_namespace: str) -> None:
    """Raise VMFailed (reason ImportFailed) if CDI would wait for something that is not there; InvalidInput.

    Secrets are CDI's to look for: the worker reads none there.
    """
    scheme = checked(image)
    kind = OBJECTS.get(scheme)
    if kind is not None:
        namespace, name = object_of(image)
        found = await kube.find(kind, name, namespace)
        if found is None:
            raise _missing(image, f"{kind.kind} {namespace}/{name}", "make it, or mend spec.image.url of the Pool")
        why = _not_ready(found) if scheme is Scheme.DATA_SOURCE else ""
        if why:
            raise _missing(image, f"{kind.kind} {namespace}/{name} that is ready", "mend it", actual=why)
    if image.certificates is not None and not await kube.find(CONFIG_MAPS, image.certificates, templates_namespace):
        what = f"ConfigMap {templates_namespace}/{image.certificates}"
        raise _missing(image, what, "make it of the CA's certificates, or mend spec.image.certificates of the Pool")


def _web(image: Image) -> Object:
    told = {
        "url": image.url,
        "secretRef": image.pull_secret,
        "certConfigMap": image.certificates,
        "checksum": image.checksum,
    }
    return {name: value for name, value in told.items() if value is not None}


def _known(spec: Object) -> Object:
    """The source without what others may have added to it."""
    ours = {
        "registry": ("url", "secretRef", "certConfigMap"),
        "http": ("url", "secretRef", "certConfigMap", "checksum"),
        "pvc": ("namespace", "name"),
        "snapshot": ("namespace", "name"),
    }
    if spec.get("sourceRef"):
        return {"sourceRef": spec["sourceRef"]}
    source = spec.get("source") or {}
    return {
        "source": {
            kind: {key: value for key, value in (source[kind] or {}).items() if key in fields}
            for kind, fields in ours.items()
            if kind in source
        }
    }


def _not_ready(data_source: Object) -> str:
    conditions = (data_source.get("status") or {}).get("conditions") or []
    said = [one for one in conditions if one["type"] == "Ready" and one["status"] == "False"]
    return " ".join(str(one.get("message") or one.get("reason") or "not ready") for one in said)


def _missing(image: Image, what: str, cure: str, actual: str = "none") -> VMFailed:
    return VMFailed(f"golden image {image.url}", reason=IMPORT_FAILED, expected=what, actual=actual, cure=cure)

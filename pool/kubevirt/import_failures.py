"""Why an image is not imported: what CDI says of its DataVolume, and what helps. Pure."""

from __future__ import annotations

from pool.core.errors import VMFailed
from pool.core.pool_status import IMPORT_FAILED
from pool.core.pools import Pool
from pool.kube.client import Object

RESTARTS = 3
"""How often CDI's importer fails before it is believed: its restarts take over a minute, as short outages do not."""

TROUBLES = {
    "Running": ("CreateContainerConfigError", "ImagePullFailed"),
    "Bound": ("CloneWithoutSource", "CloneValidationFailed", "ErrExceededQuota"),
}
"""Reasons of conditions that are False: what keeps an importer from its start, and a clone from its claim. CDI tries on
for ever. (CDI: pkg/controller/util.go, pkg/controller/datavolume.)"""

CURES = (
    ("insufficient permissions in clone source namespace", "let the worker clone from there: docs/nodes.md, Images"),
    ("checksum dropped", "update CDI; or take an image by https:// without spec.image.checksum"),
    ("checksum mismatch", "mend spec.image.checksum, or find out who changed the file"),
    ("too small to contain image", "give spec.machines.disk the room that the image needs"),
    ("smaller than the source", "give spec.machines.disk the size of the source at least"),
    ("secret ", "make the Secret that spec.image.pullSecret names, with accessKeyId and secretKey, beside the image"),
    ("unauthorized", "name a Secret with a user who may pull in spec.image.pullSecret"),
    ("authentication required", "name a Secret with a user who may pull in spec.image.pullSecret"),
    ("x509:", "name a ConfigMap with the CA's certificates in spec.image.certificates"),
    ("exceeded quota", "raise the ResourceQuota of the images' namespace"),
)
"""What helps, by a part of the text in small letters; the first that fits."""


def failure_of(volume: Object | None) -> str:
    """Why the import will not succeed by waiting, else empty. CDI: an importer that fails is started again for ever."""
    status = (volume or {}).get("status") or {}
    final = " ".join(_said(status, "Running", ("ChecksumError",)))
    said = " ".join(_said(status, "Running", ("Error",)))
    if final or status.get("phase") == "Failed":
        return final or said or "phase Failed"
    return said if int(status.get("restartCount") or 0) >= RESTARTS else ""


def trouble_of(volume: Object | None) -> str:
    """What keeps the image from coming, if it lasts; else empty. Importers that fail are `failure_of`'s to count."""
    status = (volume or {}).get("status") or {}
    said = [text for kind, reasons in TROUBLES.items() for text in _said(status, kind, reasons)]
    fetched = {"registry", "http"} & ((volume or {}).get("spec") or {}).get("source", {}).keys()
    return " ".join(said if fetched else [*said, *_said(status, "Running", ("Error",))])


def import_failed(pool: Pool, actual: str) -> VMFailed:
    """The image that the pool wants is not imported."""
    cure = next((cure for part, cure in CURES if part in actual.lower()), "mend spec.image.url, or its registry")
    return VMFailed(
        f"golden image {pool.spec.image.url}",
        reason=IMPORT_FAILED,
        expected="its import",
        actual=actual,
        cure=f"{cure} (kubectl edit pool {pool.name}); existing clusters stay as they are",
    )


def _said(status: Object, kind: str, reasons: tuple[str, ...]) -> list[str]:
    found = [one for one in status.get("conditions") or [] if one["type"] == kind and one["status"] == "False"]
    return [str(one.get("message") or one["reason"]) for one in found if one.get("reason") in reasons]

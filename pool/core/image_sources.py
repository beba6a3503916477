"""Where a golden image comes from: the schemes of a Pool's `image.url`, and what each may be told beside it. Pure.

docker://REGISTRY/IMAGE:TAG          an image whose one layer holds the disk; also by @sha256:DIGEST
https://HOST/FILE, http://HOST/FILE  a disk image (qcow2, raw, also packed by gz or xz), http with its checksum
pvc://NAMESPACE/NAME                 a claim that is there
datavolume://NAMESPACE/NAME          the claim of a DataVolume, once it is filled
datasource://NAMESPACE/NAME          what a CDI DataSource means when the image is made
volumesnapshot://NAMESPACE/NAME      a VolumeSnapshot
"""

from __future__ import annotations

from enum import StrEnum
from re import fullmatch

from pool.core.clusters import ClonedImage
from pool.core.errors import InvalidInput
from pool.core.pools import Image


class Scheme(StrEnum):
    """What kind of source an image has."""

    DOCKER = "docker"
    HTTP = "http"
    HTTPS = "https"
    PVC = "pvc"
    DATA_VOLUME = "datavolume"
    DATA_SOURCE = "datasource"
    VOLUME_SNAPSHOT = "volumesnapshot"


LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
OBJECT = f"{LABEL}/{LABEL}([.]{LABEL})*"
"""Namespace and name of an object on the host."""
REFERENCE = "[^ /@]+(/[^ /@:]+)*(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}|@sha256:[0-9a-f]{64})"
"""By tag or by digest. Both at once is what CDI's importer refuses (containers/image: docker/docker_transport.go), and
neither is `latest`, which moves."""
FILE = "[^ /@]+/[^ ]+"
"""Without a user: a Pool is no place for passwords."""

URL = f"docker://{REFERENCE}|https?://{FILE}|(pvc|datavolume|datasource|volumesnapshot)://{OBJECT}"
"""Every form of a URL, as Python and CEL read it alike."""
FORMS = (
    "docker://REGISTRY/IMAGE:TAG (or @sha256:DIGEST), http(s)://HOST/FILE, or pvc, datavolume, datasource or"
    " volumesnapshot://NAMESPACE/NAME"
)

RULES: tuple[tuple[str, str], ...] = (
    ("!self.url.startsWith('http://') || has(self.checksum)", "image.checksum is needed with http://"),
    ("!has(self.checksum) || self.url.startsWith('http')", "image.checksum is for http(s):// only"),
    (
        "!has(self.pullSecret) || self.url.startsWith('docker:') || self.url.startsWith('http')",
        "image.pullSecret is for docker:// and http(s):// only",
    ),
    (
        "!has(self.certificates) || self.url.startsWith('docker:') || self.url.startsWith('https:')",
        "image.certificates is for docker:// and https:// only",
    ),
)
"""What the API server judges of an image's fields together, in CEL, and says; `checked` judges the same."""


def checked(image: Image) -> Scheme:
    """The kind of the image's source. Raises InvalidInput: the Pool may be from before the API server judged it."""
    if fullmatch(URL, image.url) is None:
        raise _invalid(f"expected {FORMS}", image.url)
    scheme = Scheme(image.url.partition("://")[0])
    file, web = scheme in (Scheme.HTTP, Scheme.HTTPS), scheme in (Scheme.HTTP, Scheme.HTTPS, Scheme.DOCKER)
    holds = (
        scheme is not Scheme.HTTP or image.checksum is not None,
        image.checksum is None or file,
        image.pull_secret is None or web,
        image.certificates is None or (web and scheme is not Scheme.HTTP),
    )
    for (_, message), so in zip(RULES, holds, strict=True):
        if not so:
            raise _invalid(message, image.url)
    return scheme


def object_of(image: Image) -> tuple[str, str]:
    """Namespace and name of the object on the host that the image is a copy of."""
    namespace, _, name = image.url.partition("://")[2].partition("/")
    return namespace, name


def outdated(made: ClonedImage, wanted: Image) -> str:
    """What a cluster that was made of that has other than it is to have, in words; empty if nothing."""
    if made.url != wanted.url:
        return f"it was made from {made.url}"
    if made.checksum != wanted.checksum:
        return f"it was made from {made.url} with {made.checksum or 'no checksum'}"
    if made.kubernetes_version not in (None, wanted.kubernetes_version):
        return f"it was made with Kubernetes {made.kubernetes_version}"
    return ""


def _invalid(why: str, url: str) -> InvalidInput:
    return InvalidInput("spec.image of the Pool", expected=why.removeprefix("expected "), actual=url)

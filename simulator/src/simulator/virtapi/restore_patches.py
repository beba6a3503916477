"""What virt-api looks for in a restore's patches. Pure. (KubeVirt: pkg/storage/admitters/vmrestore.go.)

It takes a patch apart by commas and colons without reading the JSON, so a value with either of them is refused too.
"""

from __future__ import annotations

from collections.abc import Iterator

from simulator.api.errors import Cause
from simulator.client import Obj

PATCHABLE = ('"/spec/', '"/metadata/labels/', '"/metadata/annotations/')
FIELD = "spec.patches"


def patch_faults(spec: Obj) -> Iterator[Cause]:
    """Patches may touch the spec, labels and annotations of the VM that is made."""
    for patch in spec.get("patches") or []:
        for part in patch.strip("{}").split(","):
            key, colon, value = part.partition(":")
            if not colon or ":" in value:
                text = f'patch format is not valid - one ":" expected in a single key-value json patch: {part}'
                yield Cause(FIELD, text)
            elif key.strip() == '"path"' and not value.strip().startswith(PATCHABLE):
                yield Cause(FIELD, f"patching is valid only for elements under /spec/ only: {part}")

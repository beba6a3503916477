"""What an installer makes once, and a worker looks for: the two have different rights (`deployments/rbac`)."""

from __future__ import annotations

import asyncio
from typing import Any

from pool.core.errors import Forbidden
from pool.kube.client import Kube, Object
from pool.kube.resources import Resource
from pool.work.namespaces.kinds import schema_of

GRANTED_WITHIN = 10.0
"""Seconds until a new RoleBinding counts at the latest: API servers read them from caches, some milliseconds old."""
ASK_AGAIN = 0.1


async def ensure_installed(kube: Kube, resource: Resource, wanted: Object) -> None:
    """An object with all that `wanted` says. It is written only where it does not say it: so those may look, too, who
    may not write. A kind of a newer schema is left as it is: in an upgrade the kinds come first, the programs after.

    Raises Forbidden, saying who may.
    """
    name, namespace = wanted["metadata"]["name"], wanted["metadata"].get("namespace")
    found = await kube.find(resource, name, namespace)
    if found is not None and (schema_of(found) > schema_of(wanted) or says(found, wanted)):
        return
    try:
        # Forced: whoever applied an older version, with kubectl perhaps, meant these fields.
        await kube.apply(resource, wanted, force=True)
    except Forbidden as error:
        why = "is not as this version needs it" if found is not None else "is not there"
        raise Forbidden(
            error.status,
            error.reason,
            f"{resource.kind} {name} {why}, and may not be written: {error.message}",
            cure="install it: kubectl apply -k deployments/rbac, or create-namespaces as installer",
        ) from error


def says(found: Any, wanted: Any) -> bool:
    """Whether a stored value has all of `wanted`; servers add defaults, and leave out what is empty, zero or false."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            says(found[key], value) if key in found else not value for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        pairs = isinstance(found, list) and len(found) == len(wanted)
        return pairs and all(says(one, other) for one, other in zip(found, wanted, strict=True))
    return bool(found == wanted)


async def apply_when_granted(kube: Kube, resource: Resource, obj: Object) -> None:
    """Apply what a binding allows that was made just now. Raises Forbidden if that does not come to count."""
    end = asyncio.get_running_loop().time() + GRANTED_WITHIN
    while True:
        try:
            await kube.apply(resource, obj, force=True)
            return
        except Forbidden as error:
            if error.status != 403 or asyncio.get_running_loop().time() > end:
                raise
        await asyncio.sleep(ASK_AGAIN)

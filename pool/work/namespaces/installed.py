"""What an installer makes once, and a worker looks for: the two have different rights (`deployments/rbac`)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from pool.core.crds import SCHEMA, SCHEMA_LABEL, definitions
from pool.core.errors import Forbidden, WrongVersion
from pool.core.resource import VERSION
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import CRDS, Resource

logger = logging.getLogger(__name__)

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


async def check_kinds(kube: Kube) -> None:
    """Whether what is installed of our kinds does for this program; what is not installed at all is another matter.

    Raises WrongVersion if it does not. Who may not look at definitions goes on, with a line in the log.
    """
    try:
        found = await gather(kube.find(CRDS, wanted["metadata"]["name"]) for wanted in definitions())
    except Forbidden as error:
        logger.warning("not known whether the kinds that are installed are new enough: %s", error)
        return
    for crd in found:
        if crd is not None:
            _check(crd)


def _check(crd: Object) -> None:
    name, schema = crd["metadata"]["name"], schema_of(crd)
    if schema < SCHEMA:
        raise WrongVersion(
            f"the kind {name} is of an older version than this program",
            expected=f"the label {SCHEMA_LABEL}={SCHEMA}, or a higher one",
            actual=crd["metadata"].get("labels", {}).get(SCHEMA_LABEL, "none"),
            cure="bring the kinds up first: kubectl apply -k deployments/crds (docs/upgrade.md)",
        )
    served = [version["name"] for version in crd["spec"]["versions"] if version["served"]]
    if VERSION not in served:
        raise WrongVersion(
            f"the kind {name} is of a newer version than this program",
            expected=f"{VERSION} served",
            actual=", ".join(served) or "nothing",
            cure="run the program of the version that is installed (docs/upgrade.md)",
        )


def schema_of(obj: Object) -> int:
    """The schema that the label on a CustomResourceDefinition says; 1 if it says none."""
    label = (obj["metadata"].get("labels") or {}).get(SCHEMA_LABEL, "")
    return int(label) if label.isdecimal() else 1


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

"""Whether our kinds, as they are installed, do for this program: looked at before anything is done on a host.

In an upgrade the kinds come first, so newer ones do. With older ones the API server would drop fields in silence that
this code relies on.
"""

from __future__ import annotations

import logging
from typing import Any

from pool.core.crds import SCHEMA, SCHEMA_LABEL, definitions
from pool.core.errors import Forbidden, WrongVersion
from pool.core.resource import VERSION
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import CRDS

logger = logging.getLogger(__name__)


async def check_kinds(kube: Kube) -> None:
    """Raise WrongVersion if a kind that is installed does not do; one that is not installed is another matter.

    Who may not look at definitions goes on, with a line in the log.
    """
    try:
        found = await gather(kube.find(CRDS, wanted["metadata"]["name"]) for wanted in definitions())
    except Forbidden as error:
        logger.warning("not known whether the kinds that are installed are new enough: %s", error)
        return
    for crd, wanted in zip(found, definitions(), strict=True):
        if crd is not None:
            check_kind(crd, wanted)


def check_kind(crd: Object, wanted: Object) -> None:
    """The same for one definition, beside the one that this code has. Pure."""
    name, schemas = crd["metadata"]["name"], _served(crd)
    if VERSION not in schemas:
        raise WrongVersion(
            f"the kind {name} is of a newer version than this program",
            expected=f"{VERSION} served",
            actual=", ".join(schemas) or "nothing",
            cure="run the program of the version that is installed (docs/upgrade.md)",
        )
    if schema_of(crd) < SCHEMA:
        label = (crd["metadata"].get("labels") or {}).get(SCHEMA_LABEL, "none")
        raise _older(name, f"the label {SCHEMA_LABEL}={SCHEMA}, or a higher one", label)
    # The label could be left of a newer one: an apply takes away only what its own applier wrote.
    if lacking := _lacking(schemas[VERSION], _served(wanted)[VERSION]):
        raise _older(name, f"the field {lacking}", f"none, whatever its label {SCHEMA_LABEL} says")


def schema_of(obj: Object) -> int:
    """The schema that the label on a CustomResourceDefinition says; 1 if it says none."""
    label = (obj["metadata"].get("labels") or {}).get(SCHEMA_LABEL, "")
    return int(label) if label.isdecimal() else 1


def _older(name: str, expected: str, actual: str) -> WrongVersion:
    return WrongVersion(
        f"the kind {name} is of an older version than this program",
        expected=expected,
        actual=actual,
        cure="bring the kinds up first: kubectl apply -k deployments/crds (docs/upgrade.md)",
    )


def _served(crd: Object) -> dict[str, dict[str, Any]]:
    """The schema of each version that is served, by its name."""
    versions = [version for version in crd["spec"]["versions"] if version["served"]]
    return {version["name"]: version["schema"]["openAPIV3Schema"] for version in versions}


def _lacking(schema: dict[str, Any], wanted: dict[str, Any], path: str = "") -> str:
    """The path of a field that `wanted` has and the schema would drop; empty if there is none."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return ""
    if "items" in wanted:
        return _lacking(schema.get("items") or {}, wanted["items"], path)
    known = schema.get("properties") or {}
    for name, child in (wanted.get("properties") or {}).items():
        here = f"{path}.{name}".lstrip(".")
        if name not in known:
            return here
        if lacking := _lacking(known[name], child, here):
            return lacking
    return ""

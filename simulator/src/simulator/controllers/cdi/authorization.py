"""Who may have CDI clone what: it asks for the rights of whoever makes the DataVolume in the source's namespace.

(CDI: containerized-data-importer-api, pkg/apis/core/v1beta1, authorize.go and utils.go.)
"""

from __future__ import annotations

from simulator.client import Client, Obj
from simulator.client.resources import SUBJECT_ACCESS_REVIEWS
from simulator.controllers.cdi.datavolume import clone_source

SOURCE = {"group": "cdi.kubevirt.io", "resource": "datavolumes", "subresource": "source"}
EITHER = {
    "pvc": ([SOURCE], [{"resource": "pods"}]),
    "snapshot": ([SOURCE], [{"resource": "pods"}, {"resource": "pvcs"}]),
}
"""By kind of source: sets of rights, of which one is enough. That there is no resource `pvcs` is CDI's."""


async def refusal(client: Client, volume: Obj, user: str, groups: list[str]) -> str:
    """Why the user may not clone the DataVolume's source, or empty. `volume` has its source looked up."""
    source = clone_source(volume)
    if source is None or source[1] == volume["metadata"]["namespace"]:
        return ""
    kind, namespace, name = source
    for rights in EITHER[kind]:
        if all([await _may(client, user, groups, {**right, "namespace": namespace, "name": name}) for right in rights]):
            return ""
    return f"User {user} has insufficient permissions in clone source namespace {namespace}"


async def _may(client: Client, user: str, groups: list[str], what: Obj) -> bool:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {"user": user, "groups": groups, "resourceAttributes": {**what, "verb": "create"}},
    }
    answer = await client.create(SUBJECT_ACCESS_REVIEWS, review)
    return bool(answer["status"].get("allowed"))

"""A VM's dataVolumeTemplates as DataVolumes, and who may clone what into them."""

from __future__ import annotations

from simulator.api.errors import ApiError
from simulator.client import Obj
from simulator.client.meta import annotation, controller_of, deleting, owner
from simulator.client.resources import DATA_VOLUMES, SUBJECT_ACCESS_REVIEWS
from simulator.controllers.cdi.data_sources import with_source
from simulator.controllers.cdi.datavolume import ALLOW_ADOPTION, PRE_POPULATED
from simulator.controllers.runtime.manager import Context

CREATED_BY = "kubevirt.io/created-by"
IMMEDIATE = "kubevirt.io/immediate-data-volume-creation"


class NotAuthorized(Exception):
    """The namespace's default ServiceAccount may not clone the source."""


def template_names(vm: Obj) -> list[str]:
    return [template["metadata"]["name"] for template in vm["spec"].get("dataVolumeTemplates") or []]


def disk_names(vm: Obj) -> list[str]:
    """DataVolumes that are disks of the VM, of its own templates or not."""
    volumes = (vm["spec"]["template"].get("spec") or {}).get("volumes") or []
    return [volume["dataVolume"]["name"] for volume in volumes if "dataVolume" in volume]


def data_volume(vm: Obj, template: Obj) -> Obj:
    """The DataVolume for one template."""
    meta = template["metadata"]
    return {
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "DataVolume",
        "metadata": {
            "name": meta["name"],
            "namespace": vm["metadata"]["namespace"],
            "labels": {**(meta.get("labels") or {}), CREATED_BY: vm["metadata"]["uid"]},
            "annotations": {ALLOW_ADOPTION: "true", **(meta.get("annotations") or {})},
            "ownerReferences": [owner(vm)],
        },
        "spec": template["spec"],
    }


def clone_namespace(template: Obj, namespace: str) -> tuple[str, str] | None:
    """Namespace and name of a clone's source in another namespace."""
    source = template["spec"].get("source") or {}
    for kind in ("pvc", "snapshot"):
        if kind in source:
            elsewhere = source[kind].get("namespace") or namespace
            return (elsewhere, source[kind]["name"]) if elsewhere != namespace else None
    return None


async def ensure_data_volumes(context: Context, vm: Obj) -> list[Obj]:
    """The VM's DataVolumes that exist, after creating or adopting what its templates ask for.

    Raises NotAuthorized for a clone that is not allowed, ApiError.
    """
    found = []
    for template in vm["spec"].get("dataVolumeTemplates") or []:
        volume = context.cache(DATA_VOLUMES).get(vm["metadata"]["namespace"], template["metadata"]["name"])
        if volume is None:
            volume = await _create(context, vm, template)
        elif controller_of(volume) is None and not deleting(volume):
            meta = {**volume["metadata"], "ownerReferences": [owner(vm)]}
            volume = await context.update(DATA_VOLUMES, {**volume, "metadata": meta})
        found.append(volume)
    return found


async def _create(context: Context, vm: Obj, template: Obj) -> Obj:
    template = await with_source(context.client, template, vm["metadata"]["namespace"])
    volume = data_volume(vm, template)
    if annotation(volume, PRE_POPULATED) is None:
        try:
            await _authorize(context, vm, template)
        except NotAuthorized as error:
            text = f"Not authorized to create DataVolume {volume['metadata']['name']}: {error}"
            context.events.record(
                vm, "Warning", "UnauthorizedDataVolumeCreate", text, component="virtualmachine-controller"
            )
            raise NotAuthorized(f"not authorized to create DataVolume: {error}") from error
    try:
        created = await context.create(DATA_VOLUMES, volume)
    except ApiError as error:
        text = f"Error creating DataVolume {volume['metadata']['name']}: {error}"
        context.events.record(vm, "Warning", "FailedDataVolumeCreate", text, component="virtualmachine-controller")
        raise
    text = f"Created DataVolume {volume['metadata']['name']}"
    context.events.record(vm, "Normal", "SuccessfulDataVolumeCreate", text, component="virtualmachine-controller")
    return created


async def _authorize(context: Context, vm: Obj, template: Obj) -> None:
    namespace = vm["metadata"]["namespace"]
    source = clone_namespace(template, namespace)
    if source is None:
        return
    user = f"system:serviceaccount:{namespace}:default"
    review = await context.client.create(
        SUBJECT_ACCESS_REVIEWS,
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {
                "user": user,
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
                "resourceAttributes": {
                    "namespace": source[0],
                    "verb": "create",
                    "group": "cdi.kubevirt.io",
                    "version": "*",
                    "resource": "datavolumes",
                    "subresource": "source",
                    "name": source[1],
                },
            },
        },
    )
    if not review["status"].get("allowed"):
        raise NotAuthorized(f"User {user} has insufficient permissions in clone source namespace {source[0]}")

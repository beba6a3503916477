"""Options of writes that cannot be, and what a write may not say of an object's identity."""

from __future__ import annotations

import pytest

from tests.contract.api import Api
from tests.contract.definition import lab_of, labs, served
from tests.contract.lab import core
from tests.contract.test_objects import config
from tests.http_api import Obj

__all__ = ["served"]
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
LONG = "m" * 129


@pytest.mark.parametrize(
    ("method", "query", "content_type", "told"),
    [
        (
            "POST",
            "dryRun=Some",
            "application/json",
            'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"',
        ),
        (
            "PUT",
            "fieldValidation=Some",
            "application/json",
            'UpdateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Some": supported values: "",'
            ' "Ignore", "Strict", "Warn"',
        ),
        (
            "PATCH",
            f"fieldManager={LONG}",
            MERGE,
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes',
        ),
        (
            "PATCH",
            "force=true",
            MERGE,
            'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
        ),
        (
            "PATCH",
            "",
            APPLY,
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
        ),
    ],
)
async def test_options_that_cannot_be_are_invalid(
    api: Api, namespace: str, method: str, query: str, content_type: str, told: str
) -> None:
    await api.create(core(namespace, "configmaps"), config("x"))
    path = core(namespace, "configmaps") if method == "POST" else f"{core(namespace, 'configmaps')}/x"
    code, answer = await api.call(method, f"{path}?{query}", config("x"), content_type=content_type)
    assert (code, answer["reason"]) == (422, "Invalid")
    assert answer["message"] == told


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (
            {"propagationPolicy": "Some"},
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Some": supported values:'
            ' "Foreground", "Background", "Orphan", "nil"',
        ),
        (
            {"propagationPolicy": "Orphan", "orphanDependents": True},
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": orphanDependents and'
            " deletionPropagation cannot be both set",
        ),
        (
            {"dryRun": ["Some"]},
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"',
        ),
        (
            {"preconditions": {"uid": "other"}},
            409,
            'Operation cannot be fulfilled on ConfigMap "x": the UID in the precondition (other) does not match the UID'
            " in record ({uid}). The object might have been deleted and then recreated",
        ),
    ],
)
async def test_a_deletion_that_cannot_be_deletes_nothing(
    api: Api, namespace: str, options: Obj, code: int, told: str
) -> None:
    made = await api.create(core(namespace, "configmaps"), config("x"))
    path = f"{core(namespace, 'configmaps')}/x"
    got, answer = await api.call("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})
    assert (got, answer["message"]) == (code, told.replace("{uid}", made["metadata"]["uid"]))
    assert (await api.get(path))["metadata"] == made["metadata"]


async def test_another_objects_uid_is_a_conflict_in_an_update_and_invalid_in_a_patch(api: Api, namespace: str) -> None:
    made = await api.create(core(namespace, "configmaps"), config("x"))
    path = f"{core(namespace, 'configmaps')}/x"
    changed = {**made, "metadata": {**made["metadata"], "uid": "other"}}
    code, answer = await api.call("PUT", path, changed)
    assert (code, answer["reason"]) == (409, "Conflict")
    assert answer["message"] == (
        f'Operation cannot be fulfilled on configmaps "x": StorageError: invalid object, Code: 4, Key: /registry/'
        f"configmaps/{namespace}/x, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition:"
        f" other, UID in object meta: {made['metadata']['uid']}"
    )
    code, answer = await api.call("PATCH", path, {"metadata": {"uid": "other"}}, content_type=MERGE)
    assert (code, answer["reason"]) == (422, "Invalid")
    assert answer["message"] == 'ConfigMap "x" is invalid: metadata.uid: Invalid value: "other": field is immutable'


async def test_a_prefix_for_names_is_a_name_itself(api: Api, namespace: str) -> None:
    code, answer = await api.call("POST", core(namespace, "configmaps"), {"metadata": {"generateName": "A_"}})
    assert code == 422
    fields = [cause["field"] for cause in answer["details"]["causes"]]
    assert fields == ["metadata.generateName", "metadata.name"]
    made = await api.create(core(namespace, "configmaps"), {"metadata": {"generateName": "a-"}})
    assert made["metadata"]["name"].startswith("a-")


async def test_finalizers_belong_to_a_domain(api: Api, namespace: str, served: str) -> None:
    body = {"metadata": {"name": "x", "finalizers": ["mine"]}}
    code, answer = await api.call("POST", core(namespace, "configmaps"), body)
    assert code == 422
    assert answer["message"] == (
        'ConfigMap "x" is invalid: metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer'
        " name nor is it fully qualified"
    )
    # Custom resources may have such ones; whoever adds one is warned.
    await api.create(labs(served), {**lab_of(), "metadata": body["metadata"]})
    await api.merge(labs(served, "x"), {"metadata": {"finalizers": None}})

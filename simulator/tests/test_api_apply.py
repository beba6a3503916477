"""Server-side apply and field managers, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.api.apply import fieldsets
from tests.http_api import Api, Failed

Obj = dict[str, Any]
SERVICES = "/api/v1/namespaces/default/services"
MAPS = "/api/v1/namespaces/default/configmaps"
APPLY = "application/apply-patch+yaml"


async def apply(api: Api, path: str, body: Obj, manager: str, *, force: bool = False) -> Obj:
    query = f"?fieldManager={manager}&force={str(force).lower()}"
    code, answer = await api.call("PATCH", path + query, body, content_type=APPLY)
    if code >= 400:
        raise Failed(code, answer)
    found: Obj = answer
    return found


def config(**data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data}


def owners(obj: Obj) -> dict[tuple[str, str], set[str]]:
    return {
        (one["manager"], one["operation"]): {fieldsets.shown(path) for path in fieldsets.from_v1(one["fieldsV1"])}
        for one in obj["metadata"]["managedFields"]
    }


async def test_apply_makes_what_is_not_there(bare: Api) -> None:
    code, made = await bare.call("PATCH", f"{MAPS}/x?fieldManager=a", config(k="1"), content_type=APPLY)
    assert code == 201
    assert made["data"] == {"k": "1"}
    assert owners(made) == {("a", "Apply"): {".data.k"}}


async def test_apply_again_changes_nothing(bare: Api) -> None:
    first = await apply(bare, f"{MAPS}/x", config(k="1"), "a")
    again = await apply(bare, f"{MAPS}/x", config(k="1"), "a")
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_field_of_another_manager_conflicts_unless_forced(bare: Api) -> None:
    await apply(bare, f"{MAPS}/x", config(k="1"), "a")
    with pytest.raises(Failed) as caught:
        await apply(bare, f"{MAPS}/x", config(k="2"), "b")
    assert caught.value.code == 409
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "a": .data.k'
    assert caught.value.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "a"', "field": ".data.k"}
    ]
    forced = await apply(bare, f"{MAPS}/x", config(k="2"), "b", force=True)
    assert forced["data"] == {"k": "2"}
    assert owners(forced) == {("b", "Apply"): {".data.k"}}


async def test_field_of_the_same_value_is_shared(bare: Api) -> None:
    await apply(bare, f"{MAPS}/x", config(k="1"), "a")
    both = await apply(bare, f"{MAPS}/x", config(k="1"), "b")
    assert owners(both) == {("a", "Apply"): {".data.k"}, ("b", "Apply"): {".data.k"}}


async def test_field_left_out_of_the_next_apply_goes_unless_shared(bare: Api) -> None:
    await apply(bare, f"{MAPS}/x", config(k="1", own="1"), "a")
    await apply(bare, f"{MAPS}/x", config(k="1"), "b")
    left = await apply(bare, f"{MAPS}/x", config(new="1"), "a")
    assert left["data"] == {"k": "1", "new": "1"}


async def test_field_that_an_update_changed_is_the_updaters(bare: Api) -> None:
    await apply(bare, f"{MAPS}/x", config(k="1"), "a")
    path = f"{MAPS}/x?fieldManager=editor"
    _, changed = await bare.call("PATCH", path, {"data": {"k": "2"}}, content_type="application/merge-patch+json")
    assert owners(changed) == {("editor", "Update"): {".data.k"}}
    with pytest.raises(Failed, match='conflict with "editor" using v1'):
        await apply(bare, f"{MAPS}/x", config(k="1"), "a")


async def test_keyed_lists_are_shared_by_item(bare: Api) -> None:
    def service(*ports: Obj) -> Obj:
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"ports": list(ports)}}

    await apply(bare, f"{SERVICES}/x", service({"port": 80, "protocol": "TCP", "name": "a"}), "a")
    both = await apply(bare, f"{SERVICES}/x", service({"port": 443, "protocol": "TCP", "name": "b"}), "b")
    assert [one["port"] for one in both["spec"]["ports"]] == [80, 443]
    left = await apply(bare, f"{SERVICES}/x", service(), "b")
    assert [one["port"] for one in left["spec"]["ports"]] == [80]
    assert '.spec.ports[port=80,protocol="TCP"].name' in owners(left)["a", "Apply"]


async def test_apply_must_name_its_manager(bare: Api) -> None:
    code, answer = await bare.call("PATCH", f"{MAPS}/x", config(k="1"), content_type=APPLY)
    assert code == 422
    assert "fieldManager: Required value: is required for apply patch" in answer["message"]


async def test_status_is_applied_apart(bare: Api) -> None:
    path = "/api/v1/namespaces/n"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"a": "b"}}}
    made = await apply(bare, path, {**body, "status": {"phase": "Made up"}}, "a")
    assert made["status"] == {"phase": "Active"}
    assert owners(made)["a", "Apply"] == {".metadata.labels.a"}


@pytest.mark.parametrize(
    ("paths", "nested"),
    [
        ({("f:a",)}, {"f:a": {}}),
        ({("f:a", "f:b"), ("f:a",)}, {"f:a": {".": {}, "f:b": {}}}),
        ({("f:l", 'k:{"n":"x"}'), ("f:l", 'k:{"n":"x"}', "f:n")}, {"f:l": {'k:{"n":"x"}': {".": {}, "f:n": {}}}}),
    ],
)
def test_field_sets_keep_their_meaning_as_nested_objects(paths: set[fieldsets.Path], nested: Obj) -> None:
    assert fieldsets.to_v1(paths) == nested
    assert fieldsets.from_v1(nested) == paths

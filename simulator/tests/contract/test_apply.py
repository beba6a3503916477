"""Server-side apply: who owns which field, and what becomes of it. Any Kubernetes does this, for all kinds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.api import Api
from tests.contract.definition import GROUP, KIND, NEW, VERSION, lab_of, labs, put_status, served
from tests.contract.lab import core
from tests.http_api import Failed, Obj

__all__ = ["served"]
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


async def apply(api: Api, path: str, body: Obj, manager: str, *, force: bool = False) -> Obj:
    code, answer = await api.call(
        "PATCH", f"{path}?fieldManager={manager}&force={str(force).lower()}", body, content_type=APPLY
    )
    if code >= 400:
        raise Failed(code, answer)
    return dict(answer)


def config(**data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data}


def service(*ports: Obj) -> Obj:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"ports": list(ports)}}


def entries(obj: Obj) -> dict[tuple[str, str, str], Obj]:
    """What each manager has, by its name, operation and subresource."""
    found = {}
    for one in obj["metadata"]["managedFields"]:
        assert one["fieldsType"] == "FieldsV1"
        assert one["time"].endswith("Z")
        found[one["manager"], one["operation"], one.get("subresource", "")] = one["fieldsV1"]
    return found


def has(fields: Obj, *path: str) -> bool:
    node: Any = fields
    for step in path:
        node = (node or {}).get(step)
    return node is not None


@pytest.fixture
def path(namespace: str) -> str:
    """A ConfigMap."""
    return f"{core(namespace, 'configmaps')}/x"


async def test_what_is_applied_is_made_once_and_booked_on_its_manager(api: Api, path: str) -> None:
    code, made = await api.call("PATCH", f"{path}?fieldManager=a", config(k="1"), content_type=APPLY)
    assert code == 201
    assert entries(made) == {("a", "Apply", ""): {"f:data": {"f:k": {}}}}
    assert made["metadata"]["managedFields"][0]["apiVersion"] == "v1"
    again = await apply(api, path, config(k="1"), "a")
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_field_of_another_manager_is_a_conflict_that_names_it(api: Api, path: str) -> None:
    await apply(api, path, config(k="1"), "a")
    with pytest.raises(Failed) as refusal:
        await apply(api, path, config(k="2"), "b")
    assert (refusal.value.code, refusal.value.body["reason"]) == (409, "Conflict")
    assert refusal.value.message == 'Apply failed with 1 conflict: conflict with "a": .data.k'
    assert refusal.value.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "a"', "field": ".data.k"}
    ]
    assert (await api.get(path))["data"] == {"k": "1"}


async def test_several_conflicts_are_listed_by_manager(api: Api, path: str) -> None:
    await apply(api, path, config(k="1", m="1"), "a")
    await apply(api, path, config(n="1"), "b")
    with pytest.raises(Failed) as refusal:
        await apply(api, path, config(k="2", m="2", n="2"), "c")
    assert refusal.value.message == (
        'Apply failed with 3 conflicts: conflicts with "a":\n- .data.k\n- .data.m\nconflicts with "b":\n- .data.n'
    )


async def test_force_takes_the_field_over(api: Api, path: str) -> None:
    await apply(api, path, config(k="1", m="1"), "a")
    forced = await apply(api, path, config(k="2"), "b", force=True)
    assert forced["data"] == {"k": "2", "m": "1"}
    assert entries(forced) == {
        ("a", "Apply", ""): {"f:data": {"f:m": {}}},
        ("b", "Apply", ""): {"f:data": {"f:k": {}}},
    }


async def test_the_same_value_is_owned_together_and_stays_until_the_last_leaves_it(api: Api, path: str) -> None:
    await apply(api, path, config(k="1", own="1"), "a")
    await apply(api, path, config(k="1"), "b")
    left = await apply(api, path, config(new="1"), "a")
    assert left["data"] == {"k": "1", "new": "1"}
    gone = await apply(api, path, {**config(), "data": {"m": "1"}}, "b")
    assert gone["data"] == {"m": "1", "new": "1"}


async def test_a_field_that_was_changed_otherwise_is_the_changers(api: Api, path: str) -> None:
    await apply(api, path, config(k="1", m="1"), "a")
    _, changed = await api.call("PATCH", f"{path}?fieldManager=editor", {"data": {"k": "2"}}, content_type=MERGE)
    found = entries(changed)
    assert found["a", "Apply", ""] == {"f:data": {"f:m": {}}}
    assert has(found["editor", "Update", ""], "f:data", "f:k")
    with pytest.raises(Failed, match=r'conflict with "editor" using v1: \.data\.k$'):
        await apply(api, path, config(k="1"), "a")
    # Without it the other fields can be applied, and what is the editor's stays.
    kept = await apply(api, path, config(m="2"), "a")
    assert kept["data"] == {"k": "2", "m": "2"}


async def test_lists_with_keys_are_shared_item_by_item(api: Api, namespace: str) -> None:
    path = f"{core(namespace, 'services')}/x"
    await apply(api, path, service({"name": "http", "port": 80, "protocol": "TCP"}), "a")
    both = await apply(api, path, service({"name": "https", "port": 443, "protocol": "TCP"}), "b")
    assert [one["port"] for one in both["spec"]["ports"]] == [80, 443]
    mine = entries(both)["b", "Apply", ""]["f:spec"]["f:ports"]
    assert list(mine) == ['k:{"port":443,"protocol":"TCP"}']
    assert mine['k:{"port":443,"protocol":"TCP"}'] == {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}}
    # An item is changed by its key, and one left out goes; another manager's stays.
    with pytest.raises(Failed, match=r'conflict with "a": \.spec\.ports\[port=80,protocol="TCP"\]\.name'):
        await apply(api, path, service({"name": "web", "port": 80, "protocol": "TCP"}), "b")
    left = await apply(api, path, service({"name": "tls", "port": 443, "protocol": "TCP"}), "b")
    assert [one["name"] for one in left["spec"]["ports"]] == ["http", "tls"]
    left = await apply(api, path, service(), "b")
    assert [one["name"] for one in left["spec"]["ports"]] == ["http"]


async def test_labels_and_finalizers_are_shared_too(api: Api, path: str) -> None:
    def meta(**more: Any) -> Obj:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", **more}}

    await apply(api, path, meta(labels={"a": "1"}, finalizers=["x.io/a"]), "a")
    both = await apply(api, path, meta(labels={"b": "1"}, finalizers=["x.io/b"]), "b")
    assert both["metadata"]["labels"] == {"a": "1", "b": "1"}
    assert both["metadata"]["finalizers"] == ["x.io/a", "x.io/b"]
    left = await apply(api, path, meta(), "a")
    assert (left["metadata"]["labels"], left["metadata"]["finalizers"]) == ({"b": "1"}, ["x.io/b"])
    assert ("a", "Apply", "") not in entries(left)
    await apply(api, path, meta(), "b")


async def test_a_custom_resource_is_applied_like_any_other(api: Api, served: str) -> None:
    path = labs(served, "c")
    made = await apply(api, path, lab_of(cordoned=True), "a")
    assert entries(made) == {("a", "Apply", ""): {"f:spec": {"f:cordoned": {}, "f:namespace": {}}}}
    with pytest.raises(Failed) as refusal:
        await apply(api, path, lab_of(cordoned=False), "b")
    assert refusal.value.message == 'Apply failed with 1 conflict: conflict with "a": .spec.cordoned'
    # Left out by its only owner it falls back to the definition's default.
    left = await apply(api, path, lab_of(), "a")
    assert left["spec"] == {"namespace": "c", "cordoned": False}


async def test_status_and_the_rest_have_managers_of_their_own(api: Api, served: str) -> None:
    path = labs(served, "c")
    await apply(api, path, {**lab_of(), "status": {"phase": "new", "epoch": 7}}, "a")
    status = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "status": {"phase": "new", "epoch": 1}}
    told = await apply(api, f"{path}/status", {**status, "metadata": {"name": "c"}, "spec": {"cordoned": True}}, "a")
    assert (told["status"]["epoch"], told["spec"]["cordoned"]) == (1, False)
    found = entries(told)
    assert not has(found["a", "Apply", ""], "f:status")
    assert found["a", "Apply", "status"] == {"f:status": {"f:epoch": {}, "f:phase": {}}}
    await put_status(api, path, {"phase": "new", "epoch": 2})
    with pytest.raises(Failed, match=r'with subresource "status" using contract\.cks\.io/v1: \.status\.epoch$'):
        await apply(api, f"{path}/status", {**status, "metadata": {"name": "c"}}, "a")


@pytest.mark.parametrize(
    ("query", "change", "code", "told"),
    [
        ("", {}, 422, "fieldManager: Required value: is required for apply patch"),
        ("?fieldManager=a", {"metadata": {"name": "x", "managedFields": [{"manager": "m"}]}}, 400, "must be nil"),
        ("?fieldManager=a", {"metadata": {"name": "other"}}, 400, "does not match the name on the URL"),
        ("?fieldManager=a", {"kind": "Secret"}, 400, "invalid object type: /v1, Kind=Secret"),
    ],
)
async def test_an_apply_that_cannot_be_is_refused(
    api: Api, path: str, query: str, change: Obj, code: int, told: str
) -> None:
    await apply(api, path, config(k="1"), "a")
    got, answer = await api.call("PATCH", path + query, {**config(k="1"), **change}, content_type=APPLY)
    assert got == code, answer
    assert told in answer["message"]


async def test_a_field_that_the_kind_does_not_have_cannot_be_applied(api: Api, path: str) -> None:
    with pytest.raises(Failed, match=r"\.extra: field not declared in schema"):
        await apply(api, path, {**config(), "extra": "1"}, "a")


async def test_an_apply_at_an_older_version_is_a_conflict(api: Api, path: str) -> None:
    made = await apply(api, path, config(k="1"), "a")
    await api.merge(path, {"data": {"m": "1"}})
    old = {"name": "x", "resourceVersion": made["metadata"]["resourceVersion"]}
    with pytest.raises(Failed) as refusal:
        await apply(api, path, {**config(k="2"), "metadata": old}, "a")
    assert (refusal.value.code, refusal.value.body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in refusal.value.message


async def test_who_brings_an_object_or_a_list_owns_it_beside_what_is_in_it(api: Api, namespace: str) -> None:
    body = {**config(k="1"), "metadata": {"name": "x", "labels": {"a": "1"}}}
    path = f"{core(namespace, 'configmaps')}/x"
    _, made = await api.call("POST", f"{core(namespace, 'configmaps')}?fieldManager=w", body)
    assert entries(made)["w", "Update", ""] == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:data": {".": {}, "f:k": {}},
    }
    # What is added to it later is the adder's, the object stays its owner's; removed as a whole it is nobody's.
    _, both = await api.call("PATCH", f"{path}?fieldManager=v", {"data": {"m": "1"}}, content_type=MERGE)
    assert entries(both)["v", "Update", ""] == {"f:data": {"f:m": {}}}
    _, left = await api.call("PATCH", f"{path}?fieldManager=u", {"data": None}, content_type=MERGE)
    assert {key: value.get("f:data") for key, value in entries(left).items()} == {("w", "Update", ""): None}


async def test_an_item_of_a_keyed_list_is_owned_with_its_list(api: Api, namespace: str) -> None:
    path, body = core(namespace, "services"), service({"name": "http", "port": 80})
    _, made = await api.call("POST", f"{path}?fieldManager=w", body)
    fields = entries(made)["w", "Update", ""]["f:spec"]
    assert "." not in fields
    item = 'k:{"port":80,"protocol":"TCP"}'
    assert set(fields["f:ports"]) == {".", item}
    assert set(fields["f:ports"][item]) >= {".", "f:name", "f:port", "f:protocol", "f:targetPort"}


async def test_a_custom_resource_has_no_part_that_nobody_owns(api: Api, served: str) -> None:
    _, made = await api.call("POST", f"{labs(served)}?fieldManager=w", lab_of(cordoned=True))
    fields = {".": {}, "f:cordoned": {}, "f:namespace": {}}
    assert entries(made) == {("w", "Update", ""): {"f:spec": fields}}
    status = f"{labs(served, 'c')}/status?fieldManager=w"
    _, told = await api.call("PATCH", status, {"status": NEW}, content_type=MERGE)
    found = entries(told)["w", "Update", "status"]["f:status"]
    assert {".", "f:epoch", "f:phase"} <= set(found)


async def test_managers_are_listed_with_applies_first(api: Api, path: str) -> None:
    await api.call("POST", f"{path.rpartition('/')[0]}?fieldManager=z", config(z="1"))
    await apply(api, path, config(k="1"), "b")
    await apply(api, path, config(m="1"), "a")
    found = await api.get(path)
    listed = [(one["operation"], one["manager"]) for one in found["metadata"]["managedFields"]]
    assert [operation for operation, _ in listed] == ["Apply", "Apply", "Update"]
    assert set(listed) == {("Apply", "a"), ("Apply", "b"), ("Update", "z")}


CONTAINER = {"name": "c", "image": "i"}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"nodeName": 1}, ".spec.nodeName: expected string, got &value.valueUnstructured{Value:1}"),
        ({"nodeName": True}, ".spec.nodeName: expected string, got &value.valueUnstructured{Value:true}"),
        ({"hostNetwork": "yes"}, ".spec.hostNetwork: expected boolean, got &{yes}"),
        ({"priority": "x"}, ".spec.priority: expected numeric (int or float), got string"),
        ({"priority": [1]}, ".spec.priority: expected numeric (int or float), got []interface {}"),
        ({"containers": {"a": 1}}, ".spec.containers: expected list, got &{map[a:1]}"),
        ({"tolerations": [1]}, ".spec.tolerations[0]: expected map, got &{1}"),
        (
            {"containers": [{**CONTAINER, "env": [{"name": "E", "value": 8080}]}]},
            '.spec.containers[name="c"].env[name="E"].value: expected string, got &value.valueUnstructured{Value:8080}',
        ),
        ({"containers": [{**CONTAINER, "extra": 1}]}, '.spec.containers[name="c"].extra: field not declared in schema'),
        ({"containers": [CONTAINER, CONTAINER]}, '.spec.containers: duplicate entries for key [name="c"]'),
        ({"containers": [{"image": "i"}] * 2}, '.spec.containers: duplicate entries for key [name=""]'),
    ],
)
async def test_an_apply_with_the_wrong_types_says_where(api: Api, namespace: str, spec: Obj, told: str) -> None:
    meta = {"name": "x", "namespace": namespace}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [CONTAINER], **spec}}
    path = f"{core(namespace, 'pods')}/x?fieldManager=a"
    code, answer = await api.call("PATCH", path, body, content_type=APPLY)
    assert (code, answer.get("reason")) == (500, None)
    assert answer["message"] == f"failed to create typed patch object ({namespace}/x; /v1, Kind=Pod): {told}"


async def test_a_key_that_is_left_out_of_a_kind_of_kubernetes_own_is_empty_and_judged_as_any_value(
    api: Api, namespace: str
) -> None:
    meta = {"name": "x", "namespace": namespace}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [{"image": "i"}]}}
    path = f"{core(namespace, 'pods')}/x?fieldManager=a"
    code, answer = await api.call("PATCH", path, body, content_type=APPLY)
    assert (code, answer.get("reason")) == (422, "Invalid")
    assert answer["message"] == 'Pod "x" is invalid: spec.containers[0].name: Required value'


async def test_all_wrong_types_of_an_apply_are_told(api: Api, served: str) -> None:
    spec = {"namespace": 1, "cordoned": "no", "extra": 1}
    meta = {"name": "c", "namespace": served, "labels": {"a": 1}}
    with pytest.raises(Failed) as refusal:
        await apply(api, labs(served, "c"), {**lab_of(), "metadata": meta, "spec": spec}, "a")
    first, *lines = refusal.value.message.split("\n  ")
    typed = f"({served}/c; {GROUP}/{VERSION}, Kind={KIND})"
    assert first == f"failed to create typed patch object {typed}: errors:"
    # A field that is not declared ends the look at its siblings, whose order is no one's.
    assert ".spec.extra: field not declared in schema" in lines
    assert set(lines) <= {
        ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}",
        ".spec.cordoned: expected boolean, got &{no}",
        ".spec.extra: field not declared in schema",
        ".spec.namespace: expected string, got &value.valueUnstructured{Value:1}",
    }


async def test_quantities_and_ports_are_applied_as_numbers_too(api: Api, namespace: str) -> None:
    spec = {"containers": [{**CONTAINER, "resources": {"limits": {"cpu": 1}}, "ports": [{"containerPort": 80}]}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
    made = await apply(api, f"{core(namespace, 'pods')}/x", body, "a")
    assert made["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "1"}


async def test_finalizers_of_custom_resources_are_shared_too(api: Api, served: str) -> None:
    path = labs(served, "c")
    for name in ("a", "b"):
        meta = {"name": "c", "finalizers": [f"x.io/{name}"]}
        both = await apply(api, path, {**lab_of(), "metadata": meta}, name)
    assert both["metadata"]["finalizers"] == ["x.io/a", "x.io/b"]
    for name in ("a", "b"):
        both = await apply(api, path, lab_of(), name)
    assert "finalizers" not in both["metadata"]


async def test_an_apply_to_what_was_deleted_does_not_make_another(api: Api, path: str) -> None:
    with pytest.raises(Failed) as refusal:
        await apply(api, path, {**config(), "metadata": {"name": "x", "uid": "u"}}, "a")
    assert (refusal.value.code, refusal.value.body["reason"]) == (409, "Conflict")
    assert "the provided object specified uid u, and no existing object was found" in refusal.value.message

"""Objects: optimistic concurrency, preconditions, finalizers, owners, namespaces. Any Kubernetes does this."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.api import Api
from tests.contract.lab import CORE, core, unique
from tests.http_api import Failed, Obj


def config(name: str, **meta: object) -> Obj:
    return {"metadata": {"name": name, **meta}, "data": {"key": "old"}}


def owned(name: str, owner: Obj, **more: object) -> Obj:
    """A ConfigMap that `owner`, another one, owns."""
    meta = owner["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"], **more}
    return config(name, ownerReferences=[reference])


async def test_a_write_from_a_stale_read_is_refused_and_says_to_try_again(api: Api, namespace: str) -> None:
    path = core(namespace, "configmaps", "x")
    read = await api.create(core(namespace, "configmaps"), config("x"))
    await api.merge(path, {"data": {"key": "new"}})
    with pytest.raises(Failed) as refusal:
        await api.replace(path, {**read, "data": {"key": "mine"}})
    assert refusal.value.code == 409
    assert refusal.value.body["reason"] == "Conflict"
    assert refusal.value.message == (
        'Operation cannot be fulfilled on configmaps "x": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert (await api.get(path))["data"] == {"key": "new"}


async def test_of_many_writers_from_one_read_exactly_one_succeeds(api: Api, namespace: str) -> None:
    path = core(namespace, "configmaps", "x")
    read = await api.create(core(namespace, "configmaps"), config("x"))
    writes = [api.call("PUT", path, {**read, "data": {"key": str(number)}}) for number in range(10)]
    codes = sorted(code for code, _ in await asyncio.gather(*writes))
    assert codes == [200, *[409] * 9]


async def test_a_merge_patch_with_a_version_is_held_against_it(api: Api, namespace: str) -> None:
    path = core(namespace, "configmaps", "x")
    read = await api.create(core(namespace, "configmaps"), config("x"))
    await api.merge(path, {"data": {"key": "new"}})
    version = read["metadata"]["resourceVersion"]
    with pytest.raises(Failed) as refusal:
        await api.merge(path, {"metadata": {"resourceVersion": version}, "data": {"key": "mine"}})
    assert (refusal.value.code, refusal.value.body["reason"]) == (409, "Conflict")


async def test_a_json_patch_whose_test_fails_changes_nothing(api: Api, namespace: str) -> None:
    path = core(namespace, "configmaps", "x")
    await api.create(core(namespace, "configmaps"), config("x"))
    patch = [
        {"op": "test", "path": "/data/key", "value": "other"},
        {"op": "replace", "path": "/data/key", "value": "mine"},
    ]
    code, answer = await api.call("PATCH", path, patch, content_type="application/json-patch+json")
    assert (code, answer["reason"]) == (422, "Invalid")
    assert (await api.get(path))["data"] == {"key": "old"}


async def test_a_name_is_taken_once(api: Api, namespace: str) -> None:
    await api.create(core(namespace, "configmaps"), config("x"))
    with pytest.raises(Failed) as refusal:
        await api.create(core(namespace, "configmaps"), config("x"))
    assert (refusal.value.code, refusal.value.body["reason"]) == (409, "AlreadyExists")
    assert refusal.value.message == 'configmaps "x" already exists'


async def test_what_is_not_there_is_not_found_by_name(api: Api, namespace: str) -> None:
    with pytest.raises(Failed) as refusal:
        await api.get(core(namespace, "configmaps", "x"))
    assert (refusal.value.code, refusal.value.body["reason"]) == (404, "NotFound")
    assert refusal.value.message == 'configmaps "x" not found'


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
async def test_a_deletion_is_held_against_its_preconditions(api: Api, namespace: str, field: str) -> None:
    path = core(namespace, "configmaps", "x")
    first = await api.create(core(namespace, "configmaps"), config("x"))
    await api.delete(path)
    second = await api.create(core(namespace, "configmaps"), config("x"))
    with pytest.raises(Failed) as refusal:
        await api.remove(path, preconditions={field: first["metadata"][field]})
    assert (refusal.value.code, refusal.value.body["reason"]) == (409, "Conflict")
    assert "precondition" in refusal.value.message.lower()
    await api.remove(path, preconditions={field: second["metadata"][field]})
    assert await api.find(path) is None


async def test_a_finalizer_keeps_a_deleted_object_until_it_is_removed(api: Api, namespace: str) -> None:
    path = core(namespace, "configmaps", "x")
    await api.create(core(namespace, "configmaps"), config("x", finalizers=["example.com/hold"]))
    await api.delete(path)
    held = await api.get(path)
    assert held["metadata"]["deletionTimestamp"]
    with pytest.raises(Failed) as refusal:
        await api.create(core(namespace, "configmaps"), config("x"))
    assert refusal.value.code == 409
    with pytest.raises(Failed) as refusal:
        await api.merge(path, {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}})
    assert refusal.value.code == 422
    assert "Forbidden: no new finalizers can be added if the object is being deleted" in refusal.value.message
    await api.merge(path, {"metadata": {"finalizers": None}})
    assert await api.find(path) is None


async def test_what_an_object_owns_goes_after_it(api: Api, namespace: str) -> None:
    maps = core(namespace, "configmaps")
    owner = await api.create(maps, config("owner"))
    child = await api.create(maps, owned("child", owner))
    grandchild = await api.create(maps, owned("grandchild", child))
    await api.create(maps, config("other"))
    await api.remove(f"{maps}/owner", propagationPolicy="Background")
    await api.gone(f"{maps}/owner", f"{maps}/child", f"{maps}/{grandchild['metadata']['name']}")
    assert await api.find(f"{maps}/other") is not None


async def test_with_foreground_deletion_the_owner_goes_last(api: Api, namespace: str) -> None:
    maps = core(namespace, "configmaps")
    owner = await api.create(maps, config("owner"))
    child = owned("child", owner, blockOwnerDeletion=True)
    child["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(maps, child)
    await api.remove(f"{maps}/owner", propagationPolicy="Foreground")
    await api.until(f"{maps}/child", lambda one: one and one["metadata"].get("deletionTimestamp"))
    assert (await api.get(f"{maps}/owner"))["metadata"]["finalizers"] == ["foregroundDeletion"]
    await api.merge(f"{maps}/child", {"metadata": {"finalizers": None}})
    await api.gone(f"{maps}/child", f"{maps}/owner")


async def test_orphans_stay(api: Api, namespace: str) -> None:
    maps = core(namespace, "configmaps")
    owner = await api.create(maps, config("owner"))
    await api.create(maps, owned("child", owner))
    await api.remove(f"{maps}/owner", propagationPolicy="Orphan")
    await api.gone(f"{maps}/owner")
    child = await api.until(
        f"{maps}/child", lambda one: one if one and not one["metadata"].get("ownerReferences") else None
    )
    assert "deletionTimestamp" not in child["metadata"]


async def test_a_pod_gets_its_node_by_a_binding_and_only_once(api: Api, namespace: str) -> None:
    container = {"name": "c", "image": "registry.k8s.io/pause:3.10"}
    # Nobody's scheduler, and a node that is not there: nothing else touches it.
    pod = {"metadata": {"name": "x"}, "spec": {"schedulerName": "contract", "containers": [container]}}
    path = core(namespace, "pods", "x")
    made = await api.create(core(namespace, "pods"), pod)
    with pytest.raises(Failed) as refusal:
        await api.merge(path, {"spec": {"nodeName": "contract"}})
    assert (refusal.value.code, refusal.value.body["reason"]) == (422, "Invalid")
    assert "pod updates may not change fields other than" in refusal.value.message
    target = {"apiVersion": "v1", "kind": "Node", "name": "contract"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "x"}, "target": target}
    assert (await api.create(f"{path}/binding", binding))["status"] == "Success"
    bound = await api.get(path)
    assert bound["spec"]["nodeName"] == "contract"
    assert bound["metadata"]["uid"] == made["metadata"]["uid"]
    assert {one["type"]: one["status"] for one in bound["status"]["conditions"]}["PodScheduled"] == "True"
    with pytest.raises(Failed) as refusal:
        await api.create(f"{path}/binding", binding)
    assert (refusal.value.code, refusal.value.body["reason"]) == (409, "Conflict")
    assert refusal.value.message == (
        'Operation cannot be fulfilled on pods/binding "x": pod x is already assigned to node "contract"'
    )
    await api.remove(path, gracePeriodSeconds=0)


async def test_a_namespace_goes_with_all_that_is_in_it(api: Api, namespace: str) -> None:
    held = core(namespace, "configmaps", "held")
    await api.create(core(namespace, "configmaps"), config("held", finalizers=["example.com/hold"]))
    await api.create(core(namespace, "configmaps"), config("x"))
    await api.delete(f"{CORE}/namespaces/{namespace}")
    await api.gone(core(namespace, "configmaps", "x"))
    terminating = await api.get(f"{CORE}/namespaces/{namespace}")
    assert terminating["status"]["phase"] == "Terminating"
    with pytest.raises(Failed) as refusal:
        await api.create(core(namespace, "configmaps"), config("late"))
    assert (refusal.value.code, refusal.value.body["reason"]) == (403, "Forbidden")
    assert refusal.value.message == (
        f'configmaps "late" is forbidden: unable to create new content in namespace {namespace} '
        "because it is being terminated"
    )
    await api.merge(held, {"metadata": {"finalizers": None}})
    await api.gone(f"{CORE}/namespaces/{namespace}")


async def test_nothing_is_made_in_a_namespace_that_is_not_there(api: Api) -> None:
    name = unique("contract")
    with pytest.raises(Failed) as refusal:
        await api.create(core(name, "configmaps"), config("x"))
    assert (refusal.value.code, refusal.value.message) == (404, f'namespaces "{name}" not found')


def service(**spec: object) -> Obj:
    return {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}], **spec}}


def deployment(**spec: object) -> Obj:
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    return {
        "metadata": {"name": "x"},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


@pytest.mark.parametrize(
    ("path", "kind", "obj", "told"),
    [
        (
            "services",
            "Service",
            service(ports="x"),
            "string into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort",
        ),
        (
            "services",
            "Service",
            service(ports=[{"port": "80"}]),
            "string into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            "configmaps",
            "ConfigMap",
            {"metadata": {"name": "x"}, "data": {"k": 1}},
            "number into Go struct field ConfigMap.data of type string",
        ),
        (
            "configmaps",
            "ConfigMap",
            {"metadata": {"name": "x", "labels": {"a": True}}},
            "bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            "deployments",
            "Deployment",
            deployment(replicas="3"),
            "string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "deployments",
            "Deployment",
            deployment(replicas=1.5),
            "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
    ],
)
async def test_a_value_that_does_not_fit_its_field_is_a_bad_request(
    api: Api, namespace: str, path: str, kind: str, obj: Obj, told: str
) -> None:
    root = "/apis/apps/v1" if path == "deployments" else CORE
    code, answer = await api.call("POST", f"{root}/namespaces/{namespace}/{path}", obj)
    assert (code, answer["reason"]) == (400, "BadRequest")
    assert answer["message"] == f'{kind} in version "v1" cannot be handled as a {kind}: json: cannot unmarshal {told}'


async def test_what_go_reads_leniently_is_accepted(api: Api, namespace: str) -> None:
    # Nulls fit everything, a quantity may be a number, a port's target may be either.
    await api.create(core(namespace, "configmaps"), {"metadata": {"name": "x", "labels": None}, "data": None})
    await api.create(core(namespace, "services"), service(ports=[{"port": 80, "targetPort": "http"}]))
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": 1024}}}
    made = await api.create(core(namespace, "persistentvolumeclaims"), {"metadata": {"name": "x"}, "spec": claim})
    assert made["spec"]["resources"]["requests"] == {"storage": "1024"}


async def test_a_patch_to_a_value_that_does_not_fit_is_invalid(api: Api, namespace: str) -> None:
    await api.create(core(namespace, "configmaps"), config("x"))
    with pytest.raises(Failed) as refusal:
        await api.merge(f"{core(namespace, 'configmaps')}/x", {"data": {"key": 1}})
    assert (refusal.value.code, refusal.value.body["reason"]) == (422, "Invalid")
    assert "json: cannot unmarshal number into Go struct field ConfigMap.data of type string" in refusal.value.message


@pytest.mark.parametrize(("method", "named"), [("PUT", False), ("PATCH", False), ("POST", True)])
async def test_a_method_is_of_one_object_or_of_all(api: Api, namespace: str, method: str, named: bool) -> None:
    path = core(namespace, "configmaps", *(["x"] if named else []))
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    code, answer = await api.call(method, path, config("x"), content_type=content_type)
    assert (code, answer["reason"]) == (405, "MethodNotAllowed")
    assert answer["message"] == "the server does not allow this method on the requested resource"


async def test_a_secret_that_is_no_base64_is_a_bad_request(api: Api, namespace: str) -> None:
    code, answer = await api.call("POST", core(namespace, "secrets"), {"metadata": {"name": "x"}, "data": {"k": "%"}})
    assert (code, answer["reason"]) == (400, "BadRequest")
    told = 'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0'
    assert answer["message"] == told


@pytest.mark.parametrize("plural", ["configmaps", "secrets"])
async def test_keys_are_names_of_files(api: Api, namespace: str, plural: str) -> None:
    async def told(**data: str) -> str:
        code, answer = await api.call("POST", core(namespace, plural), {"metadata": {"name": "x"}, "data": data})
        assert (code, answer["reason"]) == (422, "Invalid")
        return str(answer["message"])

    key = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    assert f'data[a b]: Invalid value: "a b": {key}' in await told(**{"a b": ""})
    assert "data[..]: Invalid value: \"..\": must not be '..'" in await told(**{"..": ""})


@pytest.mark.parametrize("plural", ["configmaps", "secrets"])
async def test_what_is_immutable_stays_as_it_is_and_can_be_deleted(api: Api, namespace: str, plural: str) -> None:
    body = {"metadata": {"name": "x"}, "data": {"k": "YWJj"}, "immutable": True}
    await api.create(core(namespace, plural), body)
    path = f"{core(namespace, plural)}/x"
    for field, value in (("data", {"k": "YWJk"}), ("immutable", None)):
        with pytest.raises(Failed) as refusal:
            await api.merge(path, {field: value})
        assert refusal.value.code == 422
        assert f"{field}: Forbidden: field is immutable when `immutable` is set" in refusal.value.message
    await api.merge(path, {"metadata": {"labels": {"a": "b"}}})
    await api.remove(path)


async def test_the_status_that_the_server_begins_with_is_nobodys(api: Api, namespace: str) -> None:
    container = {"name": "c", "image": "i"}
    made = await api.create(core(namespace, "pods"), {"metadata": {"name": "x"}, "spec": {"containers": [container]}})
    assert made["status"]["phase"] == "Pending"
    assert not [one for one in made["metadata"]["managedFields"] if "f:status" in one["fieldsV1"]]

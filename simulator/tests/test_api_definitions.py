"""CustomResourceDefinitions over HTTP: registration, validation, defaults, subresources, versions, columns, the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http_api import Api, Failed

Obj = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
THINGS = "/apis/x.io/v1/namespaces/default/things"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


def definition(**more: Any) -> Obj:
    spec = {
        "type": "object",
        "properties": {
            "size": {"type": "integer", "minimum": 1, "default": 1},
            "mode": {"type": "string", "enum": ["a", "b"]},
        },
        "x-kubernetes-validations": [{"rule": "self.size >= oldSelf.size", "message": "never shrinks"}],
    }
    status = {
        "type": "object",
        "properties": {"phase": {"type": "string"}, "replicas": {"type": "integer"}, "since": {"type": "string"}},
    }
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": schema,
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.replicas"},
        },
        "additionalPrinterColumns": [
            {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
            {"name": "Since", "type": "date", "jsonPath": ".status.since"},
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1},
        ],
        "selectableFields": [{"jsonPath": ".status.phase"}],
        **more,
    }
    old = {**version, "name": "v1alpha1", "storage": False, "deprecated": True}
    names = {"plural": "things", "kind": "Thing", "shortNames": ["th"], "categories": ["all"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.x.io"},
        "spec": {"group": "x.io", "names": names, "scope": "Namespaced", "versions": [version, old]},
    }


def versioned(*schemas: Obj) -> Obj:
    """A definition's spec with a version for each schema."""
    versions = [
        {"name": f"v{index}", "served": True, "storage": index == 1, "schema": {"openAPIV3Schema": schema}}
        for index, schema in enumerate(schemas, 1)
    ]
    return {**definition()["spec"], "versions": versions}


def established(obj: Obj | None) -> bool:
    return any(
        one["type"] == "Established" and one["status"] == "True"
        for one in ((obj or {}).get("status") or {}).get("conditions") or []
    )


@pytest.fixture
async def things(bare: Api) -> Api:
    await bare.create(CRDS, definition())
    await bare.until(f"{CRDS}/things.x.io", established)
    return bare


def thing(name: str, **spec: Any) -> Obj:
    return {"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec}


async def test_definition_is_accepted_and_established(things: Api) -> None:
    made = await things.get(f"{CRDS}/things.x.io")
    assert {one["type"] for one in made["status"]["conditions"]} == {"NamesAccepted", "Established"}
    assert made["status"]["acceptedNames"]["listKind"] == "ThingList"
    assert made["status"]["storedVersions"] == ["v1"]
    resources = (await things.get("/apis/x.io/v1"))["resources"]
    assert [one["name"] for one in resources] == ["things", "things/status", "things/scale"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"name": "wrong.x.io"}}, 'must be spec.names.plural+"."+spec.group'),
        ({"spec": {**definition()["spec"], "group": ""}}, "spec.group: Required value"),
        ({"spec": {**definition()["spec"], "scope": "World"}}, 'spec.scope: Unsupported value: "World"'),
        (
            {"spec": {**definition()["spec"], "versions": [{"name": "v1", "served": True, "storage": True}]}},
            "schemas are required",
        ),
        (
            {"spec": {**definition()["spec"], "versions": [{**definition()["spec"]["versions"][0], "name": "One"}]}},
            'spec.versions[0].name: Invalid value: "One": a DNS-1035 label must consist of',
        ),
        (
            {"spec": versioned({"type": "object", "properties": {"a": {}}})},
            'CustomResourceDefinition.apiextensions.k8s.io "things.x.io" is invalid: spec.validation.openAPIV3Schema'
            ".properties[a].type: Required value: must not be empty for specified object fields",
        ),
        (
            {"spec": versioned({"type": "object"}, {"type": "object", "properties": {"a": {}}})},
            "spec.versions[1].schema.openAPIV3Schema.properties[a].type: Required value",
        ),
    ],
)
async def test_definition_that_cannot_be_is_refused(bare: Api, change: Obj, message: str) -> None:
    with pytest.raises(Failed) as caught:
        await bare.create(CRDS, definition() | change)
    assert caught.value.code == 422
    assert message in caught.value.message


async def test_what_a_definition_serves_stays_what_it_is(things: Api) -> None:
    with pytest.raises(Failed) as caught:
        await things.merge(f"{CRDS}/things.x.io", {"spec": {"scope": "Cluster", "names": {"kind": "Other"}}})
    assert 'spec.scope: Invalid value: "Cluster": field is immutable' in caught.value.message
    assert 'spec.names.kind: Invalid value: "Other": field is immutable' in caught.value.message


def with_field(**field: Any) -> Obj:
    return {"versions": versioned({"type": "object", "properties": {"a": field}})["versions"]}


def with_version(**more: Any) -> Obj:
    return {"versions": [{**definition()["spec"]["versions"][0], **more}]}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            with_field(type="array"),
            "spec.validation.openAPIV3Schema.properties[a].items: Required value: must be speci",
        ),
        (
            with_field(type="string", default=1),
            '[a].default: Invalid value: "integer":  in body must be of type string',
        ),
        (
            with_version(selectableFields=[{"jsonPath": "spec.mode"}]),
            "spec.selectableFields[0].jsonPath: Invalid value",
        ),
        (with_version(selectableFields=[{"jsonPath": ".spec.nope"}]), "invalid path: does not refer to a valid field"),
        (
            with_version(selectableFields=[{"jsonPath": ".spec"}]),
            "must point to a field of type string, boolean or int",
        ),
        (with_version(selectableFields=[{"jsonPath": ".spec.mode"}] * 2), 'jsonPath: Duplicate value: ".spec.mode"'),
        (
            with_version(additionalPrinterColumns=[{"name": "A", "type": "text", "jsonPath": ".spec"}]),
            'spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number',
        ),
        (
            with_version(additionalPrinterColumns=[{"name": "A", "type": "string", "jsonPath": "spec"}]),
            '.JSONPath: Invalid value: "spec": must be a simple json path starting with .',
        ),
        (
            with_version(subresources={"scale": {"specReplicasPath": ".x", "statusReplicasPath": "status.y"}}),
            '[spec.subresources.scale.specReplicasPath: Invalid value: ".x": should be a json path under .spec, ',
        ),
    ],
)
async def test_what_a_version_says_beside_its_schema_is_judged(bare: Api, spec: Obj, told: str) -> None:
    crd = definition()
    with pytest.raises(Failed) as refusal:
        await bare.create(CRDS, {**crd, "spec": {**crd["spec"], **spec}})
    assert (refusal.value.code, refusal.value.body["reason"]) == (422, "Invalid")
    assert told in refusal.value.message


async def test_groups_of_kubernetes_itself_need_an_approval(bare: Api) -> None:
    crd = definition()
    mine = {**crd, "metadata": {"name": "things.x.k8s.io"}, "spec": {**crd["spec"], "group": "x.k8s.io"}}
    with pytest.raises(Failed, match="protected groups must have approval annotation"):
        await bare.create(CRDS, mine)
    approved = {"name": "things.x.k8s.io", "annotations": {"api-approved.kubernetes.io": "unapproved, a test"}}
    await bare.create(CRDS, {**mine, "metadata": approved})


async def test_a_null_where_none_is_allowed_is_as_good_as_nothing(things: Api) -> None:
    made = await things.create(THINGS, {**thing("x", mode=None), "status": None})
    assert made["spec"] == {"size": 1}
    with pytest.raises(Failed) as refusal:
        await things.create(THINGS, {**thing("y"), "kind": "Other"})
    assert refusal.value.code == 422
    assert refusal.value.message == 'Other.x.io "y" is invalid: kind: Invalid value: "Other": must be Thing'


async def test_objects_are_defaulted_validated_and_pruned(things: Api) -> None:
    made = await things.create(THINGS, {**thing("x", extra=1), "status": {"phase": "Made up"}})
    assert made["spec"] == {"size": 1}
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    with pytest.raises(Failed) as caught:
        await things.create(THINGS, thing("y", size=0, mode="c"))
    assert caught.value.code == 422
    assert caught.value.message == (
        'Thing.x.io "y" is invalid: [spec.size: Invalid value: 0: spec.size in body should be greater than or equal to'
        ' 1, spec.mode: Unsupported value: "c": supported values: "a", "b", <nil>: Invalid value: "null": some'
        " validation rules were not checked because the object was invalid; correct the existing errors to complete"
        " validation]"
    )
    assert [cause["field"] for cause in caught.value.body["details"]["causes"]] == ["spec.size", "spec.mode", "<nil>"]


async def test_rules_compare_with_what_was(things: Api) -> None:
    await things.create(THINGS, thing("x", size=3))
    with pytest.raises(Failed, match=r'Thing\.x\.io "x" is invalid: spec: Invalid value: "object": never shrinks'):
        await things.merge(f"{THINGS}/x", {"spec": {"size": 2}})


async def test_generation_counts_the_spec_alone(things: Api) -> None:
    await things.create(THINGS, thing("x"))
    labelled = await things.merge(f"{THINGS}/x", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    assert (await things.merge(f"{THINGS}/x", {"spec": {"size": 2}}))["metadata"]["generation"] == 2
    assert (await things.merge(f"{THINGS}/x/status", {"status": {"phase": "P"}}))["metadata"]["generation"] == 2


async def test_status_and_spec_are_written_apart(things: Api) -> None:
    made = await things.create(THINGS, thing("x"))
    _, changed = await things.call("PUT", f"{THINGS}/x/status", {**made, "spec": {"size": 9}, "status": {"phase": "P"}})
    assert (changed["spec"], changed["status"]) == ({"size": 1}, {"phase": "P"})
    plain = await things.merge(f"{THINGS}/x", {"spec": {"size": 5}, "status": {"phase": "Q"}})
    assert (plain["spec"], plain["status"]) == ({"size": 5}, {"phase": "P"})


async def test_update_of_a_custom_resource_must_say_its_version(things: Api) -> None:
    await things.create(THINGS, thing("x"))
    code, answer = await things.call("PUT", f"{THINGS}/x", thing("x"))
    assert code == 422
    assert "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update" in answer["message"]


async def test_strategic_patch_of_a_custom_resource_is_not_supported(things: Api) -> None:
    await things.create(THINGS, thing("x"))
    content = "application/strategic-merge-patch+json"
    code, answer = await things.call("PATCH", f"{THINGS}/x", {"spec": {"size": 2}}, content_type=content)
    assert (code, answer["reason"]) == (415, "UnsupportedMediaType")


async def test_scale_is_a_number_of_the_object(things: Api) -> None:
    await things.create(THINGS, thing("x", size=2))
    scale = await things.get(f"{THINGS}/x/scale")
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 2})
    scale["spec"]["replicas"] = 4
    await things.call("PUT", f"{THINGS}/x/scale", scale)
    assert (await things.get(f"{THINGS}/x"))["spec"]["size"] == 4


async def test_other_versions_show_the_same_object(things: Api) -> None:
    await things.create(THINGS, thing("x"))
    old = await things.get(THINGS.replace("v1/", "v1alpha1/") + "/x")
    assert old["apiVersion"] == "x.io/v1alpha1"
    assert old["spec"] == {"size": 1}


async def test_declared_fields_can_be_selected(things: Api) -> None:
    for name, phase in (("x", "P"), ("y", "Q")):
        await things.create(THINGS, thing(name))
        await things.merge(f"{THINGS}/{name}/status", {"status": {"phase": phase}})
    assert [one["metadata"]["name"] for one in await things.items(f"{THINGS}?fieldSelector=status.phase%3DQ")] == ["y"]
    with pytest.raises(Failed, match=r"field label not supported: spec\.size"):
        await things.items(f"{THINGS}?fieldSelector=spec.size%3D1")


async def test_table_has_the_declared_columns(things: Api) -> None:
    await things.create(THINGS, thing("x"))
    await things.merge(f"{THINGS}/x/status", {"status": {"phase": "P", "since": "2000-01-01T00:00:00Z"}})
    _, table = await things.call("GET", THINGS, accept=TABLE)
    assert [one["name"] for one in table["columnDefinitions"]] == ["Name", "Phase", "Since", "Size"]
    assert table["columnDefinitions"][3]["priority"] == 1
    (row,) = table["rows"]
    assert row["cells"][:2] == ["x", "P"]
    assert row["cells"][2].endswith("y")
    assert row["object"]["kind"] == "PartialObjectMetadata"


async def test_definition_goes_with_all_its_objects(things: Api) -> None:
    await things.create(THINGS, {**thing("x"), "metadata": {"name": "x", "finalizers": ["a.b/c"]}})
    await things.create(THINGS, thing("y"))
    await things.delete(f"{CRDS}/things.x.io")
    await things.until(f"{THINGS}/y", lambda obj: obj is None)
    assert (await things.get(f"{CRDS}/things.x.io"))["metadata"]["deletionTimestamp"]
    await things.merge(f"{THINGS}/x", {"metadata": {"finalizers": None}})
    await things.until(f"{CRDS}/things.x.io", lambda obj: obj is None)
    assert (await things.call("GET", THINGS))[0] == 404


async def test_definition_that_goes_says_so_and_takes_nothing_new(things: Api) -> None:
    await things.create(THINGS, {**thing("x", mode="a"), "metadata": {"name": "x", "finalizers": ["x.io/held"]}})
    await things.delete(f"{CRDS}/things.x.io")

    def ending(crd: Obj | None) -> list[Obj]:
        conditions = ((crd or {}).get("status") or {}).get("conditions") or []
        return [one for one in conditions if one["type"] == "Terminating"]

    (condition,) = await things.until(f"{CRDS}/things.x.io", ending)
    assert (condition["status"], condition["reason"]) == ("True", "InstanceDeletionInProgress")
    code, answer = await things.call("POST", THINGS, thing("y", mode="a"))
    assert (code, answer["reason"]) == (405, "MethodNotAllowed")
    assert answer["message"] == "create not allowed while custom resource definition is terminating"
    await things.merge(f"{THINGS}/x", {"metadata": {"finalizers": None}})
    await things.until(f"{CRDS}/things.x.io", lambda crd: crd is None)


async def test_openapi_describes_the_kind(things: Api) -> None:
    index = await things.get("/openapi/v3")
    document = await things.get(index["paths"]["apis/x.io/v1"]["serverRelativeURL"])
    schemas = document["components"]["schemas"]
    kinds = [
        one["x-kubernetes-group-version-kind"] for one in schemas.values() if "x-kubernetes-group-version-kind" in one
    ]
    assert [{"group": "x.io", "version": "v1", "kind": "Thing"}] in kinds
    patch = document["paths"]["/apis/x.io/v1/namespaces/{namespace}/things/{name}"]["patch"]
    assert "fieldValidation" in [one["name"] for one in patch["parameters"]]

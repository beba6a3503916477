"""The pool's own kinds, as their definitions ask any API server to hold them: schema, rules, status apart."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.contract.api import Api
from tests.http_api import Failed, Obj

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FILES = sorted((REPOSITORY / "deployments" / "crds").glob("cks.io_*.yaml"))
NOW = "2026-01-01T00:00:00Z"
SNAPSHOT = {"name": "snap", "uid": "u"}
GOLDEN = {"generation": 1, "controlPlane": SNAPSHOT, "worker": SNAPSHOT, "takenAt": NOW}
HELD = {"phase": "locked", "epoch": 1, "assignedSession": "s", "lockTime": NOW, "expiresAt": NOW, "golden": GOLDEN}
AVAILABLE = {"phase": "available", "epoch": 0, "golden": GOLDEN, "clean": True}
CREATING = {"phase": "creating", "epoch": 0}
OPERATION = {"kind": "reset", "runId": "r", "startedAt": NOW, "heartbeatAt": NOW}
WORKED_ON = {**CREATING, "operation": OPERATION}


def established(definition: Obj | None) -> bool:
    conditions = ((definition or {}).get("status") or {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


@pytest.fixture
async def pool(api: Api, namespace: str) -> str:
    """A namespace where the pool's kinds are served."""
    for file in FILES:
        definition = yaml.safe_load(file.read_text())
        await api.ensure(DEFINITIONS, definition)
        await api.until(f"{DEFINITIONS}/{definition['metadata']['name']}", established)
    return namespace


def clusters(namespace: str, name: str = "", subresource: str = "") -> str:
    tail = "".join(f"/{part}" for part in (name, subresource) if part)
    return f"/apis/cks.io/v1alpha1/namespaces/{namespace}/pooledclusters{tail}"


def sessions(namespace: str, name: str = "", subresource: str = "") -> str:
    return clusters(namespace, name, subresource).replace("pooledclusters", "sessions")


def cluster(name: str = "c", **spec: Any) -> Obj:
    body = {"namespace": "c", **spec}
    return {"apiVersion": "cks.io/v1alpha1", "kind": "PooledCluster", "metadata": {"name": name}, "spec": body}


def session(name: str = "s", **spec: Any) -> Obj:
    return {"apiVersion": "cks.io/v1alpha1", "kind": "Session", "metadata": {"name": name}, "spec": spec}


async def put_status(api: Api, path: str, status: Obj) -> Obj:
    """The whole status, at the object's present version. Raises Failed."""
    obj = await api.get(path)
    return await api.replace(f"{path}/status", {**obj, "status": status})


async def in_state(api: Api, pool: str, *states: Obj) -> str:
    """Path of a new cluster that went through these statuses."""
    await api.create(clusters(pool), cluster())
    for status in states:
        await put_status(api, clusters(pool, "c"), status)
    return clusters(pool, "c")


async def test_the_status_is_written_apart_from_the_spec(api: Api, pool: str) -> None:
    made = await api.create(clusters(pool), {**cluster(), "status": CREATING})
    assert "status" not in made
    assert made["spec"] == {"pool": "default", "namespace": "c", "cordoned": False}
    path = clusters(pool, "c")
    written = await put_status(api, path, CREATING)
    assert written["metadata"]["generation"] == 1
    changed = await api.replace(path, {**written, "spec": {"namespace": "c", "cordoned": True}, "status": HELD})
    assert changed["status"] == written["status"]
    assert changed["metadata"]["generation"] == 2
    again = await api.replace(f"{path}/status", {**changed, "spec": {"namespace": "c", "cordoned": False}})
    assert again["spec"]["cordoned"] is True


async def test_a_stale_status_write_is_refused(api: Api, pool: str) -> None:
    path = await in_state(api, pool, CREATING)
    read = await api.get(path)
    await api.merge(path, {"metadata": {"labels": {"a": "b"}}})
    with pytest.raises(Failed) as refusal:
        await api.replace(f"{path}/status", {**read, "status": AVAILABLE})
    assert refusal.value.code == 409
    assert refusal.value.message == (
        'Operation cannot be fulfilled on pooledclusters.cks.io "c": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        (cluster(namespace=None), "spec.namespace"),
        (cluster(namespace="No_Label"), "spec.namespace in body should match"),
        (cluster(namespace=7), "spec.namespace"),
        (cluster(cordoned="yes"), "spec.cordoned"),
        (cluster("c" * 41), "a cluster's name has at most 40 characters"),
        (session(ttlSeconds=59), "spec.ttlSeconds in body should be greater than or equal to 60"),
        (session(priority=101), "spec.priority in body should be less than or equal to 100"),
    ],
)
async def test_what_breaks_the_schema_is_invalid(api: Api, pool: str, obj: Obj, told: str) -> None:
    with pytest.raises(Failed) as refusal:
        await api.create(clusters(pool) if obj["kind"] == "PooledCluster" else sessions(pool), obj)
    assert (refusal.value.code, refusal.value.body["reason"]) == (422, "Invalid")
    assert told in refusal.value.message


async def test_a_clusters_namespace_never_changes(api: Api, pool: str) -> None:
    path = await in_state(api, pool)
    with pytest.raises(Failed) as refusal:
        await api.merge(path, {"spec": {"namespace": "other"}})
    assert refusal.value.code == 422
    assert "a cluster's namespace never changes" in refusal.value.message


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ([], {"phase": "broken", "epoch": 0}, 'Unsupported value: "broken"'),
        ([], {"phase": "creating", "epoch": -1}, "should be greater than or equal to 0"),
        ([], {"phase": "locked", "epoch": 0, "golden": GOLDEN}, "a locked cluster has assignedSession"),
        (
            [WORKED_ON],
            {"phase": "available", "epoch": 0, "clean": True},
            "an available cluster has a golden generation",
        ),
        ([WORKED_ON], {**AVAILABLE, "clean": False}, "an available cluster is clean"),
        ([], AVAILABLE, "a cluster becomes clean only by the operation that attested it"),
        ([CREATING], AVAILABLE, "a cluster becomes clean only by the operation that attested it"),
        ([WORKED_ON], {**AVAILABLE, "operation": OPERATION}, "nobody works on an available cluster"),
        ([CREATING], {**CREATING, "assignedSession": "s"}, "only a locked cluster"),
        ([CREATING], HELD, "the lifecycle has no such transition"),
        ([WORKED_ON, AVAILABLE, HELD], {**HELD, "assignedSession": "t"}, "a held cluster does not change hands"),
        ([WORKED_ON, AVAILABLE, HELD], {**HELD, "epoch": 0}, "the epoch never goes back"),
    ],
)
async def test_the_rules_of_a_clusters_life_are_kept(
    api: Api, pool: str, before: list[Obj], after: Obj, told: str
) -> None:
    path = await in_state(api, pool, *before)
    kept = await api.get(path)
    with pytest.raises(Failed) as refusal:
        await put_status(api, path, after)
    assert (refusal.value.code, refusal.value.body["reason"]) == (422, "Invalid")
    assert told in refusal.value.message
    assert await api.get(path) == kept


async def test_what_ends_stays_ended(api: Api, pool: str) -> None:
    await api.create(sessions(pool), session())
    path = sessions(pool, "s")
    active = {"phase": "Active", "assignedCluster": "c", "epoch": 1, "expiresAt": NOW}
    with pytest.raises(Failed, match="an active session has assignedCluster"):
        await put_status(api, path, {"phase": "Active"})
    for status in ({"phase": "Pending"}, active, {"phase": "Released"}):
        await put_status(api, path, status)
    with pytest.raises(Failed, match="an ended session stays ended") as refusal:
        await put_status(api, path, active)
    assert refusal.value.code == 422


async def test_clusters_are_selected_by_phase_and_session(api: Api, pool: str) -> None:
    await in_state(api, pool, WORKED_ON, AVAILABLE, HELD)
    await api.create(clusters(pool), cluster("d"))
    await put_status(api, clusters(pool, "d"), CREATING)
    assert await api.names(clusters(pool), fieldSelector="status.phase=locked") == ["c"]
    assert await api.names(clusters(pool), fieldSelector="status.assignedSession=s") == ["c"]
    assert await api.names(clusters(pool), fieldSelector="status.phase!=locked") == ["d"]


async def test_unknown_fields_are_dropped_and_named_when_asked_to_be_strict(api: Api, pool: str) -> None:
    made = await api.create(clusters(pool), cluster(colour="red"))
    assert "colour" not in made["spec"]
    code, answer = await api.call("POST", f"{clusters(pool)}?fieldValidation=Strict", cluster("d", colour="red"))
    assert (code, answer["reason"]) == (400, "BadRequest")
    assert 'unknown field "spec.colour"' in answer["message"]


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({"labels": {"a": 1}}, "number into Go struct field ObjectMeta.labels of type string"),
        ({"finalizers": "x"}, "string into Go struct field ObjectMeta.finalizers of type []string"),
    ],
)
async def test_metadata_of_the_wrong_type_is_a_bad_request(api: Api, pool: str, meta: Obj, told: str) -> None:
    code, answer = await api.call("POST", clusters(pool), {**cluster(), "metadata": {"name": "c", **meta}})
    assert (code, answer["reason"]) == (400, "BadRequest")
    assert f"json: cannot unmarshal {told}" in answer["message"]


async def test_unknown_metadata_is_dropped_and_named_when_asked_to_be_strict(api: Api, pool: str) -> None:
    body = {**cluster(), "metadata": {"name": "c", "extra": 1}}
    code, answer = await api.call("POST", f"{clusters(pool)}?fieldValidation=Strict", body)
    assert (code, answer["reason"]) == (400, "BadRequest")
    assert 'strict decoding error: unknown field "metadata.extra"' in answer["message"]
    made = await api.create(clusters(pool), body)
    assert "extra" not in made["metadata"]


async def test_a_subresource_that_the_definition_has_not_is_not_found(api: Api, pool: str) -> None:
    made = await api.create(clusters(pool), cluster())
    code, answer = await api.call("PUT", clusters(pool, "c", "scale"), made)
    assert (code, answer["reason"]) == (404, "NotFound")
    assert answer["message"] == 'pooledclusters.cks.io "c" not found'


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("kind", "the object provided is unrecognized (must be of type PooledCluster): Object 'Kind' is missing in"),
        ("apiVersion", "the API version in the data () does not match the expected API version (cks.io/v1alpha1)"),
    ],
)
async def test_a_custom_resource_says_what_it_is(api: Api, pool: str, field: str, told: str) -> None:
    body = {key: value for key, value in cluster().items() if key != field}
    code, answer = await api.call("POST", clusters(pool), body)
    assert (code, answer["reason"]) == (400, "BadRequest")
    assert answer["message"].startswith(told)


async def test_a_default_keeps_the_rules_as_it_stands(api: Api) -> None:
    """Defaults inside a default come later, so rules do not see them yet."""
    number = {"type": "integer", "default": 1}
    limits = {
        "type": "object",
        "properties": {"low": number, "high": number},
        "x-kubernetes-validations": [{"rule": "self.low <= self.high", "message": "low is at most high"}],
    }
    for default, said in (
        ({}, "no such key: low evaluating rule: low is at most high"),
        ({"low": 2, "high": 1}, "low is at most high"),
        ({"low": "x"}, "must be of type integer"),
        ({"low": 1, "high": 1}, ""),
    ):
        spec = {"type": "object", "properties": {"limits": {**limits, "default": default}}}
        version = {"name": "v1", "served": True, "storage": True}
        schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "limits.contract.cks.io"},
            "spec": {
                "group": "contract.cks.io",
                "names": {"plural": "limits", "kind": "Limit"},
                "scope": "Namespaced",
                "versions": [{**version, "schema": schema}],
            },
        }
        code, answer = await api.call("POST", f"{DEFINITIONS}?dryRun=All", definition)
        message = answer.get("message", "")
        assert (code, said in message) == (422 if said else 201, True), message
        assert not said or "spec.validation.openAPIV3Schema.properties[spec].properties[limits].default" in message

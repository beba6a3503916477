"""Objects over HTTP: create, read, update, patch, delete, and every refusal with its code, reason and words."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from simulator.api.requests import ADMIN, Request
from simulator.api.server import ApiServer
from simulator.app import Simulator
from tests.http_api import Api, Failed

Obj = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"


def config(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def refused(api: Api, method: str, path: str, body: Any = None, **how: Any) -> tuple[int, str, str]:
    code, answer = await api.call(method, path, body, **how)
    assert code >= 400, answer
    assert answer["kind"] == "Status"
    assert answer["code"] == code
    return code, answer["reason"], answer["message"]


async def test_created_object_has_an_identity(bare: Api) -> None:
    made = await bare.create(MAPS, config("x", a="1"))
    meta = made["metadata"]
    assert {"uid", "creationTimestamp", "resourceVersion"} <= set(meta)
    assert meta["namespace"] == "default"
    assert await bare.get(f"{MAPS}/x") == made


async def test_second_of_a_name_already_exists(bare: Api) -> None:
    await bare.create(MAPS, config("x"))
    assert await refused(bare, "POST", MAPS, config("x")) == (409, "AlreadyExists", 'configmaps "x" already exists')


async def test_missing_object_is_not_found(bare: Api) -> None:
    assert await refused(bare, "GET", f"{MAPS}/x") == (404, "NotFound", 'configmaps "x" not found')
    assert await refused(bare, "DELETE", f"{MAPS}/x") == (404, "NotFound", 'configmaps "x" not found')


async def test_unknown_resource_is_answered_in_plain_text(bare: Api) -> None:
    assert await bare.call("GET", "/apis/no.such/v1/things") == (404, "404 page not found\n")


async def test_missing_namespace_is_not_found(bare: Api) -> None:
    path = "/api/v1/namespaces/nowhere/configmaps"
    assert await refused(bare, "POST", path, config("x")) == (404, "NotFound", 'namespaces "nowhere" not found')


async def test_generated_names_differ(bare: Api) -> None:
    body = {"metadata": {"generateName": "x-"}}
    first, second = await bare.create(MAPS, body), await bare.create(MAPS, body)
    assert first["metadata"]["name"].startswith("x-")
    assert first["metadata"]["name"] != second["metadata"]["name"]


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({}, "metadata.name: Required value: name or generateName is required"),
        (
            {"name": "Bad_Name"},
            'metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of',
        ),
        ({"name": "x" * 254}, "must be no more than 253 bytes"),
        (
            {"name": "x", "labels": {"a": "b c"}},
            'metadata.labels: Invalid value: "b c": a valid label must be an empty string',
        ),
        ({"name": "x", "labels": {"-a": "b"}}, 'metadata.labels: Invalid value: "-a": name part must consist of'),
        ({"name": "x", "finalizers": ["a b"]}, 'metadata.finalizers: Invalid value: "a b"'),
        (
            {"name": "x", "ownerReferences": [{"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": ""}]},
            "metadata.ownerReferences.uid",
        ),
    ],
)
async def test_metadata_that_cannot_be_is_invalid(bare: Api, meta: Obj, message: str) -> None:
    code, reason, said = await refused(bare, "POST", MAPS, {"metadata": meta})
    assert (code, reason) == (422, "Invalid")
    assert message in said


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"apiVersion": "v2", "metadata": {"name": "x"}}, "the API version in the data (v2) does not match"),
        ({"kind": "Secret", "metadata": {"name": "x"}}, "the kind in the data (Secret) does not match"),
        ({"metadata": {"name": "x", "namespace": "other"}}, "the namespace of the provided object does not match"),
    ],
)
async def test_body_of_something_else_is_a_bad_request(bare: Api, body: Obj, message: str) -> None:
    code, reason, said = await refused(bare, "POST", MAPS, body)
    assert (code, reason) == (400, "BadRequest")
    assert message in said


async def test_stale_update_conflicts_and_changes_nothing(bare: Api) -> None:
    first = await bare.create(MAPS, config("x", a="1"))
    await bare.call("PUT", f"{MAPS}/x", {**first, "data": {"a": "2"}})
    code, reason, said = await refused(bare, "PUT", f"{MAPS}/x", {**first, "data": {"a": "3"}})
    assert (code, reason) == (409, "Conflict")
    assert said == (
        'Operation cannot be fulfilled on configmaps "x": the object has been modified; please apply your changes to'
        " the latest version and try again"
    )
    assert (await bare.get(f"{MAPS}/x"))["data"] == {"a": "2"}


async def test_of_many_writers_at_once_exactly_one_wins(bare: Api) -> None:
    first = await bare.create(MAPS, config("x"))
    tries = [bare.call("PUT", f"{MAPS}/x", {**first, "data": {"by": str(one)}}) for one in range(20)]
    codes = [code for code, _ in await asyncio.gather(*tries)]
    assert sorted(codes) == [200] + [409] * 19


async def test_update_without_a_change_keeps_the_version(bare: Api) -> None:
    first = await bare.create(MAPS, config("x", a="1"))
    _, again = await bare.call("PUT", f"{MAPS}/x", first)
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_update_of_a_predecessor_conflicts(bare: Api) -> None:
    first = await bare.create(MAPS, config("x"))
    await bare.delete(f"{MAPS}/x")
    await bare.create(MAPS, config("x"))
    del first["metadata"]["resourceVersion"]
    code, _, said = await refused(bare, "PUT", f"{MAPS}/x", first)
    assert code == 409
    assert "Precondition failed: UID in precondition" in said


async def test_patch_with_a_version_is_a_compare_and_swap(bare: Api) -> None:
    first = await bare.create(MAPS, config("x", a="1"))
    patch = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"a": "2"}}
    await bare.merge(f"{MAPS}/x", patch)
    code, *_ = await refused(bare, "PATCH", f"{MAPS}/x", patch, content_type=MERGE)
    assert code == 409


async def test_patches_at_once_without_versions_all_land(bare: Api) -> None:
    await bare.create(MAPS, config("x"))
    await asyncio.gather(*(bare.merge(f"{MAPS}/x", {"data": {f"k{one}": "v"}}) for one in range(20)))
    assert len((await bare.get(f"{MAPS}/x"))["data"]) == 20


async def test_identity_and_times_cannot_be_written(bare: Api) -> None:
    first = await bare.create(MAPS, config("x"))
    meta = {"creationTimestamp": "2000-01-01T00:00:00Z", "generation": 9}
    changed = await bare.merge(f"{MAPS}/x", {"metadata": {**meta, "labels": {"a": "b"}}})
    assert changed["metadata"]["creationTimestamp"] == first["metadata"]["creationTimestamp"]
    with pytest.raises(Failed, match="deletionTimestamp: Invalid value: "):
        await bare.merge(f"{MAPS}/x", {"metadata": {"deletionTimestamp": "2000-01-01T00:00:00Z"}})


async def test_an_update_names_its_object_in_the_body_too(bare: Api) -> None:
    await bare.create(MAPS, config("x"))
    code, answer = await bare.call("PUT", f"{MAPS}/x", {"apiVersion": "v1", "kind": "ConfigMap"})
    assert (code, answer["reason"]) == (400, "BadRequest")
    assert answer["message"] == "the name of the object (x based on URL) was undeterminable: name must be provided"


async def test_dry_run_answers_as_if_and_changes_nothing(bare: Api) -> None:
    made = await bare.create(f"{MAPS}?dryRun=All", config("x"))
    assert made["metadata"]["uid"]
    assert await bare.find(f"{MAPS}/x") is None
    await bare.create(MAPS, config("x", a="1"))
    await bare.call("PATCH", f"{MAPS}/x?dryRun=All", {"data": {"a": "2"}}, content_type=MERGE)
    await bare.call("DELETE", f"{MAPS}/x?dryRun=All")
    assert (await bare.get(f"{MAPS}/x"))["data"] == {"a": "1"}


async def test_unknown_fields_of_built_in_kinds_are_dropped_warned_of_or_refused(bare: Api) -> None:
    body = {**config("x"), "dota": {}}
    assert "dota" not in await bare.create(MAPS, body)
    code, reason, said = await refused(bare, "POST", f"{MAPS}?fieldValidation=Strict", body)
    assert (code, reason) == (400, "BadRequest")
    assert said == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dota"'
    )


@pytest.mark.parametrize(
    ("content", "code"), [("application/strategic-merge-patch+json", 200), ("text/csv", 415), ("application/json", 415)]
)
async def test_patch_formats_of_built_in_kinds(bare: Api, content: str, code: int) -> None:
    await bare.create(MAPS, config("x"))
    got, _ = await bare.call("PATCH", f"{MAPS}/x", {"data": {"a": "1"}}, content_type=content)
    assert got == code


async def test_accept_of_a_format_there_is_not_is_refused(bare: Api) -> None:
    assert (await bare.call("GET", MAPS, accept="application/xml"))[0] == 406


async def test_lists_come_in_chunks_of_one_moment(bare: Api) -> None:
    for name in "abcde":
        await bare.create(MAPS, config(name))
    page = await bare.get(f"{MAPS}?limit=2")
    assert page["metadata"]["remainingItemCount"] == 4
    await bare.create(MAPS, config("cc"))
    await bare.delete(f"{MAPS}/d")
    names = [one["metadata"]["name"] for one in page["items"]]
    while token := page["metadata"].get("continue"):
        page = await bare.get(f"{MAPS}?limit=2&continue={token}")
        names += [one["metadata"]["name"] for one in page["items"]]
    assert names == ["a", "b", "c", "d", "e", "kube-root-ca.crt"]


async def test_chunk_of_a_forgotten_moment_is_gone(bare: Api, api_server: Simulator) -> None:
    for name in "abc":
        await bare.create(MAPS, config(name))
    token = (await bare.get(f"{MAPS}?limit=1"))["metadata"]["continue"]
    await bare.delete(f"{MAPS}/c")
    api_server.api.store.compact()
    code, reason, _ = await refused(bare, "GET", f"{MAPS}?limit=1&continue={token}")
    assert (code, reason) == (410, "Expired")


async def test_items_of_built_in_lists_have_no_kind_and_custom_ones_have(bare: Api) -> None:
    await bare.create(MAPS, config("x"))
    listed = await bare.get(MAPS)
    assert listed["kind"] == "ConfigMapList"
    assert "kind" not in listed["items"][0]
    profiles = await bare.get("/apis/cdi.kubevirt.io/v1beta1/storageprofiles")
    assert profiles["items"][0]["kind"] == "StorageProfile"


async def test_selectors_choose_from_lists(bare: Api) -> None:
    for name, label in (("a", "1"), ("b", "2")):
        await bare.create(MAPS, {"metadata": {"name": name, "labels": {"n": label}}})
    assert [one["metadata"]["name"] for one in await bare.items(f"{MAPS}?labelSelector=n%3D2")] == ["b"]
    assert [one["metadata"]["name"] for one in await bare.items(f"{MAPS}?fieldSelector=metadata.name%3Da")] == ["a"]
    pods = MAPS.replace("configmaps", "pods")
    assert (await refused(bare, "GET", f"{pods}?fieldSelector=data.a%3D1"))[2] == "field label not supported: data.a"


async def test_secret_strings_are_stored_encoded(bare: Api) -> None:
    body = {"metadata": {"name": "s"}, "stringData": {"a": "b"}}
    made = await bare.create("/api/v1/namespaces/default/secrets", body)
    assert made["data"] == {"a": "Yg=="}
    assert made["type"] == "Opaque"
    assert "stringData" not in made


async def test_services_get_addresses_of_their_own(bare: Api) -> None:
    path = "/api/v1/namespaces/default/services"
    made = [
        await bare.create(path, {"metadata": {"name": f"s{n}"}, "spec": {"ports": [{"port": 1}]}}) for n in range(3)
    ]
    addresses = [one["spec"]["clusterIP"] for one in made]
    assert len(set(addresses)) == 3
    assert all(address.startswith("127.96.") for address in addresses)
    headless = {"metadata": {"name": "h"}, "spec": {"clusterIP": "None"}}
    assert (await bare.create(path, headless))["spec"]["clusterIP"] == "None"
    taken = {"metadata": {"name": "t"}, "spec": {"clusterIP": addresses[0], "ports": [{"port": 1}]}}
    with pytest.raises(Failed, match="provided IP is already allocated"):
        await bare.create(path, taken)


async def test_services_of_two_simulators_share_no_address() -> None:
    """Of five that there are, though nobody listens in them."""
    async with ApiServer(service_cidr="127.96.250.0/29") as one, ApiServer(service_cidr="127.96.250.0/29") as other:
        addresses = [await address(server, f"s{n}") for n in range(2) for server in (one, other)]
        assert len(set(addresses)) == 4
        path = "/api/v1/namespaces/default/services/s0"
        assert (await one.handle(Request("DELETE", path, user=ADMIN))).status == 200
        await address(one, "s2")
    async with ApiServer(service_cidr="127.96.250.0/29") as later:
        assert len({await address(later, f"s{n}") for n in range(5)}) == 5


async def address(server: ApiServer, name: str) -> str:
    service = json.dumps({"metadata": {"name": name}, "spec": {"ports": [{"port": 1}]}}).encode()
    headers = {"content-type": "application/json"}
    answer = await server.handle(Request("POST", "/api/v1/namespaces/default/services", {}, headers, service, ADMIN))
    assert answer.status == 201, answer
    return str(json.loads(answer.body)["spec"]["clusterIP"])


async def test_events_have_two_faces(bare: Api) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Why",
        "message": "because",
        "type": "Normal",
    }
    await bare.create("/api/v1/namespaces/default/events", event)
    seen = await bare.get("/apis/events.k8s.io/v1/namespaces/default/events/e")
    assert (seen["apiVersion"], seen["note"], seen["regarding"]["name"]) == ("events.k8s.io/v1", "because", "p")
    found = await bare.items("/api/v1/events?fieldSelector=involvedObject.name%3Dp,reason%3DWhy")
    assert len(found) == 1


async def test_quota_refuses_what_goes_over_it_and_counts(bare: Api) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"requests.storage": "3Gi", "persistentvolumeclaims": "5"}}}
    quotas, claims = "/api/v1/namespaces/default/resourcequotas", "/api/v1/namespaces/default/persistentvolumeclaims"
    await bare.create(quotas, quota)

    def claim(name: str, size: str) -> Obj:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": name}, "spec": spec}

    await bare.create(claims, claim("a", "2Gi"))
    with pytest.raises(Failed) as caught:
        await bare.create(claims, claim("b", "2Gi"))
    assert caught.value.code == 403
    assert caught.value.message == (
        'persistentvolumeclaims "b" is forbidden: exceeded quota: q, requested: requests.storage=2Gi,'
        " used: requests.storage=2Gi, limited: requests.storage=3Gi"
    )
    used = {"persistentvolumeclaims": "1", "requests.storage": "2Gi"}
    await bare.until(f"{quotas}/q", lambda obj: obj and (obj.get("status") or {}).get("used") == used)


@pytest.mark.parametrize(("plural", "field"), [("configmaps", "[]"), ("secrets", "data")])
async def test_values_have_a_mebibyte_of_room(bare: Api, plural: str, field: str) -> None:
    path = MAPS.replace("configmaps", plural)
    size = 1024 * 1024
    fits = "a" * size if plural == "configmaps" else "YWJj" * (size // 3)
    await bare.create(path, {"metadata": {"name": "x"}, "data": {"k": fits}})
    body = {"metadata": {"name": "y"}, "data": {"k": f"{fits}YWJj"}}
    said = f"{field}: Too long: may not be more than 1048576 bytes"
    assert said in (await refused(bare, "POST", path, body))[2]


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        (b"", "(<empty>)"),
        (b'{"metadata": {"name": "a-rather-long', '({"metadata": {"name": "a-rathe ...)'),
        (b"x", "(78)"),
    ],
)
async def test_body_that_cannot_be_read_is_quoted(api_server: Simulator, body: bytes, quoted: str) -> None:
    response = await api_server.api.handle(Request("POST", MAPS, body=body, user=ADMIN))
    said = json.loads(response.body)["message"]
    assert said.startswith("the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind")
    assert said.endswith(quoted)

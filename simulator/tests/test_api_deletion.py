"""Finalizers, owners, namespaces: what a deletion waits for and what it takes along."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.http_api import Api, Failed

Obj = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def config(name: str, *owners: Obj, **meta: Any) -> Obj:
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        for owner in owners
    ]
    return {"metadata": {"name": name, "ownerReferences": references, **meta}}


def gone(obj: Obj | None) -> bool:
    return obj is None


async def delete(api: Api, path: str, policy: str) -> int:
    code, _ = await api.call("DELETE", path, {"propagationPolicy": policy})
    return code


async def test_finalizer_holds_an_object_until_it_is_taken_off(bare: Api) -> None:
    await bare.create(MAPS, config("x", finalizers=["a.b/c"]))
    await bare.delete(f"{MAPS}/x")
    marked = await bare.get(f"{MAPS}/x")
    assert marked["metadata"]["deletionTimestamp"]
    with pytest.raises(Failed, match=r"no new finalizers can be added if the object is being deleted.*\"d/e\""):
        await bare.merge(f"{MAPS}/x", {"metadata": {"finalizers": ["a.b/c", "d/e"]}})
    await bare.merge(f"{MAPS}/x", {"metadata": {"finalizers": None}})
    assert await bare.find(f"{MAPS}/x") is None


@pytest.mark.parametrize("precondition", [{"uid": "other"}, {"resourceVersion": "1"}])
async def test_precondition_that_does_not_hold_conflicts(bare: Api, precondition: Obj) -> None:
    await bare.create(MAPS, config("x"))
    code, answer = await bare.call("DELETE", f"{MAPS}/x", {"preconditions": precondition})
    assert (code, answer["reason"]) == (409, "Conflict")
    assert "in the precondition" in answer["message"]
    assert await bare.find(f"{MAPS}/x")


async def test_dependents_go_after_their_owner(bare: Api) -> None:
    owner = await bare.create(MAPS, config("owner"))
    child = await bare.create(MAPS, config("child", owner))
    await bare.create(MAPS, config("grandchild", child))
    await bare.delete(f"{MAPS}/owner")
    await bare.until(f"{MAPS}/grandchild", gone)
    assert await bare.find(f"{MAPS}/child") is None


async def test_dependent_stays_while_one_owner_lives(bare: Api) -> None:
    first, second = await bare.create(MAPS, config("a")), await bare.create(MAPS, config("b"))
    await bare.create(MAPS, config("child", first, second))
    await bare.delete(f"{MAPS}/a")

    def only_b(obj: Obj | None) -> bool:
        return obj is not None and [one["name"] for one in obj["metadata"]["ownerReferences"]] == ["b"]

    await bare.until(f"{MAPS}/child", only_b)
    await bare.delete(f"{MAPS}/b")
    await bare.until(f"{MAPS}/child", gone)


async def test_object_of_an_owner_that_never_was_is_collected(bare: Api) -> None:
    ghost = {"metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}}
    await bare.create(MAPS, config("x", ghost))
    await bare.until(f"{MAPS}/x", gone)


async def test_owner_of_the_same_name_but_another_uid_does_not_count(bare: Api) -> None:
    owner = await bare.create(MAPS, config("owner"))
    await bare.delete(f"{MAPS}/owner")
    await bare.create(MAPS, config("owner"))
    await bare.create(MAPS, config("child", owner))
    await bare.until(f"{MAPS}/child", gone)


async def test_orphans_are_left_without_the_owner(bare: Api) -> None:
    owner = await bare.create(MAPS, config("owner"))
    await bare.create(MAPS, config("child", owner))
    await delete(bare, f"{MAPS}/owner", "Orphan")
    await bare.until(f"{MAPS}/owner", gone)
    assert "ownerReferences" not in (await bare.get(f"{MAPS}/child"))["metadata"]


async def test_foreground_deletion_waits_for_blocking_dependents(bare: Api) -> None:
    owner = await bare.create(MAPS, config("owner"))
    await bare.create(MAPS, config("child", owner, finalizers=["a.b/c"]))
    await delete(bare, f"{MAPS}/owner", "Foreground")
    await bare.until(f"{MAPS}/child", lambda obj: obj and obj["metadata"].get("deletionTimestamp"))
    assert (await bare.get(f"{MAPS}/owner"))["metadata"]["finalizers"] == ["foregroundDeletion"]
    await bare.merge(f"{MAPS}/child", {"metadata": {"finalizers": None}})
    await bare.until(f"{MAPS}/owner", gone)


async def test_pod_on_a_node_gets_its_grace(bare: Api) -> None:
    spec = {"nodeName": "n", "terminationGracePeriodSeconds": 7, "containers": [{"name": "c", "image": "i"}]}
    await bare.create(PODS, {"metadata": {"name": "p"}, "spec": spec})
    await bare.delete(f"{PODS}/p")
    assert (await bare.get(f"{PODS}/p"))["metadata"]["deletionGracePeriodSeconds"] == 7
    await bare.call("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert await bare.find(f"{PODS}/p") is None


async def test_pod_without_a_node_goes_at_once(bare: Api) -> None:
    await bare.create(PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    await bare.delete(f"{PODS}/p")
    assert await bare.find(f"{PODS}/p") is None


async def test_new_namespace_is_furnished(bare: Api) -> None:
    made = await bare.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    assert made["status"] == {"phase": "Active"}
    await bare.until("/api/v1/namespaces/n/serviceaccounts/default", bool)


async def test_namespace_takes_its_content_along_and_refuses_new(bare: Api) -> None:
    inside = "/api/v1/namespaces/n/configmaps"
    await bare.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    await bare.create(inside, config("free"))
    await bare.create(inside, config("held", finalizers=["a.b/c"]))
    await bare.delete("/api/v1/namespaces/n")

    def said(obj: Obj | None) -> bool:
        conditions = {one["type"]: one["message"] for one in (obj or {}).get("status", {}).get("conditions", [])}
        text = "Some content in the namespace has finalizers remaining: a.b/c in 1 resource instances"
        return conditions.get("NamespaceFinalizersRemaining") == text

    await bare.until("/api/v1/namespaces/n", said)
    assert (await bare.get("/api/v1/namespaces/n"))["status"]["phase"] == "Terminating"
    assert await bare.find(f"{inside}/free") is None
    with pytest.raises(
        Failed, match="unable to create new content in namespace n because it is being terminated"
    ) as caught:
        await bare.create(inside, config("late"))
    assert caught.value.code == 403
    assert caught.value.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    await bare.merge(f"{inside}/held", {"metadata": {"finalizers": None}})
    await bare.until("/api/v1/namespaces/n", gone)


async def test_default_namespace_cannot_be_deleted(bare: Api) -> None:
    code, answer = await bare.call("DELETE", "/api/v1/namespaces/default")
    assert (code, answer["message"]) == (403, 'namespaces "default" is forbidden: this namespace may not be deleted')


async def test_collections_are_deleted_by_selector(bare: Api) -> None:
    for name in "abc":
        await bare.create(MAPS, config(name, labels={"n": name}))
    await bare.delete(f"{MAPS}?labelSelector=n+in+(a,b)")
    assert [one["metadata"]["name"] for one in await bare.items(f"{MAPS}?labelSelector=n")] == ["c"]


async def test_a_thousand_dependents_are_collected_while_others_are_served(bare: Api) -> None:
    owner = await bare.create(MAPS, config("owner"))
    await asyncio.gather(*(bare.create(MAPS, config(f"x{n}", owner)) for n in range(300)))
    await bare.delete(f"{MAPS}/owner")
    await bare.create(MAPS, config("other"))
    await bare.until(f"{MAPS}/x299", gone)
    assert await bare.find(f"{MAPS}/other")

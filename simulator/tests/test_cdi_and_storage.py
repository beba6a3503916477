"""DataVolumes, claims and storage classes: what binds when, what is refused, what dies with its source."""

from __future__ import annotations

from typing import Any

from tests.http_api import Api, Obj
from tests.lab import CORE, Lab, core, kubevirt, snapshots
from tests.test_restores import RESTORES
from tests.test_snapshots import halted, spec

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
SNAPSHOT_CLASSES = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses"


def volumes(namespace: str, name: str = "") -> str:
    return f"/apis/cdi.kubevirt.io/v1beta1/namespaces/{namespace}/datavolumes" + (f"/{name}" if name else "")


def volume(name: str, source: Obj, **storage: Any) -> Obj:
    return {
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "DataVolume",
        "metadata": {"name": name, "labels": {"kept": "yes"}},
        "spec": {"source": source, "storage": {"resources": {"requests": {"storage": "1Gi"}}, **storage}},
    }


async def phase(api: Api, path: str, wanted: str) -> Obj:
    found: Obj = await api.until(
        path, lambda one: one if one and (one.get("status") or {}).get("phase") == wanted else None
    )
    return found


async def test_a_blank_volume_gets_a_claim_with_its_labels(lab: Lab) -> None:
    await lab.api.create(volumes(lab.namespace), volume("blank", {"blank": {}}))
    done = await phase(lab.api, volumes(lab.namespace, "blank"), "Succeeded")
    assert done["status"]["progress"] == "100.0%"
    claim = await lab.api.get(core(lab.namespace, "persistentvolumeclaims", "blank"))
    assert claim["metadata"]["labels"]["kept"] == "yes"
    assert claim["metadata"]["ownerReferences"][0]["kind"] == "DataVolume"
    assert claim["spec"]["storageClassName"] == "standard"


async def test_a_deleted_volume_takes_claim_and_disk_with_it(lab: Lab) -> None:
    await lab.api.create(volumes(lab.namespace), volume("short", {"blank": {}}))
    await phase(lab.api, volumes(lab.namespace, "short"), "Succeeded")
    claim = await lab.api.get(core(lab.namespace, "persistentvolumeclaims", "short"))
    await lab.api.delete(volumes(lab.namespace, "short"))
    await lab.api.until(core(lab.namespace, "persistentvolumeclaims", "short"), lambda one: one is None)
    await lab.api.until(f"{CORE}/persistentvolumes/{claim['spec']['volumeName']}", lambda one: one is None)


async def test_quota_is_counted_in_claims_and_bytes(lab: Lab) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"requests.storage": "3Gi"}}}
    await lab.api.create(core(lab.namespace, "resourcequotas"), quota)
    claims = core(lab.namespace, "persistentvolumeclaims")
    for name, size in (("a", "1Gi"), ("b", "2Gi")):
        await lab.api.create(
            claims,
            {
                "metadata": {"name": name},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
            },
        )
    await lab.api.create(volumes(lab.namespace), volume("c", {"blank": {}}))
    event = await lab.api.until(
        volumes(lab.namespace, "c"),
        lambda one: next(
            (x for x in (one.get("status") or {}).get("conditions") or [] if x.get("reason") == "ErrExceededQuota"),
            None,
        ),
    )
    assert (
        "exceeded quota: q, requested: requests.storage=1Gi, used: requests.storage=3Gi, limited: " in event["message"]
    )
    await lab.api.delete(f"{claims}/a")
    await phase(lab.api, volumes(lab.namespace, "c"), "Succeeded")


async def test_a_snapshot_that_lives_in_its_volume_cannot_be_restored_once_that_is_gone(lab: Lab) -> None:
    await lab.api.merge(f"{SNAPSHOT_CLASSES}/standard", {"parameters": {"diesWithSource": "true"}})
    await halted(lab)
    await lab.snapshot("cp")
    await lab.restore("first", "cp")
    await lab.api.until(core(lab.namespace, "persistentvolumeclaims", "cp-rootdisk"), lambda one: one is None)
    await lab.api.delete(snapshots(lab.namespace, RESTORES, "cp-first"))
    snapshot = await lab.api.get(snapshots(lab.namespace, name="cp-snap"))
    assert snapshot["status"]["readyToUse"]
    restore = await lab.begin_restore("second", "cp")
    name = f"restore-{restore['metadata']['uid']}-rootdisk"
    async for _, event in lab.api.events(core(lab.namespace, "events")):
        if event["reason"] == "ProvisioningFailed" and event["involvedObject"]["name"] == name:
            break


async def test_a_snapshot_that_fails_or_is_never_ready(lab: Lab) -> None:
    await halted(lab)
    await lab.api.merge(f"{SNAPSHOT_CLASSES}/standard", {"parameters": {"ready": "never"}})
    await lab.api.create(snapshots(lab.namespace), spec("cp"))
    path = snapshots(lab.namespace, name="cp-snap")
    succeeded = await phase(lab.api, path, "Succeeded")
    assert not succeeded["status"]["readyToUse"]
    await lab.api.merge(f"{SNAPSHOT_CLASSES}/standard", {"parameters": {"ready": None, "fail": "no space"}})
    await lab.api.create(snapshots(lab.namespace), spec("wk", failureDeadline="3s"))
    path = snapshots(lab.namespace, name="wk-snap")
    wrong = await lab.api.until(path, lambda one: one if (one.get("status") or {}).get("error") else None)
    assert wrong["status"]["error"]["message"].endswith("error: no space")
    await phase(lab.api, path, "Failed")
    vm = await lab.api.get(kubevirt(lab.namespace, "virtualmachines", "wk"))
    assert not vm["status"].get("snapshotInProgress")

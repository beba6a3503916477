"""A storage class is proved once, and refused when its snapshots die with their volumes."""

from __future__ import annotations

import pytest

from pool.core.errors import InvalidInput, SnapshotFailed
from pool.kube.client import Object
from pool.kube.gather import gather
from pool.kube.resources import (
    DATA_VOLUMES,
    PVCS,
    STORAGE_CLASSES,
    STORAGE_PROFILES,
    VOLUME_SNAPSHOT_CLASSES,
    VOLUME_SNAPSHOTS,
)
from pool.kubevirt.preflight import ensure_storage_proved, proof_name
from pool.kubevirt.storage import default_classes, snapshot_class, storage_class
from pool.work import namespaces
from tests.pool.bench import Bench
from tests.pool.builders import pool


@pytest.fixture
async def templates(bench: Bench) -> Bench:
    await namespaces.ensure_templates_namespace(bench.kube, bench.settings)
    return bench


async def leftovers(bench: Bench) -> int:
    kinds = (DATA_VOLUMES, PVCS, VOLUME_SNAPSHOTS)
    return sum([len(await bench.kube.list(kind, "vm-templates")) for kind in kinds])


async def test_good_storage_is_proved_once(templates: Bench) -> None:
    assert (
        await ensure_storage_proved(templates.kube, templates.watching, templates.pool, templates.settings)
        == "standard"
    )
    assert await leftovers(templates) == 0
    created = templates.wire.calls["create", "volumesnapshots"]
    await ensure_storage_proved(templates.kube, templates.watching, templates.pool, templates.settings)
    assert templates.wire.calls["create", "volumesnapshots"] == created == 1


async def test_pools_that_prove_their_storage_at_once_do_not_meet(templates: Bench) -> None:
    pools = (pool(), pool("other"))
    proofs = [ensure_storage_proved(templates.kube, templates.watching, one, templates.settings) for one in pools]
    assert await gather(proofs) == ["standard", "standard"]
    assert await leftovers(templates) == 0


async def test_a_class_made_anew_is_proved_anew(templates: Bench) -> None:
    await ensure_storage_proved(templates.kube, templates.watching, templates.pool, templates.settings)
    found = await templates.kube.get(STORAGE_CLASSES, "standard")
    await templates.kube.delete(STORAGE_CLASSES, "standard")
    for key in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        found["metadata"].pop(key, None)
    await templates.kube.create(STORAGE_CLASSES, found)
    await ensure_storage_proved(templates.kube, templates.watching, templates.pool, templates.settings)
    assert templates.wire.calls["create", "volumesnapshots"] == 2


async def test_storage_whose_snapshots_die_with_their_volume_is_refused(templates: Bench) -> None:
    settings = templates.settings.model_copy(update={"snapshot_timeout": 1.0})
    name = proof_name(templates.pool)

    async def lose_the_snapshot() -> None:
        """What such a driver does: the volume goes, and the snapshot with it."""
        await templates.watching.until(
            DATA_VOLUMES, f"{name}-source", "vm-templates", lambda seen: seen, timeout=10, what="it to be made"
        )
        await templates.watching.until(
            VOLUME_SNAPSHOTS, name, "vm-templates", lambda seen: seen, timeout=10, what="it to be taken"
        )
        await templates.watching.until(
            DATA_VOLUMES,
            f"{name}-source",
            "vm-templates",
            lambda seen: True if seen is None else None,
            timeout=10,
            what="it to go",
        )
        await templates.kube.delete(VOLUME_SNAPSHOTS, name, "vm-templates")

    with pytest.raises(SnapshotFailed, match="outlive") as raised:
        await gather(
            [ensure_storage_proved(templates.kube, templates.watching, templates.pool, settings), lose_the_snapshot()]
        )
    assert "spec.machines.storageClass" in raised.value.cure
    assert await leftovers(templates) == 0


async def test_a_class_that_is_not_there_is_said(templates: Bench) -> None:
    wants = pool(machines={"storage_class": "fast"})
    with pytest.raises(InvalidInput, match="standard") as raised:
        await ensure_storage_proved(templates.kube, templates.watching, wants, templates.settings)
    assert "spec.machines.storageClass of Pool default" in raised.value.cure


CLUSTER_WIDE, FOR_VMS = "storageclass.kubernetes.io/is-default-class", "storageclass.kubevirt.io/is-default-virt-class"


def storage(name: str, day: int, **marks: str) -> Object:
    annotations = {{"cluster": CLUSTER_WIDE, "vms": FOR_VMS}[mark]: value for mark, value in marks.items()}
    return {"metadata": {"name": name, "creationTimestamp": f"2026-01-{day:02}T00:00:00Z", "annotations": annotations}}


@pytest.mark.parametrize(
    ("classes", "taken"),
    [
        pytest.param([storage("a", 1), storage("b", 2)], [], id="none is marked"),
        pytest.param([storage("a", 1, cluster="false")], [], id="marked as none"),
        pytest.param([storage("a", 1, cluster="true"), storage("b", 2, cluster="true")], ["b", "a"], id="the newest"),
        pytest.param([storage("b", 1, cluster="true"), storage("a", 1, cluster="true")], ["a", "b"], id="then by name"),
        pytest.param([storage("a", 2, cluster="true"), storage("b", 1, vms="true")], ["b", "a"], id="for VMs first"),
    ],
)
def test_of_several_default_classes_the_one_is_judged_that_is_taken(classes: list[Object], taken: list[str]) -> None:
    assert [one["metadata"]["name"] for one in default_classes(classes)] == taken


async def test_the_default_class_for_vms_is_proved_before_the_clusters_own(templates: Bench) -> None:
    found = await templates.kube.get(STORAGE_CLASSES, "standard")
    metadata = {"name": "for-vms", "annotations": {FOR_VMS: "true"}}
    await templates.kube.create(STORAGE_CLASSES, {**found, "metadata": metadata})
    chosen = await storage_class(templates.kube, templates.pool)
    assert chosen["metadata"]["name"] == "for-vms"


async def snapshot_classes(bench: Bench, *names: str) -> None:
    """More snapshot classes of the same driver, none marked as default."""
    found = await bench.kube.get(VOLUME_SNAPSHOT_CLASSES, "standard")
    for name in names:
        fields = {"driver": found["driver"], "deletionPolicy": "Delete"}
        await bench.kube.create(VOLUME_SNAPSHOT_CLASSES, VOLUME_SNAPSHOT_CLASSES.manifest(name, None, **fields))


async def name_in_profile(bench: Bench, name: str) -> None:
    await bench.kube.patch(STORAGE_PROFILES, "standard", {"spec": {"snapshotClass": name}})

    def named(profile: Object | None) -> bool | None:
        return True if ((profile or {}).get("status") or {}).get("snapshotClass") == name else None

    await bench.watching.until(STORAGE_PROFILES, "standard", None, named, timeout=10, what="the profile to name it")


async def test_of_several_snapshot_classes_the_profiles_is_taken_as_kubevirt_does(templates: Bench) -> None:
    standard = await templates.kube.get(STORAGE_CLASSES, "standard")
    await snapshot_classes(templates, "other")
    with pytest.raises(SnapshotFailed, match="marked as default"):
        await snapshot_class(templates.kube, standard)
    await name_in_profile(templates, "other")
    assert await snapshot_class(templates.kube, standard) == "other"


async def test_a_profile_that_names_no_snapshot_class_that_is_there_is_refused(templates: Bench) -> None:
    await name_in_profile(templates, "absent")
    with pytest.raises(SnapshotFailed, match="absent, which its StorageProfile names"):
        await snapshot_class(templates.kube, await templates.kube.get(STORAGE_CLASSES, "standard"))

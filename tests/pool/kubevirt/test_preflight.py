"""A storage class is proved once, and refused when its snapshots die with their volumes."""

from __future__ import annotations

import pytest

from pool import namespaces
from pool.errors import InvalidInput, SnapshotFailed
from pool.kube.resources import DATA_VOLUMES, PVCS, STORAGE_CLASSES, VOLUME_SNAPSHOTS
from pool.kubevirt.preflight import ensure_storage_proved
from pool.together import together
from tests.pool.kubevirt.conftest import Bench


@pytest.fixture
async def templates(bench: Bench) -> Bench:
    await namespaces.ensure_templates_namespace(bench.kube, bench.settings)
    return bench


async def leftovers(bench: Bench) -> int:
    kinds = (DATA_VOLUMES, PVCS, VOLUME_SNAPSHOTS)
    return sum([len(await bench.kube.list(kind, "vm-templates")) for kind in kinds])


async def test_good_storage_is_proved_once(templates: Bench) -> None:
    assert await ensure_storage_proved(templates.kube, templates.watching, templates.settings) == "standard"
    assert await leftovers(templates) == 0
    created = templates.wire.calls["create", "volumesnapshots"]
    await ensure_storage_proved(templates.kube, templates.watching, templates.settings)
    assert templates.wire.calls["create", "volumesnapshots"] == created == 1


async def test_a_class_made_anew_is_proved_anew(templates: Bench) -> None:
    await ensure_storage_proved(templates.kube, templates.watching, templates.settings)
    found = await templates.kube.get(STORAGE_CLASSES, "standard")
    await templates.kube.delete(STORAGE_CLASSES, "standard")
    for key in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        found["metadata"].pop(key, None)
    await templates.kube.create(STORAGE_CLASSES, found)
    await ensure_storage_proved(templates.kube, templates.watching, templates.settings)
    assert templates.wire.calls["create", "volumesnapshots"] == 2


async def test_storage_whose_snapshots_die_with_their_volume_is_refused(templates: Bench) -> None:
    settings = templates.settings.model_copy(update={"snapshot_timeout": 1.0})

    async def lose_the_snapshot() -> None:
        """What such a driver does: the volume goes, and the snapshot with it."""
        await templates.watching.until(
            DATA_VOLUMES, "preflight-source", "vm-templates", lambda seen: seen, timeout=10, what="it to be made"
        )
        await templates.watching.until(
            VOLUME_SNAPSHOTS, "preflight", "vm-templates", lambda seen: seen, timeout=10, what="it to be taken"
        )
        await templates.watching.until(
            DATA_VOLUMES,
            "preflight-source",
            "vm-templates",
            lambda seen: True if seen is None else None,
            timeout=10,
            what="it to go",
        )
        await templates.kube.delete(VOLUME_SNAPSHOTS, "preflight", "vm-templates")

    with pytest.raises(SnapshotFailed, match="outlive") as raised:
        await together([ensure_storage_proved(templates.kube, templates.watching, settings), lose_the_snapshot()])
    assert "CKS_POOL_STORAGE_CLASS" in raised.value.cure
    assert await leftovers(templates) == 0


async def test_a_class_that_is_not_there_is_said(templates: Bench) -> None:
    settings = templates.settings.model_copy(update={"storage_class": "fast"})
    with pytest.raises(InvalidInput, match="standard"):
        await ensure_storage_proved(templates.kube, templates.watching, settings)

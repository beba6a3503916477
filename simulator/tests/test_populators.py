"""Claims as CDI's populators fill them: every phase in order, as slow as the disk is large, and imports that fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulator.app import Simulator
from simulator.controllers.storage.populating import CLONE_PHASE, POD_RESTARTS, PROGRESS
from simulator.faults.troubles import Trouble, TroubleKind
from simulator.timing.delays import Delays
from tests.http_api import Api, Obj
from tests.lab import CORE, core, kubevirt, with_parameters
from tests.lab import Lab as Clusters
from tests.test_cdi_and_storage import CLASSES, phase, volume, volumes

SPACE = "storage"
PROFILES = "/apis/cdi.kubevirt.io/v1beta1/storageprofiles"


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    """One where a GiB takes a storage no time and pods half a second."""
    delays = Delays(clone=1.0, copy_gib=0.5)
    async with Simulator(speed=100.0, delays=delays, kubeconfig=tmp_path / "kubeconfig") as running:
        yield running


@pytest.fixture
async def space(api: Api) -> Api:
    """A namespace with a bound claim `source` of 1Gi, and a class `slow` whose volumes are cloned by copying."""
    await api.create(f"{CORE}/namespaces", {"metadata": {"name": SPACE}})
    await api.create(volumes(SPACE), volume("source", {"blank": {}}))
    standard = await api.get(f"{CLASSES}/standard")
    kept = {key: standard[key] for key in ("provisioner", "reclaimPolicy", "allowVolumeExpansion")}
    await api.create(CLASSES, {**kept, "metadata": {"name": "slow"}})
    await by(api, "slow", "copy")
    await phase(api, volumes(SPACE, "source"), "Succeeded")
    return api


async def by(api: Api, class_name: str, strategy: str) -> None:
    """Have volumes of the class cloned so."""
    await api.until(f"{PROFILES}/{class_name}", lambda one: one is not None)
    await api.merge(f"{PROFILES}/{class_name}", {"spec": {"cloneStrategy": strategy}})
    await api.until(
        f"{PROFILES}/{class_name}", lambda one: one and (one.get("status") or {}).get("cloneStrategy") == strategy
    )


def clone(name: str, size: str = "1Gi", class_name: str = "standard") -> Obj:
    source = {"pvc": {"namespace": SPACE, "name": "source"}}
    return volume(name, source, resources={"requests": {"storage": size}}, storageClassName=class_name)


async def cloned(api: Api, volume: Obj) -> list[dict[str, str]]:
    """Create a DataVolume; the annotations of all versions of its claim, until that is cloned."""
    opened = asyncio.Event()
    watching = asyncio.create_task(_annotations(api, volume["metadata"]["name"], opened))
    await opened.wait()
    await api.create(volumes(SPACE), volume)
    return await watching


async def _annotations(api: Api, name: str, opened: asyncio.Event) -> list[dict[str, str]]:
    seen = []
    async with asyncio.timeout(20):
        async for _, claim in api.events(core(SPACE, "persistentvolumeclaims"), opened):
            if claim["metadata"]["name"] == name:
                seen.append(claim["metadata"]["annotations"])
                if seen[-1].get(CLONE_PHASE) == "Succeeded":
                    return seen
    raise AssertionError("the watch ended")


@pytest.mark.parametrize(
    ("strategy", "phases"),
    [
        ("copy", ["Pending", "HostClone", "Rebind", "Succeeded"]),
        ("csi-clone", ["Pending", "CSIClone", "PrepClaim", "Rebind", "Succeeded"]),
        ("snapshot", ["Pending", "Snapshot", "SnapshotClone", "PrepClaim", "Rebind", "Succeeded"]),
    ],
)
async def test_a_claim_goes_through_the_phases_of_its_strategy(space: Api, strategy: str, phases: list[str]) -> None:
    await by(space, "slow", strategy)
    versions = await cloned(space, clone("one", class_name="slow"))
    shown = [one[CLONE_PHASE] for one in versions]
    assert [name for index, name in enumerate(shown) if name not in shown[:index]] == phases
    assert versions[-1][PROGRESS] == "100.0%"


async def test_a_copy_tells_how_much_of_it_is_done(space: Api) -> None:
    versions = await cloned(space, clone("one", "20Gi", class_name="slow"))
    told = [float(one[PROGRESS].rstrip("%")) for one in versions if PROGRESS in one]
    assert told == sorted(told)
    assert len({share for share in told if 0 < share < 100}) >= 2


async def test_a_copy_takes_as_long_as_the_disk_is_large_and_a_clone_by_the_storage_does_not(space: Api) -> None:
    wanted = [clone("large-copy", "60Gi", "slow"), clone("copy", "1Gi", "slow"), clone("large-clone", "60Gi")]
    for one in wanted:
        await space.create(volumes(SPACE), one)
    done: list[str] = []
    async with asyncio.timeout(20):
        async for _, one in space.events(volumes(SPACE)):
            name = one["metadata"]["name"]
            if (one.get("status") or {}).get("phase") == "Succeeded" and name not in ("source", *done):
                done.append(name)
            if len(done) == len(wanted):
                break
    assert done[-1] == "large-copy"


async def test_a_slow_class_is_slow_by_its_factor(space: Api) -> None:
    await with_parameters(space, "standard", slowness="100")
    await by(space, "slow", "csi-clone")
    for one in (clone("first"), clone("second", class_name="slow")):
        await space.create(volumes(SPACE), one)
    await phase(space, volumes(SPACE, "second"), "Succeeded")
    assert (await space.get(volumes(SPACE, "first")))["status"]["phase"] == "CloneFromSnapshotSourceInProgress"


async def test_a_clone_whose_claim_never_binds_stays_where_the_storage_is_asked(
    space: Api, simulator: Simulator
) -> None:
    trouble = simulator.troubles.add(Trouble(TroubleKind.PENDING_PVC, name="one"))
    await space.create(volumes(SPACE), clone("one"))
    stuck = await phase(space, volumes(SPACE, "one"), "CloneFromSnapshotSourceInProgress")
    assert stuck["status"]["progress"] == "N/A"
    await space.create(volumes(SPACE), clone("two"))
    await phase(space, volumes(SPACE, "two"), "Succeeded")
    one = await space.get(volumes(SPACE, "one"))
    assert one["status"]["phase"] == "CloneFromSnapshotSourceInProgress"
    simulator.troubles.remove(trouble)
    await phase(space, volumes(SPACE, "one"), "Succeeded")


@pytest.mark.parametrize(
    ("source", "message"),
    [({"registry": {"url": "docker://image"}}, ""), ({"blank": {}}, "no space left on device")],
)
async def test_a_failing_import_is_started_again_until_it_succeeds(
    space: Api, simulator: Simulator, source: Obj, message: str
) -> None:
    trouble = simulator.troubles.add(Trouble(TroubleKind.FAIL_IMPORT, name="image", message=message))
    await space.create(volumes(SPACE), volume("image", source))
    path = volumes(SPACE, "image")
    failed = await space.until(path, lambda one: _running(one, "Error"))
    assert (message or "Unable to connect to registry data source") in failed["message"]
    assert failed["status"] == "False"
    tried = await space.until(path, lambda one: one if one["status"].get("restartCount") == 2 else None)
    assert tried["status"]["phase"] == "ImportInProgress"
    claim = await space.get(core(SPACE, "persistentvolumeclaims", "image"))
    assert claim["status"]["phase"] == "Pending"
    assert int(claim["metadata"]["annotations"][POD_RESTARTS]) >= 2
    simulator.troubles.remove(trouble)
    done = await phase(space, path, "Succeeded")
    assert done["status"]["progress"] == "100.0%"


async def test_an_import_whose_secret_is_missing_starts_once_it_is_there(space: Api) -> None:
    await space.create(volumes(SPACE), volume("image", {"registry": {"url": "docker://image", "secretRef": "hub"}}))
    path = volumes(SPACE, "image")
    waiting = await space.until(path, lambda one: _running(one, "CreateContainerConfigError"))
    assert (waiting["status"], waiting["message"]) == ("False", 'secret "hub" not found')
    one = await space.get(path)
    assert (one["status"]["phase"], one["status"].get("restartCount", 0)) == ("ImportScheduled", 0)
    await space.create(core(SPACE, "secrets"), {"metadata": {"name": "hub"}, "stringData": {"accessKeyId": "joe"}})
    await phase(space, path, "Succeeded")


async def test_an_import_with_another_checksum_fails_for_good(space: Api, simulator: Simulator) -> None:
    text = (
        "Unable to process data: checksum validation failed: checksum mismatch: expected sha256:1, calculated sha256:2"
    )
    simulator.troubles.add(Trouble(TroubleKind.FAIL_IMPORT, name="image", message=text))
    await space.create(volumes(SPACE), volume("image", {"http": {"url": "https://images.example/node.img"}}))
    failed = await phase(space, volumes(SPACE, "image"), "Failed")
    found = _running(failed, "ChecksumError")
    assert found is not None
    assert found["message"] == text
    assert failed["status"].get("restartCount", 0) == 0


def _running(one: Obj | None, reason: str) -> Obj | None:
    conditions = ((one or {}).get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == "Running" and each.get("reason") == reason), None)


async def test_a_disk_whose_volume_is_gone_fails_its_data_volume_and_its_vm(
    api: Api, tmp_path: Path, simulator: Simulator
) -> None:
    lab = Clusters(api, tmp_path)
    await lab.prepare()
    await lab.create(strategy="Halted")
    await phase(api, volumes(lab.namespace, "cp-rootdisk"), "Succeeded")
    claim = await api.get(core(lab.namespace, "persistentvolumeclaims", "cp-rootdisk"))
    await api.delete(f"{CORE}/persistentvolumes/{claim['spec']['volumeName']}")
    lost = await phase(api, volumes(lab.namespace, "cp-rootdisk"), "Failed")
    bound = next(one for one in lost["status"]["conditions"] if one["type"] == "Bound")
    assert (bound["status"], bound["reason"]) == ("False", "ClaimLost")
    await api.until(
        kubevirt(lab.namespace, name="cp"), lambda vm: vm and vm["status"]["printableStatus"] == "DataVolumeError"
    )

"""What a restore leaves that is deleted half-way, and what becomes of two that got in together.

| deleted after           | the VM has                   | what stays                                   |
|-------------------------|------------------------------|----------------------------------------------|
| claimed the VM          | its old spec and disk        | nothing (tests/contract)                     |
| claim made              | its old spec and disk        | the claim, with the VM as owner              |
| claim promised          | its old spec and disk        | the claim, nobody's                          |
| DataVolume made         | its old spec and disk        | DataVolume and claim, nobody's               |
| spec of the VM updated  | its new spec, on a new disk  | the old DataVolume and claim, the VM's still |
| complete                | its new spec, on a new disk  | nothing (tests/contract)                     |
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulator.api.admission import AdmissionRequest
from simulator.api.errors import ApiError
from simulator.app import Simulator
from simulator.controllers.parts import Controllers
from simulator.faults.troubles import Trouble, TroubleKind, Troubles
from simulator.timing.delays import Delays
from simulator.virtapi.install import install
from tests.http_api import Api, Failed, Obj
from tests.lab import Lab, core, kubevirt, snapshots
from tests.test_cdi_and_storage import volumes
from tests.test_restores import RESTORES, claims
from tests.test_snapshots import halted, reasons, spec

NOT_NOW = "not now"


@contextmanager
def refusing(simulator: Simulator, operation: str, plural: str) -> Iterator[None]:
    """Somebody's webhook refuses this; status may be written."""

    def deny(request: AdmissionRequest) -> None:
        if (request.operation, request.gvr.plural, request.subresource) == (operation, plural, ""):
            raise ApiError(403, "Forbidden", NOT_NOW)

    simulator.api.admission.append(deny)
    try:
        yield
    finally:
        simulator.api.admission.remove(deny)


async def aborted(lab: Lab, simulator: Simulator, operation: str, plural: str) -> tuple[Obj, str]:
    """The VM after a restore that was deleted when it could not do this, and the disk that it made."""
    await halted(lab)
    await lab.snapshot("cp")
    path = snapshots(lab.namespace, RESTORES, "aborted")
    with refusing(simulator, operation, plural):
        restore = await lab.begin_restore("aborted", "cp")
        last = await lab.api.until(path, lambda one: one if NOT_NOW in str(reasons(one or {})) else None)
        # An error is not the end.
        assert "Failure" not in reasons(last)
        await lab.api.delete(path)
        await lab.api.until(path, lambda one: one is None)
    vm = await lab.api.get(kubevirt(lab.namespace, name="cp"))
    assert "restoreInProgress" not in vm["status"]
    return vm, f"restore-{restore['metadata']['uid']}-rootdisk"


def disk_of(vm: Obj) -> str:
    name: str = vm["spec"]["template"]["spec"]["volumes"][0]["dataVolume"]["name"]
    return name


def owners(obj: Obj) -> list[str]:
    return [one["kind"] for one in obj["metadata"].get("ownerReferences") or []]


async def remove_vm(lab: Lab) -> None:
    path = kubevirt(lab.namespace, name="cp")
    await lab.api.delete(path)
    await lab.api.until(path, lambda vm: vm is None)
    await lab.api.until(core(lab.namespace, "persistentvolumeclaims", "cp-rootdisk"), lambda one: one is None)


async def test_a_claim_that_was_promised_is_nobodys_and_outlives_the_vm(lab: Lab, simulator: Simulator) -> None:
    vm, disk = await aborted(lab, simulator, "CREATE", "datavolumes")
    assert disk_of(vm) == "cp-rootdisk"
    path = core(lab.namespace, "persistentvolumeclaims", disk)
    left = await lab.api.get(path)
    assert left["metadata"]["annotations"]["cdi.kubevirt.io/storage.populatedFor"] == disk
    assert left["metadata"]["annotations"]["restore.kubevirt.io/name"] == "aborted"
    assert owners(left) == []
    async for _, event in lab.api.events(core(lab.namespace, "events")):
        if event["reason"] == "RestoreDataVolumeCreateError":
            break
    assert event["message"] == f"Error creating restore DataVolume {disk}: {NOT_NOW}"
    assert event["involvedObject"]["uid"] == vm["metadata"]["uid"]
    await remove_vm(lab)
    assert (await lab.api.get(path))["metadata"]["uid"] == left["metadata"]["uid"]


async def test_a_data_volume_that_was_made_is_nobodys_and_outlives_the_vm(lab: Lab, simulator: Simulator) -> None:
    vm, disk = await aborted(lab, simulator, "UPDATE", "virtualmachines")
    assert disk_of(vm) == "cp-rootdisk"
    left = await lab.api.get(volumes(lab.namespace, disk))
    assert owners(left) == []
    assert left["metadata"]["annotations"]["restore.kubevirt.io/name"] == "aborted"
    claim = await lab.api.get(core(lab.namespace, "persistentvolumeclaims", disk))
    assert owners(claim) == ["DataVolume"]
    # The next one works, and does not clean up.
    await lab.restore("next", "cp")
    assert disk in await claims(lab)
    await remove_vm(lab)
    assert (await lab.api.get(volumes(lab.namespace, disk)))["metadata"]["uid"] == left["metadata"]["uid"]


async def test_a_vm_that_was_updated_is_restored_and_its_old_disk_stays(lab: Lab, simulator: Simulator) -> None:
    vm, disk = await aborted(lab, simulator, "DELETE", "datavolumes")
    assert disk_of(vm) == disk
    left = await lab.api.get(volumes(lab.namespace, "cp-rootdisk"))
    assert owners(left) == ["VirtualMachine"]
    assert set(await claims(lab)) >= {"cp-rootdisk", disk}
    await lab.restore("next", "cp")
    assert "cp-rootdisk" in await claims(lab)


class Stale:
    """virt-api's cache of restores before any news came."""

    def inside(self, namespace: str) -> list[Obj]:
        return []


@pytest.fixture
async def late(api_server: Simulator, tmp_path: Path) -> AsyncIterator[tuple[Lab, Troubles]]:
    """A world whose virt-api has not heard of any restore yet."""
    install(api_server.api, api_server.client, Stale())
    troubles = Troubles()
    controllers = Controllers(api_server.client, Delays().scaled(100), troubles=troubles)
    async with Api.connect(tmp_path / "kubeconfig") as api:
        await controllers.start()
        try:
            lab = Lab(api, tmp_path)
            await lab.prepare()
            yield lab, troubles
        finally:
            await controllers.stop()


async def test_of_two_restores_that_got_in_together_the_second_waits_and_runs_later(
    late: tuple[Lab, Troubles],
) -> None:
    lab, troubles = late
    await halted(lab)
    await lab.snapshot("cp")
    trouble = troubles.add(Trouble(TroubleKind.PENDING_PVC, name="cp", count=1))
    vm = kubevirt(lab.namespace, name="cp")
    await lab.begin_restore("first", "cp")
    await lab.api.until(vm, lambda vm: vm["status"].get("restoreInProgress") == "first")
    second = await lab.begin_restore("second", "cp")
    text = "vm restore first in progress"
    paths = {name: snapshots(lab.namespace, RESTORES, name) for name in ("first", "second")}
    await lab.api.until(paths["second"], lambda one: reasons(one or {}).get("Ready") == ("False", text))
    assert (await lab.api.get(vm))["status"]["restoreInProgress"] == "first"
    troubles.remove(trouble)
    ended = {}
    for name, path in paths.items():
        ended[name] = await lab.api.until(path, lambda one: one if one["status"].get("complete") else None)
    assert ended["first"]["status"]["restoreTime"] <= ended["second"]["status"]["restoreTime"]
    disk = f"restore-{second['metadata']['uid']}-rootdisk"
    assert disk_of(await lab.api.get(vm)) == disk
    # The first one's disk was the VM's for a moment, and went.
    await lab.api.until(
        core(lab.namespace, "persistentvolumeclaims", ended["first"]["status"]["restores"][0]["persistentVolumeClaim"]),
        lambda one: one is None,
    )


async def test_a_snapshot_without_status_breaks_the_webhook(api_server: Simulator, tmp_path: Path) -> None:
    install(api_server.api, api_server.client)
    async with Api.connect(tmp_path / "kubeconfig") as api:
        lab = Lab(api, tmp_path)
        await lab.prepare()
        await api.create(snapshots(lab.namespace), spec("cp"))
        with pytest.raises(Failed) as broken:
            await lab.begin_restore("early", "cp")
    webhook = "virtualmachinerestore-validator.snapshot.kubevirt.io"
    assert broken.value.code == 500
    assert broken.value.message.startswith(f'Internal error occurred: failed calling webhook "{webhook}": ')

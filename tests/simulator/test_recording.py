"""One lifecycle as KubeVirt's own controllers showed it to a watcher, played again: the same statuses in order.

What the watcher of the recording saw of each object is put down as a row of facts a version, repeated rows once. Rows
that come from the recorded controllers' lagging caches are left out, and said so below.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import pytest

from tests.conftest import SHARED
from tests.simulator.http_api import Api, Failed, Obj
from tests.simulator.lab import Lab, core, kubevirt, snapshots

RECORDINGS = SHARED / "kubevirt" / "recordings"
LIFECYCLE = RECORDINGS / "lifecycle.jsonl"
pytestmark = pytest.mark.skipif(not LIFECYCLE.exists(), reason="the recording is not on this machine")

Row = tuple[Any, ...]
CP, WK = "cp-cluster4", "wk-cluster4"


def conditions(status: Obj, *types: str) -> Row:
    found = {one["type"]: one for one in status.get("conditions") or []}
    rows = ((one, found[one]["status"], found[one].get("reason", "")) for one in types if one in found)
    # Whether an ended instance is looked at once more between its pod's end and its own is a matter of luck.
    return tuple((one, status, reason.replace("PodNotExists", "PodTerminating")) for one, status, reason in rows)


def vm_row(obj: Obj) -> Row | None:
    status = obj.get("status")
    if status is None or not status.get("conditions"):
        return None
    busy = (bool(status.get("snapshotInProgress")), bool(status.get("restoreInProgress")))
    life = (status.get("created", False), status.get("ready", False))
    return status["printableStatus"], life, busy, conditions(status, "Ready", "DataVolumesReady")


def vmi_row(obj: Obj) -> Row | None:
    status = obj.get("status")
    return (status["phase"], conditions(status, "Ready", "DataVolumesReady")) if status else None


def snapshot_row(obj: Obj) -> Row | None:
    status = obj.get("status")
    if status is None:
        return None
    content = bool(status.get("virtualMachineSnapshotContentName"))
    volumes = json.dumps(status.get("snapshotVolumes"), sort_keys=True)
    return (
        status["phase"],
        status["readyToUse"],
        content,
        volumes,
        conditions(status, "Progressing", "Ready", "Failure"),
    )


def restore_row(obj: Obj) -> Row | None:
    status = obj.get("status")
    if status is None:
        return None
    restores = [sorted(one) for one in status.get("restores") or []]
    deleted = len(status.get("deletedDataVolumes") or [])
    return status["complete"], str(restores), deleted, conditions(status, "Progressing", "Ready", "Failure")


def volume_row(obj: Obj) -> Row | None:
    status = obj.get("status")
    if status is None:
        return None
    return status["phase"], status.get("progress"), conditions(status, "Bound", "Ready", "Running")


ROWS: dict[str, Callable[[Obj], Row | None]] = {
    "VirtualMachine": vm_row,
    "VirtualMachineInstance": vmi_row,
    "VirtualMachineSnapshot": snapshot_row,
    "VirtualMachineRestore": restore_row,
    "DataVolume": volume_row,
}

LAGGING: dict[str, Callable[[Row], bool]] = {
    # The first status after the conditions came, and each first one after a start, are computed from a cache that has
    # not seen the DataVolume or the instance yet.
    "VirtualMachine": lambda row: row[0] in ("Stopped", "Starting") and not row[1][0] and row[2] == (False, False),
    # The controller meets its own new claim in a pass that has not seen it.
    "VirtualMachineRestore": lambda row: "already exists" in str(row),
}
EXTRA: dict[str, Callable[[Row], bool]] = {
    # The recorded storage takes snapshots that are ready at once; here they are uploaded first.
    "VirtualMachineSnapshot": lambda row: row[0] == "Succeeded" and not row[1],
}


def told(kind: str, versions: Iterable[Obj]) -> list[Row]:
    """Rows of one object, repeated ones once."""
    rows: list[Row] = []
    for version in versions:
        row = ROWS[kind](version)
        if row is None or LAGGING.get(kind, lambda _: False)(row) or EXTRA.get(kind, lambda _: False)(row):
            continue
        if not rows or rows[-1] != row:
            rows.append(row)
    return rows


def recorded(kind: str, name: str) -> list[Row]:
    """Of the lives of an object of that name, all rows. The recording holds what changed: later versions add to it."""
    versions, current = [], {}
    for line in LIFECYCLE.read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] == kind and entry["name"] == name:
            current = {} if entry["event"] == "ADDED" else current
            current = {**current, **entry}
            versions.append(current)
    return told(kind, versions)


class Watcher:
    """Everything seen of the kinds, in order."""

    PATHS: ClassVar = {
        "VirtualMachine": kubevirt("cluster4"),
        "VirtualMachineInstance": kubevirt("cluster4", "virtualmachineinstances"),
        "VirtualMachineSnapshot": snapshots("cluster4"),
        "VirtualMachineRestore": snapshots("cluster4", "virtualmachinerestores"),
        "DataVolume": "/apis/cdi.kubevirt.io/v1beta1/namespaces/cluster4/datavolumes",
    }

    def __init__(self, api: Api) -> None:
        self._api = api
        self.seen: dict[str, list[Obj]] = {kind: [] for kind in self.PATHS}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        opened = {kind: asyncio.Event() for kind in self.PATHS}
        self._tasks = [asyncio.create_task(self._follow(kind, opened[kind])) for kind in self.PATHS]
        await asyncio.gather(*(event.wait() for event in opened.values()))

    async def _follow(self, kind: str, opened: asyncio.Event) -> None:
        async for type_, obj in self._api.events(self.PATHS[kind], opened):
            if type_ != "DELETED":
                self.seen[kind].append(obj)

    def rows(self, kind: str, name: str) -> list[Row]:
        return told(kind, (obj for obj in self.seen[kind] if obj["metadata"]["name"] == name))

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


def machine(lab: Lab, name: str, role: str) -> Obj:
    vm = lab.vm(name)
    del vm["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"]
    vm["metadata"]["labels"] = vm["spec"]["template"]["metadata"]["labels"] = {"cks.io/vm-role": role}
    vm["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 30
    return vm


async def play(lab: Lab) -> None:
    """The recorded calls up to the second restore, and the restore that fails."""
    api, names = lab.api, {"cp": CP, "wk": WK}
    for name in names.values():
        secret = {"metadata": {"name": f"{name}-cloudinit"}, "stringData": {"userdata": "#cloud-config\n"}}
        await api.create(core("cluster4", "secrets"), secret)
        await api.create(kubevirt("cluster4"), machine(lab, name, "control-plane" if name == CP else "worker"))
    await both(lab, ready)
    await both(lab, lambda lab, name: stopped(lab, name, None))
    for short, name in names.items():
        body = {
            "apiVersion": "snapshot.kubevirt.io/v1beta1",
            "kind": "VirtualMachineSnapshot",
            "metadata": {"name": f"{short}-snap"},
            "spec": {"source": {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": name}},
        }
        await api.create(snapshots("cluster4"), body)
    await both(lab, unlocked)
    for run in ("1", "2"):
        await both(lab, started)
        await both(lab, lambda lab, name: stopped(lab, name, 0))
        await both(lab, lambda lab, name, run=run: restored(lab, name, run))
    await both(lab, started)


async def both(lab: Lab, step: Callable[..., Any]) -> None:
    await asyncio.gather(step(lab, CP), step(lab, WK))


async def ready(lab: Lab, name: str) -> None:
    await lab.running(name)


async def started(lab: Lab, name: str) -> None:
    await lab.power(name, "start")
    await lab.running(name)


async def stopped(lab: Lab, name: str, grace: int | None) -> None:
    await lab.power(name, "stop", {} if grace is None else {"gracePeriod": grace})
    await lab.api.until(kubevirt("cluster4", "virtualmachineinstances", name), lambda vmi: vmi is None)


async def unlocked(lab: Lab, name: str) -> None:
    path = snapshots("cluster4", name=f"{name[:2]}-snap")
    await lab.api.until(path, lambda one: one and (one.get("status") or {}).get("readyToUse"))
    vm = kubevirt("cluster4", "virtualmachines", name)
    await lab.api.until(vm, lambda vm: not vm["status"].get("snapshotInProgress"))


def restore(name: str, vm: str, snapshot: str, policy: str) -> Obj:
    return {
        "apiVersion": "snapshot.kubevirt.io/v1beta1",
        "kind": "VirtualMachineRestore",
        "metadata": {"name": name},
        "spec": {
            "target": {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm},
            "virtualMachineSnapshotName": snapshot,
            "targetReadinessPolicy": policy,
        },
    }


async def restored(lab: Lab, name: str, run: str) -> None:
    path = snapshots("cluster4", "virtualmachinerestores")
    wanted = restore(f"{name}-reset-{run}", name, f"{name[:2]}-snap", "FailImmediate")
    await lab.api.create(path, wanted)
    await lab.api.until(f"{path}/{name}-reset-{run}", lambda one: (one.get("status") or {}).get("complete"))


async def test_the_recorded_lifecycle_shows_the_same_statuses(api: Api, lab: Lab) -> None:
    lab.namespace = "cluster4"
    await lab.prepare()
    golden = "/apis/cdi.kubevirt.io/v1beta1/namespaces/vm-templates/datavolumes/golden"
    await api.until(golden, lambda volume: (volume.get("status") or {}).get("phase") == "Succeeded")
    watcher = Watcher(api)
    await watcher.start()
    await play(lab)
    path = snapshots("cluster4", "virtualmachinerestores")
    await api.create(path, restore("r-running", CP, "cp-snap", "FailImmediate"))
    await api.until(f"{path}/r-running", lambda one: len((one.get("status") or {}).get("conditions") or []) == 3)
    with pytest.raises(Failed) as refusal:
        await api.create(path, restore("second", CP, "cp-snap", "FailImmediate"))
    assert refusal.value.message in (RECORDINGS / "calls.txt").read_text()
    await api.create(path, restore("r-nosnap", WK, "nope", "WaitGracePeriod"))
    await api.until(f"{path}/r-nosnap", lambda one: "Waiting" in str(one.get("status")))
    watcher.stop()
    for kind, name in (
        ("VirtualMachine", CP),
        ("VirtualMachine", WK),
        ("VirtualMachineInstance", CP),
        ("VirtualMachineSnapshot", "cp-snap"),
        ("VirtualMachineSnapshot", "wk-snap"),
        ("VirtualMachineRestore", f"{CP}-reset-1"),
        ("VirtualMachineRestore", f"{WK}-reset-2"),
        ("DataVolume", f"{CP}-rootdisk"),
    ):
        assert watcher.rows(kind, name) == recorded(kind, name), f"{kind} {name}"
    for name in ("r-running", "r-nosnap"):
        # Both were deleted in the recording, not here.
        shown = watcher.rows("VirtualMachineRestore", name)
        assert shown == recorded("VirtualMachineRestore", name)[: len(shown)], name

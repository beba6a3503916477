"""One lifecycle as a client of KubeVirt's own controllers lived it, played again: the same answers, line by line, and
the same statuses in the same order."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from tests.contract.api import Api
from tests.contract.lab import CDI, Lab, core, kubevirt, reasons, snapshots
from tests.contract.recording import CALLS, LIFECYCLE, Row, calls, recorded, told
from tests.contract.test_data_volumes import use_strategy
from tests.contract.test_storage import storage_class
from tests.http_api import Obj
from tests.lab import POWER

pytestmark = [
    pytest.mark.needs_controllers,
    pytest.mark.skipif(not (CALLS.exists() and LIFECYCLE.exists()), reason="the recording is not on this machine"),
]

CP, WK = "cp-cluster4", "wk-cluster4"
RESTORES = "virtualmachinerestores"
SHOWN = [
    ("VirtualMachine", CP),
    ("VirtualMachine", WK),
    ("VirtualMachineInstance", CP),
    ("VirtualMachineSnapshot", "cp-snap"),
    ("VirtualMachineSnapshot", "wk-snap"),
    ("VirtualMachineRestore", f"{CP}-reset-1"),
    ("VirtualMachineRestore", f"{WK}-reset-2"),
    ("DataVolume", f"{CP}-rootdisk"),
]
ABORTED = ["r-running", "r-nosnap"]
"""Both were deleted in the recording, not here."""

Answer = tuple[int, Any]


class Watcher:
    """Everything seen of the kinds in a namespace, in order."""

    PLURALS: ClassVar = {
        "VirtualMachine": "kubevirt.io/v1 virtualmachines",
        "VirtualMachineInstance": "kubevirt.io/v1 virtualmachineinstances",
        "VirtualMachineSnapshot": "snapshot.kubevirt.io/v1beta1 virtualmachinesnapshots",
        "VirtualMachineRestore": "snapshot.kubevirt.io/v1beta1 virtualmachinerestores",
        "DataVolume": "cdi.kubevirt.io/v1beta1 datavolumes",
    }

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self.seen: dict[str, list[Obj]] = {kind: [] for kind in self.PLURALS}

    async def follow(self, kind: str, opened: asyncio.Event) -> None:
        """Without end."""
        version, plural = self.PLURALS[kind].split()
        async for type_, obj in self._api.events(f"/apis/{version}/namespaces/{self._namespace}/{plural}", opened):
            if type_ != "DELETED":
                self.seen[kind].append(obj)

    def rows(self, kind: str, name: str) -> list[Row]:
        return told(kind, (obj for obj in self.seen[kind] if obj["metadata"]["name"] == name))


class Player:
    """Does what a line of the recording says was done, and holds the answer against the line's."""

    def __init__(self, lab: Lab, class_name: str) -> None:
        self.lab = lab
        self.api = lab.api
        self._class_name = class_name
        self._verbs: list[tuple[str, Callable[..., Awaitable[None]]]] = [
            (r"(?P<code>\d+)", self.prepare),
            (r"create (?P<name>\S+) (?P<code>\d+)", self.create),
            (r"(?P<action>start|stop) (?P<name>\S+) (?:(?P<body>\{.*?\}) )?(?P<code>\d+) (?P<answer>\{.*)", self.power),
            (r"snapshot (?P<name>\S+) (?P<code>\d+)", self.snapshot),
            (r"restore (?P<name>\S+) (?P<run>\d+) (?P<code>\d+)", self.restore),
            (r"reached (?P<name>\S+) (?P<what>.+) [\d.]+", self.reached),
            (r"pvcs (?P<names>\[.*\])", self.claims),
            (r"(?P<title>[^|]+) -> (?P<code>\d+) (?P<reason>\w+) \| (?P<message>.*)", self.rejection),
            (r"(?P<status>\{.*\})", self.failed),
            (r"(?P<phase>[A-Z][a-z]+)", self.phase),
            (r"---.*|.*:", self.nothing),
        ]

    async def play(self, line: str) -> None:
        """Raises AssertionError where the answer is another one."""
        for pattern, verb in self._verbs:
            if found := re.fullmatch(pattern, line):
                await verb(**found.groupdict())
                return
        raise AssertionError(f"not understood: {line}")

    async def nothing(self) -> None:
        """A caption."""

    async def prepare(self, code: str) -> None:
        """The recording does not say what the first call made; the VMs need their Secrets before them."""
        for name in (CP, WK):
            secret = {"metadata": {"name": f"{name}-cloudinit"}, "stringData": {"userdata": "#cloud-config\n"}}
            made, answer = await self.api.call("POST", core(self.lab.namespace, "secrets"), secret)
            assert made == int(code), answer

    async def create(self, name: str, code: str) -> None:
        made, answer = await self.api.call("POST", kubevirt(self.lab.namespace), self.machine(name))
        assert made == int(code), answer

    def machine(self, name: str) -> Obj:
        vm = self.lab.vm(name)
        # The recorded VMs had the default network, bridged, and the default grace.
        del vm["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"]
        vm["spec"]["template"]["spec"]["networks"] = [{"name": "default", "pod": {}}]
        vm["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"] = [{"name": "default", "bridge": {}}]
        vm["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 30
        vm["spec"]["dataVolumeTemplates"][0]["spec"]["storage"]["storageClassName"] = self._class_name
        return vm

    async def power(self, action: str, name: str, body: str | None, code: str, answer: str) -> None:
        path = f"{POWER}/namespaces/{self.lab.namespace}/virtualmachines/{name}/{action}"
        status, told = await self.api.call("PUT", path, ast.literal_eval(body) if body else None)
        assert status == int(code), told
        if status == 202:
            assert told == "", "the recorded client shows an empty body as {}"
            return
        # The line holds the first three hundred characters of a Status.
        message = re.search(r'"message": ("(?:[^"\\]|\\.)*")', answer)
        reason = re.search(r'"reason": "(\w+)"', answer)
        assert message is not None
        assert reason is not None
        assert (told["message"], told["reason"]) == (json.loads(message[1]), reason[1])
        assert json.dumps(told["details"]["name"]) in answer

    async def snapshot(self, name: str, code: str) -> None:
        vm = CP if name.startswith("cp") else WK
        made, answer = await self.take(name, vm)
        assert made == int(code), answer

    async def take(self, name: str, vm: str) -> Answer:
        body = {
            "apiVersion": "snapshot.kubevirt.io/v1beta1",
            "kind": "VirtualMachineSnapshot",
            "metadata": {"name": name},
            "spec": {"source": {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm}},
        }
        return await self.api.call("POST", snapshots(self.lab.namespace), body)

    async def restore(self, name: str, run: str, code: str) -> None:
        made, answer = await self.reset(f"{name}-reset-{run}", name, f"{name[:2]}-snap")
        assert made == int(code), answer

    async def reset(self, name: str, vm: str, snapshot: str, policy: str = "FailImmediate") -> Answer:
        body = {
            "apiVersion": "snapshot.kubevirt.io/v1beta1",
            "kind": "VirtualMachineRestore",
            "metadata": {"name": name},
            "spec": {
                "target": {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm},
                "virtualMachineSnapshotName": snapshot,
                "targetReadinessPolicy": policy,
            },
        }
        return await self.api.call("POST", snapshots(self.lab.namespace, RESTORES), body)

    async def reached(self, name: str, what: str) -> None:
        namespace = self.lab.namespace
        if what == "Ready":
            await self.lab.running(name)
        elif what == "VMI gone":
            await self.api.gone(kubevirt(namespace, "virtualmachineinstances", name))
        elif what == "readyToUse":
            path = snapshots(namespace, name=name)
            await self.api.until(path, lambda one: ((one or {}).get("status") or {}).get("readyToUse"))
            # The recorded storage was ready before the VM was free; elsewhere it may be the other way round.
            vm = kubevirt(namespace, name=CP if name.startswith("cp") else WK)
            await self.api.until(vm, lambda vm: vm and not vm["status"].get("snapshotInProgress"))
        else:
            run = re.fullmatch(r"restore (\d+) complete", what)
            assert run is not None, what
            path = snapshots(namespace, RESTORES, f"{name}-reset-{run[1]}")
            await self.api.until(path, lambda one: ((one or {}).get("status") or {}).get("complete"))

    async def claims(self, names: str) -> None:
        """As many as recorded, named after the restores that made them; old ones may be on their way out."""
        found = await self.lab.claim_uids()
        assert len(found) == len(ast.literal_eval(names))
        for restore in await self.api.items(snapshots(self.lab.namespace, RESTORES)):
            deleted = restore["status"]["deletedDataVolumes"]
            assert not set(deleted) & set(found)
        assert all(re.fullmatch(r"restore-[0-9a-f-]{36}-rootdisk", name) for name in found)

    async def rejection(self, title: str, code: str, reason: str, message: str) -> None:
        status, answer = await self.reject(title)
        assert status == int(code), answer
        if status >= 400:
            assert (answer["reason"], answer["message"]) == (reason, message)
        else:
            assert f'"kind": "{answer["kind"]}"' in message

    async def reject(self, title: str) -> Answer:
        """What the titles of the recording's last part stand for."""
        namespace, vm = self.lab.namespace, self.lab.vm(CP)
        if title == "restore of a running VM, FailImmediate":
            return await self.reset("r-running", CP, "cp-snap")
        if title == "second restore while one pends":
            return await self.reset("r-second", CP, "cp-snap")
        if title == "restore of an unknown snapshot":
            return await self.reset("r-nosnap", WK, "nope", "WaitGracePeriod")
        if title == "snapshot of an unknown VM":
            return await self.take("s-novm", "nope")
        if title == "snapshot name again":
            return await self.take("cp-snap", CP)
        if title == "snapshot spec change":
            snapshot = await self.api.get(snapshots(namespace, name="cp-snap"))
            snapshot["spec"]["deletionPolicy"] = "Retain"
            return await self.api.call("PUT", snapshots(namespace, name="cp-snap"), snapshot)
        if title == "stop unknown VM":
            return await self.api.call("PUT", f"{POWER}/namespaces/{namespace}/virtualmachines/nope/stop", {})
        if title == "VMI status write by a client":
            path = kubevirt(namespace, "virtualmachineinstances", CP)
            vmi = await self.api.get(path)
            return await self.api.call("PUT", path, {**vmi, "status": {**vmi["status"], "phase": "Failed"}})
        vm["metadata"]["name"] = "other"
        if title == "VM with running and runStrategy":
            vm["spec"]["running"] = True
        elif title == "VM without volume for disk":
            del vm["spec"]["template"]["spec"]["volumes"][1]
        else:
            assert title == "VM bad name"
            vm["metadata"]["name"] = "Bad_Name"
        return await self.api.call("POST", kubevirt(namespace), vm)

    async def failed(self, status: str) -> None:
        """The status of the restore of a running VM, but for its times."""
        path = snapshots(self.lab.namespace, RESTORES, "r-running")
        restore = await self.api.until(path, lambda one: one if "Failure" in reasons(one) else None)
        wanted = {"status": json.loads(status)}
        assert reasons(restore) == reasons(wanted)
        assert restore["status"].keys() == wanted["status"].keys()

    async def phase(self, phase: str) -> None:
        """The instance after a client wrote its status."""
        vmi = await self.api.get(kubevirt(self.lab.namespace, "virtualmachineinstances", CP))
        assert vmi["status"]["phase"] == phase


async def test_the_recorded_calls_get_the_same_answers_and_show_the_same_statuses(lab: Lab) -> None:
    golden = f"{CDI}/namespaces/vm-templates/datavolumes/golden"
    await lab.api.until(golden, lambda one: ((one or {}).get("status") or {}).get("phase") == "Succeeded")
    async with storage_class(lab) as copying:
        # The recorded disks were copied.
        await use_strategy(lab, copying, "copy")
        watcher = await played(lab, Player(lab, copying))
        for kind, name in SHOWN:
            assert watcher.rows(kind, name) == recorded(kind, name), f"{kind} {name}"
        for name in ABORTED:
            shown = watcher.rows("VirtualMachineRestore", name)
            assert shown == recorded("VirtualMachineRestore", name)[: len(shown)], name


async def played(lab: Lab, player: Player) -> Watcher:
    """What a watcher saw of all the calls."""
    watcher = Watcher(lab.api, lab.namespace)
    opened = {kind: asyncio.Event() for kind in watcher.PLURALS}
    watches = [asyncio.create_task(watcher.follow(kind, opened[kind])) for kind in watcher.PLURALS]
    try:
        await asyncio.gather(*(event.wait() for event in opened.values()))
        for line in calls():
            await player.play(line)
        path = snapshots(lab.namespace, RESTORES, "r-nosnap")
        await lab.api.until(path, lambda one: "Waiting" in str((one or {}).get("status")))
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
    return watcher

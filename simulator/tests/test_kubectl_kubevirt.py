"""kubectl, unchanged, on namespaces, Secrets, VMs, snapshots and restores, with KubeVirt's controllers at work."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from simulator.app import Simulator

pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on this machine"),
]

VM = """
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: vm, namespace: lab}
spec:
  runStrategy: Halted
  dataVolumeTemplates:
    - metadata: {name: vm-rootdisk}
      spec:
        source: {blank: {}}
        pvc: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
  template:
    spec:
      domain:
        devices: {disks: [{name: rootdisk, disk: {bus: virtio}}]}
        resources: {requests: {memory: 1Gi}}
      volumes: [{name: rootdisk, dataVolume: {name: vm-rootdisk}}]
"""
SNAPSHOT = """
apiVersion: snapshot.kubevirt.io/v1beta1
kind: VirtualMachineSnapshot
metadata: {name: snap, namespace: lab}
spec: {source: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}}
"""
RESTORE = """
apiVersion: snapshot.kubevirt.io/v1beta1
kind: VirtualMachineRestore
metadata: {name: back, namespace: lab}
spec: {target: {apiGroup: kubevirt.io, kind: VirtualMachine, name: vm}, virtualMachineSnapshotName: snap}
"""


async def test_a_vm_is_applied_snapshotted_restored_and_deleted(simulator: Simulator, tmp_path: Path) -> None:
    async def kubectl(*arguments: str, given: str = "") -> str:
        command = ["kubectl", "--kubeconfig", str(simulator.kubeconfig_path), "-n", "lab", *arguments]
        result = await asyncio.to_thread(
            subprocess.run, command, input=given, capture_output=True, text=True, check=False, timeout=40
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    async def until(what: str, path: str, value: str) -> None:
        await kubectl("wait", what, f"--for=jsonpath={{{path}}}={value}", "--timeout=20s")

    await kubectl("create", "namespace", "lab")
    await kubectl("label", "namespace", "lab", "cks.io/cluster-id=lab")
    assert await kubectl("get", "namespaces", "-l", "cks.io/cluster-id=lab", "-o", "name") == "namespace/lab\n"
    await kubectl("create", "secret", "generic", "key", "--from-literal=a=b")
    assert "Opaque" in await kubectl("describe", "secret", "key")

    await kubectl("apply", "-f", "-", given=VM)
    await until("pvc/vm-rootdisk", ".status.phase", "Bound")
    await until("dv/vm-rootdisk", ".status.phase", "Succeeded")
    await kubectl("label", "vm", "vm", "cks.io/vm-role=worker")
    assert (await kubectl("get", "vm")).split()[:4] == ["NAME", "AGE", "STATUS", "READY"]

    await kubectl("apply", "-f", "-", given=SNAPSHOT)
    await until("vmsnapshot/snap", ".status.readyToUse", "true")
    await kubectl("wait", "vm/vm", "--for=jsonpath={.status.printableStatus}=Stopped", "--timeout=20s")
    assert "Operation complete" in await kubectl("describe", "vmsnapshot", "snap")

    await kubectl("apply", "-f", "-", given=RESTORE)
    await until("vmrestore/back", ".status.complete", "true")
    vm = json.loads(await kubectl("get", "vm", "vm", "-o", "json"))
    restored = vm["spec"]["template"]["spec"]["volumes"][0]["dataVolume"]["name"]
    assert restored.startswith("restore-")
    await kubectl("delete", "vmrestore", "back")

    await kubectl("patch", "vm", "vm", "--type=merge", "-p", '{"spec":{"runStrategy":"Always"}}')
    await until("vm/vm", ".status.printableStatus", "Running")
    await kubectl("delete", "vm", "vm")
    await kubectl("delete", "namespace", "lab")
    assert "lab" not in (await kubectl("get", "namespaces", "-o", "name")).replace("/", " ").split()


async def test_kinds_have_their_short_names_columns_and_categories(simulator: Simulator) -> None:
    async def kubectl(*arguments: str) -> tuple[str, str]:
        command = ["kubectl", "--kubeconfig", str(simulator.kubeconfig_path), *arguments]
        result = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=True, timeout=40
        )
        return result.stdout, result.stderr

    headers = {"dv": "NAME PHASE PROGRESS RESTARTS AGE", "vm": "NAME AGE STATUS READY"}
    await asyncio.to_thread(
        subprocess.run,
        ["kubectl", "--kubeconfig", str(simulator.kubeconfig_path), "apply", "-f", "-"],
        input=VM.replace("namespace: lab", "namespace: default"),
        check=True,
        text=True,
        capture_output=True,
        timeout=40,
    )
    await kubectl("wait", "dv/vm-rootdisk", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=20s")
    for short, header in headers.items():
        out, said = await kubectl("get", short)
        assert (out.splitlines()[0].split(), said) == (header.split(), "")
    row = (await kubectl("get", "dvs", "--no-headers"))[0].split()
    assert row[:4] == ["vm-rootdisk", "Succeeded", "100.0%", "0"]
    everything, _ = await kubectl("get", "all", "-o", "name")
    assert {"datavolume.cdi.kubevirt.io/vm-rootdisk", "virtualmachine.kubevirt.io/vm"} <= set(everything.split())
    _, said = await kubectl("get", "virtualmachines.v1alpha3.kubevirt.io")
    assert said == "Warning: kubevirt.io/v1alpha3 is now deprecated and will be removed in a future release.\n"


async def test_a_misspelt_field_is_refused(api_server: Simulator) -> None:
    command = ["kubectl", "--kubeconfig", str(api_server.kubeconfig_path), "-n", "default", "create", "-f", "-"]
    given = VM.replace("namespace: lab", "namespace: default").replace("  runStrategy", "  runStratgy")
    result = await asyncio.to_thread(
        subprocess.run, command, input=given, capture_output=True, text=True, check=False, timeout=40
    )
    assert result.returncode == 1
    assert result.stderr.strip().endswith(
        'VirtualMachine in version "v1" cannot be handled as a VirtualMachine: strict decoding error: '
        'unknown field "spec.runStratgy"'
    )

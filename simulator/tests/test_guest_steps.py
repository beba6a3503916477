"""First boots step by step: what is printed and kept, what is tried again, what the steps make of the node."""

from __future__ import annotations

import pytest

from simulator.client import Obj
from simulator.client.meta import condition
from simulator.client.resources import DAEMON_SETS, NODES, SECRETS
from simulator.faults.troubles import Trouble, TroubleKind
from simulator.guests.images import image
from simulator.guests.preflight import check_version
from tests.guest_bench import INIT, JOIN, MARK, RUNCMD, STATE, Bench, Guest, bench, join_configuration, stepwise

PREPARE = 'for script in /etc/lab/prepare/*; do "$script" 2>&1 | says || fail "${script##*/}: ${PIPESTATUS[0]}"; done\n'
VERSION = """have=$(kubeadm version --output short)
if [ "$have" != v1.34.1 ]; then refuse "the image carries Kubernetes $have, the Pool wants v1.34.1"; fi
"""
PACKAGES = """
if command -v kubeadm >/dev/null; then exit 0; fi
curl --fail -o /run/key https://pkgs.k8s.io/core:/stable:/v1.34/deb/Release.key
echo "deb https://pkgs.k8s.io/core:/stable:/v1.34/deb/ /" >/etc/apt/sources.list.d/kubernetes.list
apt-get update
apt-get install --yes containerd kubeadm=1.34.1-* kubelet=1.34.1-* kubectl=1.34.1-*
"""
STOCK = "https://cloud-images.ubuntu.com/noble/current/noble-server-cloudimg-amd64.img"


def first_boot(guest: Guest) -> list[str]:
    """What the first boot has printed."""
    return [line.removeprefix("boot: ") for line in guest.lines if line.startswith("boot: ")]


async def says(guest: Guest, text: str, name: str = "cp") -> Obj:
    """The node of a cluster whose API server is up, once it says that."""
    async for event in guest.api.watch(NODES):
        said = (event.object["metadata"].get("annotations") or {}).get("lab/first-boot")
        if said == text and event.object["metadata"]["name"] == name:
            return event.object
    raise AssertionError("the watch ended")


async def test_steps_run_in_order_and_are_told_on_console_disk_and_node() -> None:
    prepare = {"/etc/lab/prepare/prepare.sh": "#!/bin/bash\necho installing\nunheard of\necho quiet >/dev/null\n"}
    async with bench() as on:
        guest = on.guest(
            stepwise({"60-cluster": INIT, "10-clock": "echo late | says\n", "90-prepare": PREPARE}, prepare)
        )
        await guest.prints("boot: done")
        assert first_boot(guest) == [
            "10-clock: begins",
            "10-clock: says: late",
            "60-cluster: begins",
            "90-prepare: begins",
            "90-prepare: says: installing",
            "done",
        ]
        made = await says(guest, "done")
        ready = condition(made["status"]["conditions"], "Ready")
        assert ready is not None
        assert ready["status"] == "True"
        assert (guest.disk.files[STATE], MARK in guest.disk.files) == ("done\n", True)
        await guest.stop()
        guest.boot()
        await guest.prints("kube-apiserver is serving")
        assert first_boot(guest) == []


async def test_a_failed_step_is_said_and_tried_again_until_it_works() -> None:
    async with bench() as on:
        guest = on.guest(
            stepwise({"60-cluster": INIT, "80-wait": "if [ ! -e /etc/lab/now ]; then fail 'not yet'; fi\n"})
        )
        await guest.prints("80-wait: failed: not yet")
        await says(guest, "80-wait: failed: not yet")
        assert guest.disk.files[STATE] in ("80-wait: failed: not yet\n", "60-cluster: begins\n", "80-wait: begins\n")
        guest.disk.files["/etc/lab/now"] = ""
        await guest.prints("boot: done")
        await says(guest, "done")
        assert guest.events.count("boot: 80-wait: failed: not yet") == 1


async def test_a_step_is_not_tried_again_when_no_unit_does() -> None:
    async with bench() as on:
        guest = on.guest(stepwise({"60-cluster": "false\n"}), runcmd=["sync", ["/usr/local/sbin/boot"]])
        await guest.prints("60-cluster: failed: exit status 1")
        assert guest.machine is not None
        assert guest.machine._task is not None
        await guest.machine._task
        assert first_boot(guest) == ["60-cluster: begins", "60-cluster: failed: exit status 1"]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("docker://host/image:v1.33.2", "the image carries Kubernetes v1.33.2, the Pool wants v1.34.1"),
        ("docker://host/image:v1.34.1", ""),
        ("docker://golden", ""),
    ],
)
async def test_an_image_of_another_version_is_refused_by_a_script_that_looks(address: str, text: str) -> None:
    async with bench() as on:
        guest = on.guest(stepwise({"50-version": VERSION, "60-cluster": INIT}), address=address)
        await guest.prints(f"50-version: refused: {text}" if text else "boot: done")
        if text:
            assert first_boot(guest) == ["50-version: begins", f"50-version: refused: {text}"]


@pytest.mark.parametrize(
    ("has", "wanted", "text"),
    [
        ("v1.34.1", "v1.34.1", ""),
        ("", "v1.20.0", ""),
        ("v1.34.1", "v1.35.0", ""),
        ("v1.34.1", "v1.33.0", "the kubelet version is higher than the control plane version"),
        ("v1.34.1", "v1.32.9", "only supports deploying clusters with the control plane version >= 1.33.0"),
    ],
)
def test_kubeadm_makes_no_cluster_of_a_version_that_is_too_old(has: str, wanted: str, text: str) -> None:
    if not text:
        check_version(has, wanted)
        return
    with pytest.raises(ValueError, match=text):
        check_version(has, wanted)


@pytest.mark.parametrize(
    ("address", "version", "network"),
    [
        ("docker://quay.io/capk/ubuntu-2404-container-disk:v1.34.1", "v1.34.1", False),
        ("https://host.example/node-v1.33.0.qcow2", "v1.33.0", False),
        ("https://host.example/disk.qcow2", "none", False),
        (STOCK, "none", False),
        ("docker://host.example/debian-13-genericcloud-amd64:latest", "none", False),
        ("docker://golden", None, True),
        ("docker://host.example/image@sha256:1234", None, True),
        ("", None, True),
    ],
)
def test_an_address_says_which_kubernetes_an_image_carries(address: str, version: str | None, network: bool) -> None:
    disk = image(address)
    assert disk.machine.get("kubernetes") == version
    assert ("/usr/bin/kubeadm" in disk.files) is (version != "none")
    assert any(path.startswith("/etc/cni/net.d/") for path in disk.files) is network


async def test_an_image_without_kubernetes_gets_it_from_its_repository() -> None:
    async with bench() as on:
        guest = on.guest(stepwise({"40-packages": PACKAGES, "50-version": VERSION, "60-cluster": INIT}), address=STOCK)
        await guest.prints("boot: done")


@pytest.mark.parametrize(
    ("steps", "host", "text"),
    [
        ({}, "", "60-cluster: failed: kubeadm init: kubeadm: command not found"),
        ({"40-packages": PACKAGES}, "pkgs.*", "failed: curl: curl: (6) Could not resolve host: pkgs.k8s.io"),
        (
            {"40-packages": PACKAGES.replace("curl", ": curl")},
            "pkgs.*",
            "failed: apt-get update: E: Failed to fetch https://pkgs.k8s.io/core:/stable:/v1.34/deb/InRelease",
        ),
        (
            {"40-packages": PACKAGES.replace("v1.34", "v1.33")},
            "",
            "40-packages: failed: apt-get install: E: Version '1.34.1-*' for 'kubeadm' was not found",
        ),
        (
            {"40-packages": PACKAGES},
            "registry.k8s.io",
            "60-cluster: failed: kubeadm init: [ERROR ImagePull]: failed to pull image registry.k8s.io/kube-apiserver",
        ),
        (
            {"40-packages": PACKAGES, "70-pull": "crictl pull host.example/policies:v1\n"},
            "host.example",
            "70-pull: failed: crictl pull host.example/policies:v1: pulling image: rpc error: code = Unknown desc = "
            'failed to pull and unpack image "host.example/policies:v1": failed to resolve reference',
        ),
    ],
)
async def test_what_a_guest_cannot_reach_it_does_not_get(steps: dict[str, str], host: str, text: str) -> None:
    async with bench() as on:
        if host:
            on.troubles.add(Trouble(TroubleKind.UNREACHABLE, name="cp", host=host))
        guest = on.guest(stepwise({**steps, "60-cluster": INIT}), address=STOCK)
        await guest.prints(text)
        if host:
            on.troubles.clear()
            await guest.prints("boot: done")


async def test_images_that_are_on_the_disk_need_no_registry() -> None:
    async with bench() as on:
        on.troubles.add(Trouble(TroubleKind.UNREACHABLE))
        await on.guest(stepwise({"60-cluster": INIT})).prints("boot: done")


async def test_a_node_is_not_ready_before_it_has_a_network_plugin() -> None:
    plugin = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "net", "namespace": "kube-system"}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    template["spec"]["volumes"] = [{"name": "v", "hostPath": {"path": "/etc/cni/net.d"}}]
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    files = stepwise({"60-cluster": INIT})
    del files["/etc/cni/net.d/10-lab.conflist"]
    async with bench() as on:
        guest = on.guest(files)
        await guest.prints("boot: done")
        made = await says(guest, "done")
        ready = condition(made["status"]["conditions"], "Ready")
        assert ready is not None
        assert (ready["status"], ready["reason"]) == ("False", "KubeletNotReady")
        assert ready["message"].endswith("cni plugin not initialized")
        await guest.api.create(DAEMON_SETS, {**plugin, "spec": spec})
        async for event in guest.api.watch(NODES):
            ready = condition(event.object["status"]["conditions"], "Ready")
            if ready is not None and ready["status"] == "True":
                break


async def test_tokens_may_be_made_when_everything_else_is() -> None:
    more = INIT.replace("--skip-token-print", "--skip-phases bootstrap-token")
    more += "if [ ! -e /etc/lab/open ]; then fail closed; fi\n"
    more += "kubeadm init phase bootstrap-token --config /etc/lab/kubeadm.yaml\n"
    async with bench() as on:
        guest = on.guest(stepwise({"60-cluster": more}))
        await guest.prints("failed: closed")
        assert await guest.api.list(SECRETS, "kube-system") == []
        guest.disk.files["/etc/lab/open"] = ""
        await guest.prints("boot: done")
        names = [one["metadata"]["name"] for one in await guest.api.list(SECRETS, "kube-system")]
        assert names == ["bootstrap-token-abcdef"]


def worker(on: Bench, configuration: str) -> Guest:
    files = stepwise({"60-cluster": JOIN}) | {"/etc/lab/kubeadm.yaml": configuration}
    files["/etc/hosts"] = f"127.0.0.1 localhost\n{on.addresses['cp']} cp.lab\n"
    return on.guest(files, name="wk", runcmd=RUNCMD)


async def test_a_worker_joins_and_says_what_keeps_it_from_that() -> None:
    async with bench() as on:
        strange = join_configuration().replace("sha256:", "sha256:0")
        lost = worker(on, strange)
        guest = on.guest(stepwise({"60-cluster": INIT}))
        await guest.prints("boot: done")
        await lost.prints("60-cluster: failed: kubeadm join: cluster CA found in cluster-info ConfigMap is invalid")
        lost.disk.files["/etc/lab/kubeadm.yaml"] = join_configuration()
        await lost.prints("boot: done")
        await says(guest, "done", "wk")


async def test_a_worker_waits_no_longer_than_it_is_told_to() -> None:
    async with bench() as on:
        guest = worker(on, join_configuration().replace("100m", "1s"))
        await guest.prints(
            "60-cluster: failed: kubeadm join: couldn't validate the identity of the API Server: no route to"
        )

"""Power cuts in a first boot: what is lost, and what a boot makes of what is left."""

from __future__ import annotations

import asyncio

import pytest

from simulator.app import Simulator
from simulator.client.resources import NODES
from simulator.faults.troubles import Trouble, TroubleKind
from simulator.guests.disk import Disk
from simulator.guests.images import STORE, WHOLE
from tests.guest_bench import INIT, JOIN, RUNCMD, Bench, Guest, bench, join_configuration, stepwise
from tests.lab import Lab, kubevirt

STEPS = {"10-kernel": "touch /etc/lab/kernel\n", "60-cluster": INIT}
IMAGE = "host.example/net/policies:v1"
PULL = f'if [ -z "$(ctr --namespace k8s.io images list --quiet "name=={IMAGE}")" ]; then crictl pull {IMAGE}; fi\n'
FORGET = """
readonly brought=/etc/lab/brought
readonly looked=/run/looked
if [ -e "$looked" ]; then exit 0; fi
listed=$(ctr --namespace k8s.io images list --quiet)
if [ ! -e "$brought" ]; then
  echo "$listed" >"$brought.new"
  sync "$brought.new"
  mv "$brought.new" "$brought"
else
  for image in $(grep --invert-match --line-regexp --fixed-strings --file="$brought" <<<"$listed"); do
    ctr --namespace k8s.io images remove --sync "$image"
  done
fi
touch "$looked"
"""
PRECIOUS = "/etc/lab/kubeadm.yaml"


def cut(on: Bench, at: str, name: str = "cp") -> None:
    """Once, at that point."""
    on.troubles.add(Trouble(TroubleKind.CUT_POWER, name=name, at=at, count=1))


def test_a_disk_loses_what_was_written_and_not_synced_since_it_held_it() -> None:
    disk = Disk(files={"/old": "1"})
    disk.hold()
    disk.files |= {"/a": "1", "/b": "2", "/c": "3"}
    disk.sync("/a")
    del disk.files["/c"]
    disk.lose()
    assert dict(disk.files) == {"/old": "1", "/a": "1", "/b": ""}
    disk.hold()
    disk.files["/d"] = "4"
    disk.sync()
    disk.files["/e"] = "5"
    disk.settle()
    disk.files["/f"] = "6"
    disk.lose()
    assert [disk.files[path] for path in ("/d", "/e", "/f")] == ["4", "5", "6"]


async def test_files_that_cloud_init_has_just_written_are_empty_and_the_vm_is_dead_for_good() -> None:
    async with bench() as on:
        cut(on, "cloud-init")
        guest = on.guest(stepwise(STEPS), bootcmd=())
        await guest.has_lost_power()
        assert guest.disk.files[PRECIOUS] == guest.disk.files["/usr/local/sbin/boot"] == ""
        for _ in range(2):
            guest.boot()
            await guest.prints("this is a bare machine")
            assert not [line for line in guest.lines if line.startswith("boot: ")]
            await guest.cut()


async def test_the_units_whose_files_are_empty_are_masked() -> None:
    async with bench() as on:
        cut(on, "10-kernel")
        files = stepwise(STEPS)
        files["/usr/local/sbin/boot"] = files["/usr/local/sbin/boot"].replace("sync", ":")
        guest = on.guest(files, runcmd=[one for one in RUNCMD if one != ["sync"]], bootcmd=())
        await guest.has_lost_power()
        guest.boot()
        await guest.prints("Unit boot.service is masked.")


@pytest.mark.parametrize("form", [["sh", "-c", "{}"], "{}"])
async def test_semaphores_that_are_removed_at_boot_let_cloud_init_begin_anew(form: list[str] | str) -> None:
    remove = "test -e /etc/lab/done || rm -f /var/lib/cloud/instance/sem/config_*"
    command = [part.format(remove) for part in form] if isinstance(form, list) else form.format(remove)
    async with bench() as on:
        cut(on, "cloud-init")
        guest = on.guest(stepwise(STEPS), bootcmd=[command])
        await guest.has_lost_power()
        guest.boot()
        await guest.prints("cloud-init: its semaphores were removed: running again")
        await guest.prints("boot: done")
        await guest.stop()
        guest.boot()
        await guest.prints("kube-apiserver is serving")
        assert not [line for line in guest.lines if "cloud-init" in line]


async def test_an_orderly_stop_in_a_first_boot_loses_nothing_and_a_forced_one_does() -> None:
    wait = {"10-wait": "until [ -e /etc/lab/never ]; do sleep 1; done\n"}
    files = stepwise(wait)
    files["/usr/local/sbin/boot"] = files["/usr/local/sbin/boot"].replace("sync", ":")
    for orderly in (True, False):
        async with bench() as on:
            guest = on.guest({**files, "/usr/local/lib/lab/first-boot.d/60-cluster": "#!/bin/sh\n"}, runcmd=RUNCMD[1:])
            await guest.prints("10-wait: begins")
            await (guest.stop() if orderly else guest.cut())
            assert bool(guest.disk.files[PRECIOUS]) is orderly


POINTS = [
    "cloud-init",
    "runcmd",
    "10-kernel",
    "10-kernel:touch",
    "10-kernel:end",
    "10-kernel:synced",
    "60-cluster",
    "60-cluster:install",
    "60-cluster:kubeadm init begins",
    "60-cluster:kubeadm init",
    "60-cluster:touch",
    "60-cluster:end",
]


@pytest.mark.parametrize("at", POINTS)
async def test_a_first_boot_that_is_written_for_it_gets_there_from_every_cut(at: str) -> None:
    async with bench() as on:
        cut(on, at)
        guest = on.guest(stepwise(STEPS))
        await guest.has_lost_power()
        guest.boot()
        await guest.prints("boot: done")
        async for event in (await guest.serves()).watch(NODES):
            if event.object.get("status", {}).get("nodeInfo", {}).get("bootID") == guest.machine.boot_id:
                break


@pytest.mark.parametrize(("step", "left"), [(FORGET, WHOLE), ("true\n", "")], ids=["removed", "kept"])
async def test_an_image_that_was_pulled_and_not_synced_is_half_until_it_is_removed(step: str, left: str) -> None:
    async with bench() as on:
        cut(on, "70-pull:crictl")
        guest = on.guest(stepwise({**STEPS, "45-images": step, "70-pull": PULL}))
        brought = {path for path in guest.disk.files if path.startswith(STORE)}
        await guest.has_lost_power()
        assert guest.disk.files[STORE + IMAGE] == ""
        guest.boot()
        await guest.prints("boot: done")
        images = {path: text for path, text in guest.disk.files.items() if path.startswith(STORE)}
        assert images == dict.fromkeys(brought, WHOLE) | {STORE + IMAGE: left}


async def test_a_file_that_was_synced_before_it_was_moved_is_not_lost() -> None:
    async with bench() as on:
        cut(on, "45-images:mv")
        guest = on.guest(stepwise({"45-images": FORGET, **STEPS}))
        await guest.has_lost_power()
        assert "kube-apiserver" in guest.disk.files["/etc/lab/brought"]


async def test_a_cut_between_reset_and_the_authoritys_return_leaves_one_of_kubeadms_own() -> None:
    """With the pool's authority where kubeadm reset finds it."""
    old = """
if [ -e /etc/kubernetes/kubelet.conf ] || [ -d /var/lib/etcd/member ]; then
  install -d /etc/lab/kept
  cp -a /etc/kubernetes/pki/ca.crt /etc/kubernetes/pki/ca.key /etc/lab/kept/
  kubeadm reset --force
  install -d /etc/kubernetes/pki
  cp -a /etc/lab/kept/ca.crt /etc/lab/kept/ca.key /etc/kubernetes/pki/
fi
kubeadm init --config /etc/lab/kubeadm.yaml
"""
    files = stepwise({"60-cluster": old})
    for name in ("ca.crt", "ca.key"):
        files[f"/etc/kubernetes/pki/{name}"] = files.pop(f"/etc/lab/pki/{name}")
    async with bench() as on:
        cut(on, "60-cluster:kubeadm init begins")
        cut(on, "60-cluster:kubeadm reset")
        guest = on.guest(files, bootcmd=())
        await guest.has_lost_power()
        guest.boot()
        await guest.has_lost_power()
        guest.boot()
        await guest.prints("boot: done")
        assert guest.disk.files["/etc/kubernetes/pki/ca.crt"] not in ("", files["/etc/kubernetes/pki/ca.crt"])


def joining(on: Bench, step: str) -> Guest:
    """A worker beside a control plane."""
    on.guest(stepwise({"60-cluster": INIT}))
    files = stepwise({"60-cluster": step}) | {"/etc/lab/kubeadm.yaml": join_configuration()}
    files["/etc/hosts"] = f"127.0.0.1 localhost\n{on.addresses['cp']} cp.lab\n"
    return on.guest(files, name="wk")


async def test_half_a_worker_is_refused_for_ever_unless_all_that_is_half_is_reset() -> None:
    """By the name of its node while its cluster still hears of that, then by the files that it has left."""
    old = "if [ -e /etc/kubernetes/kubelet.conf ]; then kubeadm reset --force; fi\n" + JOIN
    async with bench(lease=5.0) as on:
        cut(on, "60-cluster:end", "wk")
        guest = joining(on, old)
        await guest.has_lost_power()
        guest.boot()
        await guest.prints('60-cluster: failed: kubeadm join: a Node with name "wk" and status "Ready" already exists')
        await guest.prints(
            "60-cluster: failed: kubeadm join: "
            "[ERROR FileAvailable--etc-kubernetes-pki-ca.crt]: /etc/kubernetes/pki/ca.crt already exists"
        )


async def test_a_worker_that_is_reset_whatever_is_left_of_it_joins_in_the_end() -> None:
    new = "if [ -e /etc/kubernetes/pki/ca.crt ]; then kubeadm reset --force; fi\n" + JOIN
    async with bench(lease=5.0) as on:
        cut(on, "60-cluster:end", "wk")
        guest = joining(on, new)
        await guest.has_lost_power()
        guest.boot()
        await guest.prints("already exists")
        # What its control plane does in the end.
        node = await on.guests[0].api.get(NODES, "wk")
        status = {**node["status"], "conditions": [{"type": "Ready", "status": "Unknown"}]}
        await on.guests[0].api.update(NODES, {**node, "status": status}, subresource="status")
        await guest.prints("boot: done")


@pytest.mark.parametrize(
    "step", [INIT.replace("-e ", "-e /no"), JOIN + "kubeadm join --config /etc/lab/kubeadm.yaml\n"]
)
async def test_kubeadm_does_not_begin_on_a_node_that_there_is(step: str) -> None:
    verb = "join" if step.startswith("kubeadm join") else "init"
    async with bench() as on:
        guest = joining(on, step) if verb == "join" else on.guest(stepwise({"60-cluster": step, "70-fail": "false\n"}))
        await guest.prints(f"60-cluster: failed: kubeadm {verb}: [ERROR FileAvailable--etc-kubernetes-")


async def test_an_instance_whose_power_is_cut_has_failed_and_its_vm_starts_again(
    lab: Lab, simulator: Simulator
) -> None:
    trouble = simulator.troubles.add(Trouble(TroubleKind.CUT_POWER, name="cp", at="cloud-init", count=1))
    phases: list[str] = []
    opened = asyncio.Event()

    async def follow() -> None:
        async for _, vmi in lab.api.events(kubevirt(lab.namespace, "virtualmachineinstances"), opened):
            if vmi["metadata"]["name"] == "cp" and (phase := vmi["status"].get("phase")) not in phases[-1:]:
                phases.append(str(phase))
                if phases.count("Running") == 2:
                    return

    watching = asyncio.create_task(follow())
    await opened.wait()
    await lab.create()
    await asyncio.wait_for(watching, 20)
    assert "Failed" in phases
    assert len(trouble.struck) == 1


async def test_a_node_does_not_say_what_a_first_boot_is_at_that_was_cut() -> None:
    """Though a unit would say what the first boot has come to."""
    say = 'kubectl annotate --overwrite node cp lab/first-boot="$(cat /var/lib/lab/first-boot)"\n'
    unit = {"/etc/systemd/system/say.service": "[Service]\nExecStart=/say\n", "/say": f"#!/bin/sh\n{say}"}
    wait = {"80-wait": "until [ -e /etc/lab/now ]; do sleep 1; done\n"}
    runcmd = [*RUNCMD, ["systemctl", "enable", "--now", "say.service"]]
    async with bench() as on:
        cut(on, "80-wait")
        guest = on.guest(stepwise({**STEPS, **wait}, unit), runcmd=runcmd)
        await guest.has_lost_power()
        assert guest.disk.files["/var/lib/lab/first-boot"] == ""
        guest.disk.files["/var/lib/lab/first-boot"] = "80-wait: begins\n"
        guest.boot()
        async for event in (await guest.serves()).watch(NODES):
            if event.object.get("status", {}).get("nodeInfo", {}).get("bootID") == guest.machine.boot_id:
                break
        await guest.prints("80-wait: begins")
        assert "lab/first-boot" not in (await guest.api.get(NODES, "cp"))["metadata"].get("annotations", {})
        guest.disk.files["/etc/lab/now"] = ""
        await guest.prints("boot: done")

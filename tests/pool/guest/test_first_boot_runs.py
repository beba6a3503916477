"""First boot's real scripts in a real bash, on played nodes: they get there whatever happens on the way.

| what | expected |
|---|---|
| the power is cut at any point, unsynced files empty or gone | the next boots make a whole node of the pool's CA |
| a step fails | it is said why, and tried again |
| a step refuses | it is said why, and not tried again before the next boot |
| all steps have succeeded | nothing is ever run again |

One of nine points is cut at, others each day; `CKS_TEST_CRASH=all` cuts at every one.
"""

from __future__ import annotations

import pytest

from pool.kubevirt.cluster import Role
from tests.pool.crash.tally import Tally
from tests.pool.guest.first_boots import BOTH, LATER, Make, assert_whole
from tests.pool.guest.rendered import placeholder_identity


@BOTH
def test_a_first_boot_runs_each_step_once_and_then_never_again(make: Make, role: Role) -> None:
    node = make(role)
    assert node.run() == 0
    assert_whole(node, role)
    assert node.console[-1] == "cks-first-boot: done"
    begun = [line.removesuffix(": begins").split()[-1] for line in node.console if line.endswith(": begins")]
    assert begun == sorted(begun)
    assert {"10-kernel", "20-link", "30-clock", "50-version", "60-cluster", "90-prepare"} <= set(begun)
    assert "systemctl start --no-block cks-boots-say.service" in node.calls
    before = node.calls
    node.boot()
    assert node.run() == 0
    assert node.calls == before
    assert node.console == []


def test_an_empty_step_or_script_is_none_that_worked(make: Make) -> None:
    node = make(Role.WORKER)
    for empty in ("/usr/local/lib/cks/first-boot.d/30-clock", "/etc/cks/prepare/10-prepare.sh"):
        node.write(empty, "")
        assert node.run() == 1
        assert node.console[-1].endswith("is an empty file")
        node.cloud_init()
    node.settle()
    assert_whole(node, Role.WORKER)


@BOTH
def test_it_gets_there_wherever_the_power_is_cut(make: Make, role: Role) -> None:
    """Also when what a cut has left is cut once more. Files that were not synced are empty, or gone."""
    node = make(role, "uncut")
    node.run()
    points = int(node.read("points"))
    assert points > 15
    for cut in Tally("first boot").points(points, every=9):
        gone = cut % 2 == 0
        node = make(role, f"cut-{cut}")
        assert node.run(cut) < 0
        node.power_cut(gone=gone)
        node.run(cut // 2 + 3)
        node.power_cut(gone=not gone)
        node.settle()
        assert_whole(node, role)


def test_a_cut_node_is_not_reset_once_its_cluster_was_made(make: Make) -> None:
    node = make(Role.CONTROL_PLANE)
    node.fails("kubectl", 99, "error: the server doesn't have a resource type")
    assert node.run(cut=LATER) == 1
    node.power_cut()
    node.fails("kubectl", 0, "")
    node.settle()
    assert_whole(node, Role.CONTROL_PLANE)
    assert sum(call.startswith("kubeadm init --config") for call in node.calls) == 1
    assert not any(call.startswith("kubeadm reset") for call in node.calls)


def test_etcd_is_removed_also_where_its_manifest_was_lost(make: Make) -> None:
    """`kubeadm reset` then takes etcd for somebody else's, and `kubeadm init` refuses what is left of it."""
    node = make(Role.CONTROL_PLANE)
    node.write("/etc/kubernetes/manifests/etcd.yaml", "")
    node.write("/etc/kubernetes/pki/ca.crt", "")
    node.write("/var/lib/etcd/member", "half\n")
    node.settle()
    assert_whole(node, Role.CONTROL_PLANE)


def test_what_failed_is_said_and_tried_again(make: Make) -> None:
    node = make(Role.WORKER)
    why = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    node.fails(
        "kubeadm", 2, f"error execution phase preflight: couldn't validate the identity of the API Server: {why}"
    )
    for _ in range(2):
        assert node.run() == 1
        assert node.console[-1].startswith("cks-first-boot: 60-cluster: failed: kubeadm join: error execution phase")
        assert node.console[-1].endswith(why)
        assert node.read("/var/lib/cks/first-boot") == node.console[-1].removeprefix("cks-first-boot: ") + "\n"
    assert node.run() == 0
    assert_whole(node, Role.WORKER)


def test_a_join_that_gave_up_waiting_for_its_certificate_is_no_obstacle_to_the_next(make: Make) -> None:
    """It leaves the CA's certificate, beside which kubeadm does not begin again."""
    node = make(Role.WORKER)
    node.fails("tls", 1, "error execution phase kubelet-start: timed out waiting for the condition")
    assert node.run() == 1
    assert node.console[-1].endswith(
        "60-cluster: failed: kubeadm join: error execution phase kubelet-start: timed out waiting for the condition"
    )
    assert node.path("/etc/kubernetes/pki/ca.crt").exists()
    assert node.run() == 0
    assert_whole(node, Role.WORKER)


def test_of_kubeadms_preflight_the_check_is_said_that_failed(make: Make) -> None:
    node = make(Role.CONTROL_PLANE)
    node.write("/etc/kubernetes/manifests/etcd.yaml", "etcd\n")
    assert node.run() == 1
    words = (
        "60-cluster: failed: kubeadm init: [ERROR FileAvailable]: /etc/kubernetes/manifests/etcd.yaml already exists"
    )
    assert node.console[-1] == f"cks-first-boot: {words}"


def test_a_manifest_that_needs_a_later_one_holds_in_the_next_round(make: Make) -> None:
    """And the node says of the first that failed why it did, whatever failed after it."""
    backwards = {"app.yaml": "kind: App\n", "crd.yaml": "kind: CustomResourceDefinition\n", "more.yaml": "kind: More\n"}
    node = make(Role.CONTROL_PLANE, addons=backwards)
    node.write("/etc/cks/addons/03-more.yaml", "")
    assert node.run() == 1
    assert node.console[-1].startswith("cks-first-boot: 80-addons: failed: kubectl apply: error: resource mapping")
    assert node.console[-1].endswith('01-app.yaml": no matches for kind "App" in version "v1"')
    assert node.read("annotations").splitlines() == [node.console[-1].replace("cks-first-boot: ", "cks.io/first-boot=")]
    assert node.run() == 1
    assert node.console[-1].endswith("80-addons: failed: kubectl apply: error: no objects passed to apply")
    node.cloud_init()
    assert node.run() == 0


@BOTH
def test_another_version_than_the_pools_is_refused_until_the_next_boot(make: Make, role: Role) -> None:
    node = make(role)
    (node.folder / "version").write_text("v1.33.5\n")
    assert node.run() == 78
    assert node.console[-1] == (
        "cks-first-boot: 50-version: refused: the image carries Kubernetes v1.33.5, the Pool wants v1.34.1"
    )
    unit = next(file.content for file in node.files if file.path.endswith("cks-first-boot.service"))
    assert "RestartPreventExitStatus=78\n" in unit
    (node.folder / "version").write_text("v1.34.1\n")
    node.boot()
    node.settle()
    assert_whole(node, role)


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ("systemd-network", "20-link: refused: the image has no systemd-networkd"),
        ("wireguard", "10-kernel: refused: the image has no kernel modules"),
        ("nft_queue", "10-kernel: refused: the image has no kernel modules nfnetlink_queue and nft_queue"),
        ("crictl", "50-version: refused: the image has no crictl"),
    ],
)
def test_an_image_that_lacks_what_a_node_needs_is_refused_in_words(make: Make, lacking: str, words: str) -> None:
    node = make(Role.WORKER)
    (node.folder / "lacks").write_text(f"{lacking}\n")
    assert node.run() == 78
    assert words in node.console[-1]


def test_without_the_built_in_network_nothing_that_policies_need_is_asked_for(make: Make) -> None:
    node = make(Role.WORKER, network="none")
    (node.folder / "lacks").write_text("nft_queue\n")
    assert node.run() == 0
    assert node.slept == []


@BOTH
def test_a_node_on_which_nothing_enforces_policies_is_not_done(make: Make, role: Role) -> None:
    """What enforces them runs on without its queue, and packets pass."""
    node = make(role)
    (node.folder / "dumb").touch()
    assert node.run() == 1
    why = "kube-network-policies judges no packets of this node: it does not read queue 98"
    assert node.console[-1] == f"cks-first-boot: 70-network: failed: {why}"
    assert node.slept == ["1"] * 59
    (node.folder / "dumb").unlink()
    node.boot()
    assert node.run() == 0
    assert_whole(node, role)


def test_a_clock_that_is_not_set_right_is_said_and_does_not_stop_the_boot(make: Make) -> None:
    node = make(Role.WORKER)
    (node.folder / "no-time").touch()
    assert node.run() == 0
    assert any("30-clock: says: the clock was not synchronised within 30 s" in line for line in node.console)


def test_the_clock_is_waited_for_once_a_boot(make: Make) -> None:
    node = make(Role.WORKER)
    (node.folder / "no-time").touch()
    node.fails("kubeadm", 1, "error: not yet")
    assert node.run() == 1
    assert node.run() == 0
    assert not any("30-clock: says" in line for line in node.console)


def test_swap_stays_off_after_the_next_boot_too(make: Make) -> None:
    node = make(Role.WORKER)
    node.run()
    assert node.read("/etc/fstab").splitlines() == [
        "UUID=1 / ext4 defaults 0 1",
        "# /swap.img none swap sw 0 0",
    ]


@BOTH
def test_secrets_are_never_on_the_console_nor_in_the_log(make: Make, role: Role) -> None:
    identity = placeholder_identity()
    loud = {
        "prepare.sh": f"#!/bin/bash\necho the token is {identity.bootstrap_token}, see\necho done >>$NODE/prepared\n"
    }
    node = make(role, addons=loud)
    node.fails("kubeadm", 1, f"error: bootstrap token {identity.bootstrap_token} is not known")
    said = ""
    for _ in range(2):
        node.run()
        said += "".join(node.console)
    assert node.done
    assert "bootstrap token ****** is not known" in said
    assert "the token is ******, see" in said
    for secret in (identity.bootstrap_token, *identity.wireguard.values(), identity.ca.key.decode()[30:80]):
        assert secret not in said
        assert secret not in node.read("annotations")
        assert secret not in node.read("journal")
    assert "abcdef.0123456789abcdef" not in node.read("journal")

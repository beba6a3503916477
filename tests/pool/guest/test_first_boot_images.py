"""Container images on golden disks: they are there, and whole, whenever the power was cut."""

from __future__ import annotations

from pool.kubevirt.cluster import Role
from tests.pool.guest.first_boots import ADDONS, BOTH, LATER, POLICIES, PREPARED, Make, assert_whole
from tests.pool.guest.node import Node


@BOTH
def test_the_image_of_what_enforces_policies_is_on_the_disk_before_it_is_done(make: Make, role: Role) -> None:
    node = make(role)
    node.fails("crictl", 1, "error: failed to pull image: dial tcp: lookup registry.k8s.io: no such host")
    assert node.run() == 1
    assert "70-network: failed: crictl: error: failed to pull image" in node.console[-1]
    node.settle()
    assert_whole(node, role)
    pulled = [call.split()[-1] for call in node.calls if call.startswith("crictl")]
    assert pulled == [POLICIES, POLICIES, PREPARED]


def cut_after_its_images(make: Make) -> Node:
    """A node whose power was cut when it had pulled an image, and which boots."""
    node = make(Role.CONTROL_PLANE)
    node.fails("kubectl", 1, "error: not yet")
    assert node.run(cut=LATER) == 1
    node.boot()
    return node


def test_the_pods_that_were_made_of_a_pulled_image_go_before_it(make: Make) -> None:
    node = cut_after_its_images(make)
    before = len(node.calls)
    assert node.run() == 0
    anew = [call for call in node.calls[before:] if call.startswith(("crictl", "ctr")) or "kubelet.service" in call]
    assert [" ".join(call.split()[-3:]) for call in anew][:5] == [
        "systemctl stop kubelet.service",
        "rm --all --force",
        "rmp --all --force",
        f"remove --sync {POLICIES}",
        "start --no-block kubelet.service",
    ]
    assert [call.split()[-1] for call in anew if " pull " in call] == [POLICIES, PREPARED]
    assert_whole(node, Role.CONTROL_PLANE)


def test_the_kubelet_goes_on_though_what_was_pulled_cannot_be_removed(make: Make) -> None:
    node = cut_after_its_images(make)
    node.fails("crictl", 1, "error: the network plugin wants an API")
    assert node.run() == 1
    assert node.console[-1].endswith("45-images: failed: crictl: error: the network plugin wants an API")
    kubelet = [call for call in node.calls if call.endswith(" kubelet.service")]
    assert kubelet[-2:] == ["systemctl stop kubelet.service", "systemctl start --no-block kubelet.service"]
    assert node.run() == 0
    assert_whole(node, Role.CONTROL_PLANE)


def test_preparation_that_had_succeeded_runs_again_once_its_images_are_removed(make: Make) -> None:
    """Wherever the power is cut meanwhile: a script that is not run again leaves a node without what it pulled."""

    def booting(name: str) -> Node:
        node = make(Role.CONTROL_PLANE, name, addons=ADDONS | {"prepare-control-plane.sh": "[ -e $NODE/mirror ]\n"})
        assert node.run(cut=LATER) == 1
        node.boot()
        (node.folder / "mirror").touch()
        return node

    node = booting("uncut")
    before = len(node.calls)
    assert node.run(cut=LATER) == 0
    assert_whole(node, Role.CONTROL_PLANE)
    anew = node.calls[before:]
    first, last = anew.index("systemctl stop kubelet.service"), anew.index("systemctl start --no-block kubelet.service")
    for cut in range(first + 1, last + 2):
        node = booting(f"cut-{cut}")
        assert node.run(cut) < 0
        node.power_cut()
        node.settle()
        assert_whole(node, Role.CONTROL_PLANE)


def test_images_are_not_taken_for_whole_because_containerd_does_not_answer(make: Make) -> None:
    node = cut_after_its_images(make)
    node.fails("ctr", 1, "ctr: failed to dial: connection refused")
    assert node.run() == 1
    assert node.console[-1].endswith("45-images: failed: ctr: ctr: failed to dial: connection refused")
    assert node.run() == 0
    assert any("images remove" in call for call in node.calls)

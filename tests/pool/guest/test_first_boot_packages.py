"""An image without Kubernetes gets it from the Pool's repository; proxies."""

from __future__ import annotations

import tomllib

import pytest

from pool.kubevirt.cluster import Role
from tests.pool.guest.first_boots import BOTH, LATER, PROXY, PROXY_DROP_IN, Make, assert_whole
from tests.pool.guest.node import Node


def bare(node: Node) -> Node:
    (node.folder / "bare").touch()
    return node


@BOTH
def test_an_image_without_kubernetes_gets_the_pools_version(make: Make, role: Role) -> None:
    node = bare(make(role))
    assert node.run() == 0
    assert_whole(node, role)
    install = next(call for call in node.calls if "kubeadm=" in call)
    assert {"kubeadm=1.34.1-*", "kubelet=1.34.1-*", "kubectl=1.34.1-*"} <= set(install.split())
    listed = node.read("/etc/apt/sources.list.d/cks-kubernetes.list").split()
    assert listed[-2:] == ["https://pkgs.k8s.io/core:/stable:/v1.34/deb/", "/"]
    assert not node.path("/etc/apt/apt.conf.d/90cks-proxy").exists()


@pytest.mark.parametrize("version", ["1.7", "2.1"])
def test_containerd_is_configured_as_kubeadm_wants_it(make: Make, version: str) -> None:
    node = bare(make(Role.WORKER))
    node.containerd(version)
    assert node.run() == 0
    plugins = tomllib.loads(node.read("/etc/containerd/config.toml"))["plugins"]
    if version == "1.7":
        images = runtime = plugins["io.containerd.grpc.v1.cri"]
        assert images["sandbox_image"] == "registry.k8s.io/pause:3.10.1"
        assert runtime["cni"]["bin_dir"] == "/opt/cni/bin"
    else:
        images, runtime = plugins["io.containerd.cri.v1.images"], plugins["io.containerd.cri.v1.runtime"]
        assert images["pinned_images"]["sandbox"] == "registry.k8s.io/pause:3.10.1"
        assert runtime["cni"]["bin_dirs"] == ["/opt/cni/bin"]
    assert images["image_pull_with_sync_fs"]
    runc = runtime["containerd"]["runtimes"]["runc"]
    assert runc["options"] == {"BinaryName": "", "ShimCgroup": "", "SystemdCgroup": True} | (
        {"NoNewKeyring": False} if version == "2.1" else {}
    )


def test_a_containerd_without_options_of_runc_is_refused(make: Make) -> None:
    node = bare(make(Role.WORKER))
    (node.folder / "containerd.toml").write_text("version = 4\n")
    assert node.run() == 78
    assert node.console[-1].endswith(
        "40-packages: refused: the default configuration of containerd has no options of runc to set SystemdCgroup in"
    )


def test_an_image_with_kubernetes_asks_no_repository(make: Make) -> None:
    node = make(Role.WORKER)
    node.run()
    assert not any(call.startswith("apt-get") for call in node.calls)


def test_a_repository_with_another_key_is_refused_before_it_is_used(make: Make) -> None:
    node = bare(make(Role.WORKER))
    (node.folder / "fingerprint").write_text("0" * 40)
    assert node.run() == 78
    assert f"has the fingerprint {'0' * 40}, the Pool pins DE15B14486CD377B9E876E1A234654DA9A296436" in node.console[-1]
    assert not node.path("/etc/apt/sources.list.d/cks-kubernetes.list").exists()


def test_a_repository_that_cannot_be_reached_is_tried_again(make: Make) -> None:
    node = bare(make(Role.WORKER))
    node.fails("apt-get", 1, "E: Failed to fetch https://pkgs.k8s.io/  Could not connect to 127.0.0.1:9")
    assert node.run() == 1
    assert "40-packages: failed: apt-get update: E: Failed to fetch" in node.console[-1]
    assert node.run() == 0


@pytest.mark.parametrize("last", ["Download Failed", "Unable to fetch some archives, maybe run apt-get update"])
def test_what_could_not_be_fetched_is_said(make: Make, last: str) -> None:
    """apt ends with words that do not tell it."""
    node = bare(make(Role.WORKER))
    node.fails("apt-get", 1, f"E: Failed to fetch https://pkgs.k8s.io/  Remote end closed connection\nE: {last}")
    assert node.run() == 1
    assert node.console[-1].endswith("E: Failed to fetch https://pkgs.k8s.io/ Remote end closed connection")


@pytest.mark.parametrize("lacking", ["", "unattended-upgrades.service", "apt-daily.timer"])
def test_nothing_else_is_at_apt_from_the_installation_on(make: Make, lacking: str) -> None:
    """Golden disks get older, and what a timer has missed it would make up for in each session."""
    node = bare(make(Role.WORKER))
    (node.folder / "lacks").write_text(f"{lacking}\n")
    assert node.run() == 0
    first = next(at for at, call in enumerate(node.calls) if call.startswith("apt-get"))
    stopped = {call.split()[-1] for call in node.calls[:first] if call.startswith("systemctl disable --now")}
    assert stopped | {lacking or "apt-daily.timer"} == {
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "apt-daily.service",
        "apt-daily-upgrade.service",
        "unattended-upgrades.service",
    }
    assert lacking not in stopped


def test_lists_are_fetched_anew_once_a_boot(make: Make) -> None:
    node = bare(make(Role.WORKER))
    node.write("/var/lib/apt/lists/Packages", "")
    node.fails("kubeadm", 1, "error: not yet")
    assert node.run() == 1
    node.write("/var/lib/apt/lists/Packages", "of this boot\n")
    assert node.run() == 0
    assert node.read("/var/lib/apt/lists/Packages") == "of this boot\n"


def test_containerd_has_the_proxy_also_on_an_image_with_kubernetes(make: Make) -> None:
    """It is started again for that, before it is asked for an image, and only when something has changed."""
    node = make(Role.WORKER, image=PROXY)
    restart = "systemctl restart containerd.service"
    node.fails("kubeadm", 1, "error: not yet")
    assert node.run() == 1
    assert node.run() == 0
    assert_whole(node, Role.WORKER)
    assert "HTTPS_PROXY=http://proxy.example:3128" in node.read(PROXY_DROP_IN)
    assert "proxy.example" in node.read("/etc/apt/apt.conf.d/90cks-proxy")
    assert node.calls.count(restart) == 1
    pulls = [at for at, call in enumerate(node.calls) if call.startswith("crictl")]
    assert node.calls[: pulls[0]].count(restart) == 1
    assert node.calls[node.calls.index(restart) - 1] == "systemctl daemon-reload"


def test_a_proxy_that_a_power_cut_took_is_set_again(make: Make) -> None:
    node = make(Role.WORKER, image=PROXY)
    node.fails("kubeadm", 1, "error: not yet")
    assert node.run(cut=LATER) == 1
    node.write(PROXY_DROP_IN, "")
    node.boot()
    assert node.run() == 0
    assert "HTTPS_PROXY=http://proxy.example:3128" in node.read(PROXY_DROP_IN)
    assert node.calls.count("systemctl restart containerd.service") == 2


def test_without_a_proxy_containerd_is_left_alone(make: Make) -> None:
    node = make(Role.WORKER)
    assert node.run() == 0
    assert not node.path(PROXY_DROP_IN).exists()
    assert not any("containerd.service" in call for call in node.calls)


def test_packages_come_through_the_pools_proxy(make: Make) -> None:
    image = {"packages": {"proxy": "http://proxy.example:3128", "repository": "https://mirror.example/k8s/"}}
    node = bare(make(Role.WORKER, image=image))
    node.run()
    assert 'Acquire::https::Proxy "http://proxy.example:3128";' in node.read("/etc/apt/apt.conf.d/90cks-proxy")
    drop_in = node.read(PROXY_DROP_IN)
    assert "HTTPS_PROXY=http://proxy.example:3128" in drop_in
    assert "NO_PROXY=localhost,127.0.0.0/8,10.60.0.0/16,10.61.0.0/16,10.99.0.0/30,.svc" in drop_in
    assert "https://mirror.example/k8s/v1.34/deb/" in node.read("/etc/apt/sources.list.d/cks-kubernetes.list")


def test_an_installation_that_was_cut_is_carried_on(make: Make) -> None:
    node = bare(make(Role.WORKER, "uncut"))
    node.run()
    for cut in [at for at, call in enumerate(node.calls, start=1) if call.startswith(("apt-get install", "dpkg"))]:
        node = bare(make(Role.WORKER, f"cut-{cut}"))
        node.run(cut)
        node.power_cut()
        node.settle()
        assert_whole(node, Role.WORKER)
        assert node.path("/etc/containerd/config.toml").exists()
        assert not (node.folder / "half-installed").exists()


def test_a_key_is_never_half_written_where_a_list_names_it(make: Make) -> None:
    """apt asks the repository of a former boot's list before the key is written again."""
    node = bare(make(Role.WORKER, "uncut"))
    node.run()
    writes, unpacks = (
        next(at for at, call in enumerate(node.calls, start=1) if call.startswith(name)) for name in ("gpg", "dpkg")
    )
    node = bare(make(Role.WORKER))
    node.run(unpacks)
    node.power_cut()
    node.run(writes + 1)  # what is half unpacked is installed again before
    assert node.calls[-1].startswith("gpg")
    node.boot()
    node.settle()
    assert_whole(node, Role.WORKER)

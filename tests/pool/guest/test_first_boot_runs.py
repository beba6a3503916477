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

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from pool.guest.node_files import STEPS, files
from pool.kubevirt.cluster import Cluster, Role
from tests.pool import builders
from tests.pool.crash.tally import Tally
from tests.pool.guest.node import BROUGHT, CA, IMAGES, Node
from tests.pool.guest.rendered import PEER, placeholder_identity

PREPARED = "lab.example/trivy:1"
"""What `prepare.sh` pulls."""
LATER = 10_000
"""A point that no run reaches: a cut after it."""
ADDONS = {
    "10-crd.yaml": "kind: CustomResourceDefinition\n",
    "20-app.yaml": "kind: App\n",
    "prepare.sh": "#!/bin/bash\ncrictl pull lab.example/trivy:1\necho prepared\necho node >>$NODE/prepared\n",
    "prepare-control-plane.sh": "#!/bin/bash\necho tools\necho $KUBECONFIG >>$NODE/prepared\n",
}
SOCKET = "unix:///run/containerd/containerd.sock"
POLICIES = "registry.k8s.io/networking/kube-network-policies:v1.1.1"
PROXY = {"packages": {"proxy": "http://proxy.example:3128"}}
PROXY_DROP_IN = "/etc/systemd/system/containerd.service.d/cks-proxy.conf"
BOTH = pytest.mark.parametrize("role", list(Role))
Make = Callable[..., Node]


@pytest.fixture
def make(tmp_path: Path, cluster: Cluster) -> Make:
    def made(role: Role, name: str = "node", *, addons: dict[str, str] = ADDONS, **spec: object) -> Node:
        machine = cluster.control_plane if role is Role.CONTROL_PLANE else cluster.worker
        pool = builders.pool(**spec)
        return Node(tmp_path / name, files(cluster, machine, placeholder_identity(), PEER, pool, addons))

    return made


def assert_whole(node: Node, role: Role) -> None:
    """A node that kubeadm, the add-ons and the scripts are through with, and that says so."""
    assert node.done, node.read("journal")
    # Cut after the mark, a node has nothing more to say on its console.
    assert node.console[-1:] in ([], ["cks-first-boot: done"])
    assert node.read("/var/lib/cks/first-boot") == "done\n"
    assert node.read("annotations").splitlines()[-1] == "cks.io/first-boot=done"
    assert node.read("/etc/kubernetes/kubelet.conf") == "kubelet\n"
    assert not node.path("/etc/kubernetes/bootstrap-kubelet.conf").exists()
    assert "node" in node.read("prepared").splitlines()
    assert sorted(node.read(f"{IMAGES}/listed").split()) == sorted([BROUGHT, POLICIES, PREPARED])
    assert {node.read(f"{IMAGES}/{image}") for image in (BROUGHT, POLICIES, PREPARED)} == {"whole\n"}
    if role is Role.CONTROL_PLANE:
        assert node.read("/etc/kubernetes/admin.conf") == node.read("/etc/cks/pki/ca.crt")
        assert node.read("/var/lib/etcd/member") == "data\n"
        assert node.read("token") == "token\n"
        for manifest in ("policies.yaml", "01-10-crd.yaml", "02-20-app.yaml"):
            assert any(call.startswith("kubectl apply --server-side") and manifest in call for call in node.calls)
    else:
        assert node.read("/etc/kubernetes/pki/ca.crt") == CA


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


def test_preparation_runs_until_it_succeeded_once_and_its_output_is_said(make: Make) -> None:
    script = (
        "#!/bin/bash\necho run >>$NODE/prepared\necho fetching\n[ -e $NODE/mirror ] || { echo no mirror; exit 3; }\n"
    )
    node = make(Role.CONTROL_PLANE, addons=ADDONS | {"prepare-control-plane.sh": script})
    assert node.run() == 1
    assert node.console[-4:] == [
        "cks-first-boot: 90-prepare: says: prepared",
        "cks-first-boot: 90-prepare: says: fetching",
        "cks-first-boot: 90-prepare: says: no mirror",
        "cks-first-boot: 90-prepare: failed: 20-prepare-control-plane.sh ended with exit code 3",
    ]
    (node.folder / "mirror").touch()
    assert node.run() == 0
    assert node.read("prepared").split() == ["node", "run", "run"]


def test_a_console_that_is_held_up_is_waited_for_once_a_script(make: Make) -> None:
    """All that the script prints is in the log."""
    script = {"prepare.sh": "#!/bin/bash\necho node >>$NODE/prepared\nprintf 'line %s\\n' {1..200}\n"}
    node = make(Role.WORKER, addons=script)
    (node.folder / "held-up").touch()
    assert node.run() == 0
    assert node.console == []
    assert {f"line {number}" for number in range(1, 201)} <= set(node.read("journal").splitlines())
    steps = sum(file.path.startswith(STEPS) for file in node.files)
    # Each step that begins, the script's first line, and that all is done.
    assert node.read("held-up").split() == ["5"] * (steps + 2)


def test_preparation_of_the_control_plane_has_its_kubeconfig(make: Make) -> None:
    node = make(Role.CONTROL_PLANE)
    node.run()
    assert node.read("prepared").splitlines()[-1].endswith("/etc/kubernetes/admin.conf")


def test_preparation_has_the_pools_proxy_in_its_environment(make: Make) -> None:
    """As containerd has it, and in small letters, which curl and wget read."""
    script = {"prepare.sh": "#!/bin/bash\nenv | grep -i _proxy | sort >$NODE/environment || true\n"}
    node = make(Role.WORKER, addons=script, image=PROXY)
    assert node.run() == 0
    drop_in = node.read(PROXY_DROP_IN)
    past = drop_in.partition("NO_PROXY=")[2].strip()
    assert past.endswith("10.99.0.0/30,.svc,.cluster.local")
    through = "http://proxy.example:3128"
    assert dict(line.split("=", 1) for line in node.read("environment").splitlines()) == {
        "HTTP_PROXY": through,
        "HTTPS_PROXY": through,
        "NO_PROXY": past,
        "http_proxy": through,
        "https_proxy": through,
        "no_proxy": past,
    }
    direct = make(Role.WORKER, "direct", addons=script)
    assert direct.run() == 0
    assert direct.read("environment") == ""


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
    for cut in [at for at, call in enumerate(node.calls, start=1) if call.startswith("apt-get install")]:
        node = bare(make(Role.WORKER, f"cut-{cut}"))
        node.run(cut)
        node.power_cut()
        node.settle()
        assert_whole(node, Role.WORKER)
        assert node.path("/etc/containerd/config.toml").exists()

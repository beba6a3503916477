"""What the VMs find at first boot: it parses, says the same on both sides, and holds no more secrets than needed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pool.core.pools import Pool
from pool.core.settings import Settings
from pool.guest import pki
from pool.guest.cloudinit import network_data, user_data
from pool.guest.identity import Identity, identity_of, make_identity, secret_of
from pool.kubevirt.cluster import Cluster, Machine
from tests.pool.guest.conftest import NOW

PEER = "10.96.7.7:51820"


def parsed(cluster: Cluster, machine: Machine, identity: Identity, pool: Pool) -> tuple[Any, dict[str, str]]:
    text = user_data(cluster, machine, identity, PEER, pool)
    assert text.startswith("#cloud-config\n")
    data = yaml.safe_load(text)
    return data, {file["path"]: file["content"] for file in data["write_files"]}


@pytest.fixture
def control_plane(cluster: Cluster, identity: Identity, pool: Pool) -> dict[str, str]:
    return parsed(cluster, cluster.control_plane, identity, pool)[1]


@pytest.fixture
def worker(cluster: Cluster, identity: Identity, pool: Pool) -> dict[str, str]:
    return parsed(cluster, cluster.worker, identity, pool)[1]


def test_files_are_written_as_they_are(control_plane: dict[str, str], identity: Identity) -> None:
    assert control_plane["/etc/cks/pki/ca.crt"] == identity.ca.certificate.decode()
    assert control_plane["/etc/cks/pki/ca.key"] == identity.ca.key.decode()


def test_secrets_are_not_readable_for_all(cluster: Cluster, identity: Identity, pool: Pool) -> None:
    data, _ = parsed(cluster, cluster.control_plane, identity, pool)
    modes = {file["path"]: file["permissions"] for file in data["write_files"]}
    assert modes["/etc/cks/pki/ca.key"] == "0600"
    assert modes["/etc/cks/kubeadm.yaml"] == "0600"
    assert modes["/etc/systemd/network/50-wg0.netdev"] == "0640"


def test_worker_does_not_get_the_ca_key(worker: dict[str, str], identity: Identity) -> None:
    assert "/etc/cks/pki/ca.key" not in worker
    assert not any(identity.ca.key.decode()[30:80] in text for text in worker.values())


def test_control_plane_uses_the_fixed_address_and_its_names(control_plane: dict[str, str]) -> None:
    init, configuration = yaml.safe_load_all(control_plane["/etc/cks/kubeadm.yaml"])
    assert {init["apiVersion"], configuration["apiVersion"]} == {"kubeadm.k8s.io/v1beta4"}
    assert init["localAPIEndpoint"]["advertiseAddress"] == "10.99.0.1"
    assert init["nodeRegistration"]["name"] == "cp-cluster1"
    assert init["nodeRegistration"]["kubeletExtraArgs"] == [{"name": "node-ip", "value": "10.99.0.1"}]
    assert configuration["controlPlaneEndpoint"] == "cp.cluster1.svc:6443"
    assert {"cp.cluster1.svc", "127.0.0.1", "10.99.0.1"} <= set(configuration["apiServer"]["certSANs"])


def test_worker_joins_with_what_the_control_plane_knows(
    control_plane: dict[str, str], worker: dict[str, str], identity: Identity
) -> None:
    init = next(yaml.safe_load_all(control_plane["/etc/cks/kubeadm.yaml"]))
    join = yaml.safe_load(worker["/etc/cks/kubeadm.yaml"])
    token = join["discovery"]["bootstrapToken"]
    assert token["token"] == init["bootstrapTokens"][0]["token"]
    assert token["caCertHashes"] == [pki.discovery_hash(identity.ca.certificate)]
    assert token["apiServerEndpoint"] == "cp.cluster1.svc:6443"
    assert join["nodeRegistration"]["name"] == "wk-cluster1"


def test_a_worker_says_why_it_cannot_join_long_before_nobody_waits_any_more(worker: dict[str, str]) -> None:
    timeouts = yaml.safe_load(worker["/etc/cks/kubeadm.yaml"])["timeouts"]
    minutes = {name: int(duration.removesuffix("m0s")) for name, duration in timeouts.items()}
    assert set(minutes) == {"discovery", "tlsBootstrap"}
    assert all(60 * each <= Settings().boot_timeout / 5 for each in minutes.values())


def test_wireguard_peers_know_each_other(control_plane: dict[str, str], worker: dict[str, str]) -> None:
    def setting(files: dict[str, str], key: str) -> str:
        lines = files["/etc/systemd/network/50-wg0.netdev"].splitlines()
        return next(line.split("=", 1)[1] for line in lines if line.startswith(f"{key}="))

    assert setting(control_plane, "PublicKey") == pki.wireguard_public(setting(worker, "PrivateKey"))
    assert setting(worker, "PublicKey") == pki.wireguard_public(setting(control_plane, "PrivateKey"))
    assert setting(control_plane, "AllowedIPs") == "10.99.0.2/32, 10.60.1.0/24"
    assert setting(worker, "AllowedIPs") == "10.99.0.1/32, 10.60.0.0/24"
    assert setting(worker, "Endpoint") == PEER


def test_names_of_the_control_plane_lead_to_fixed_addresses(
    control_plane: dict[str, str], worker: dict[str, str]
) -> None:
    script = "/usr/local/lib/cks/first-boot.d/20-link"
    assert "'127.0.0.1 cp.cluster1.svc' >>/etc/hosts" in control_plane[script]
    assert "'10.99.0.1 cp.cluster1.svc' >>/etc/hosts" in worker[script]


@pytest.mark.parametrize("role", ["control_plane", "worker"])
def test_cloud_init_starts_the_first_boot_without_waiting_for_it(
    role: str, cluster: Cluster, identity: Identity, pool: Pool
) -> None:
    """So systemd starts it again when it failed; and what cloud-init wrote is on the disk before."""
    commands = parsed(cluster, getattr(cluster, role), identity, pool)[0]["runcmd"]
    assert commands[0] == ["sync"]
    assert commands[-1] == ["systemctl", "start", "--no-block", "cks-first-boot.service"]


@pytest.mark.parametrize("done", [False, True])
def test_cloud_init_does_its_work_anew_until_the_first_boot_is_over(
    done: bool, cluster: Cluster, identity: Identity, pool: Pool, tmp_path: Path
) -> None:
    """A power cut soon after its first run leaves its files empty, and its notes that say it is done."""
    command, last = parsed(cluster, cluster.worker, identity, pool)[0]["bootcmd"]
    assert last == ["sync"]
    notes = tmp_path / "var/lib/cloud/instance/sem"
    notes.mkdir(parents=True)
    for name in ("config_write_files", "config_runcmd", "config_scripts_user", "config_ssh"):
        (notes / name).touch()
    (tmp_path / "etc/cks").mkdir(parents=True)
    if done:
        (tmp_path / "etc/cks/first-boot.done").touch()
    at_home = [word.replace(" /var", f" {tmp_path}/var").replace(" /etc", f" {tmp_path}/etc") for word in command]
    subprocess.run(at_home, check=True)
    assert len(os.listdir(notes)) == (4 if done else 1)


@pytest.fixture
def boots(worker: dict[str, str], tmp_path: Path) -> Path:
    """The script that counts boots, with the disk and the kernel's boot ID in a folder; a kubectl that only tells."""
    script = worker["/usr/local/sbin/cks-boots"]
    for path in ("/var/lib/cks", "/proc/sys/kernel/random", "/etc/cks"):
        script = script.replace(path, f"{tmp_path}{path}")
    for path in ("proc/sys/kernel/random", "etc/cks"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "kubectl").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "cks-boots").write_text(script)
    for name in ("kubectl", "cks-boots"):
        (tmp_path / name).chmod(0o755)
    return tmp_path


def boots_of(folder: Path, boot_id: str, verb: str) -> subprocess.CompletedProcess[str]:
    (folder / "proc/sys/kernel/random/boot_id").write_text(f"{boot_id}\n")
    found = {"PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run([str(folder / "cks-boots"), verb], env=found, text=True, capture_output=True)


def test_a_node_counts_each_boot_of_its_disk_once_and_says_it_on_its_node(boots: Path) -> None:
    for boot_id, count in (("a", 1), ("a", 1), ("b", 2), ("c", 3)):
        assert boots_of(boots, boot_id, "count").returncode == 0
        said = boots_of(boots, boot_id, "say").stdout.splitlines()
        assert said[-3:] == ["node", "wk-cluster1", f"cks.io/boots={count} {boot_id}"]
        assert said[:2] == ["--kubeconfig", "/etc/kubernetes/kubelet.conf"]
    assert os.listdir(boots / "var/lib/cks") == ["boots"]


def test_a_count_that_cannot_be_read_starts_no_kubelet(boots: Path) -> None:
    boots_of(boots, "a", "count")
    for nonsense in ("", "x y\n", "1\n"):
        (boots / "var/lib/cks/boots").write_text(nonsense)
        assert boots_of(boots, "b", "count").returncode == (0 if nonsense == "1\n" else 1)
    assert boots_of(boots, "b", "").returncode == 2


def test_a_disk_whose_count_was_lost_never_shows_that_of_a_restored_one(boots: Path) -> None:
    """One that somebody tidied away in a session would begin at one again, and soon be where golden snapshots are."""
    assert boots_of(boots, "a", "count").returncode == 0
    (boots / "etc/cks/first-boot.done").touch()
    (boots / "var/lib/cks/boots").unlink()
    for boot_id in ("b", "c"):
        assert boots_of(boots, boot_id, "count").returncode == 0
        said = boots_of(boots, boot_id, "say").stdout.splitlines()
        (count,) = [word for word in said if word.startswith("cks.io/boots=")]
        assert int(count.split("=")[1].split()[0]) > 1_000_000


def test_a_first_boot_that_was_cut_after_its_end_is_said_to_be_over_at_the_next(boots: Path) -> None:
    boots_of(boots, "a", "count")
    assert "cks.io/first-boot" not in boots_of(boots, "a", "say").stdout
    (boots / "var/lib/cks/first-boot").write_text("done\n")
    (boots / "etc/cks/first-boot.done").touch()
    assert boots_of(boots, "a", "say").stdout.splitlines()[-1] == "cks.io/first-boot=done"


@pytest.mark.parametrize("role", ["control_plane", "worker"])
def test_boots_are_counted_before_any_kubelet_runs(role: str, cluster: Cluster, identity: Identity, pool: Pool) -> None:
    data, files = parsed(cluster, getattr(cluster, role), identity, pool)
    count = files["/etc/systemd/system/cks-boots-count.service"].splitlines()
    assert {"Before=kubelet.service", "RequiredBy=kubelet.service", "Type=oneshot"} <= set(count)
    assert ["systemctl", "enable", "--now", "cks-boots-count.service"] in data["runcmd"]
    assert ["systemctl", "enable", "cks-boots-say.service"] in data["runcmd"]


def test_same_input_same_bytes(cluster: Cluster, identity: Identity, pool: Pool) -> None:
    one, two = (user_data(cluster, cluster.worker, identity, PEER, pool) for _ in range(2))
    assert one == two


def test_network_matches_the_fixed_mac_address(cluster: Cluster) -> None:
    data = yaml.safe_load(network_data(cluster.worker))
    assert data["ethernets"]["pod"]["match"]["macaddress"] == cluster.worker.mac_address


def test_identity_survives_its_secret(cluster: Cluster, identity: Identity) -> None:
    assert identity_of(secret_of(cluster, identity)) == identity


def test_identity_is_never_shown(identity: Identity) -> None:
    assert identity.bootstrap_token not in repr(identity)
    assert "PRIVATE" not in repr(identity)


def test_identities_of_clusters_differ() -> None:
    one, two = make_identity(NOW), make_identity(NOW)
    assert one.ca.key != two.ca.key
    assert one.bootstrap_token != two.bootstrap_token

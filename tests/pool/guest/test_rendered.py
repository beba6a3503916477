"""What a VM gets, read by programs that are not ours, and by people.

`cloud-init`, `netplan`, `kubeadm` and systemd are asked where they are installed. CI has all of them but kubeadm, which
Debian has not: of its files the fields are compared with its reference.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pool.guest.cloudinit import network_data
from pool.guest.file import File
from pool.guest.node_files import files
from pool.kubevirt.cluster import Cluster, Role
from tests.pool.guest import kubeadm_fields, rendered
from tests.pool.guest.rendered import Kind

KINDS = pytest.mark.parametrize("kind", rendered.KINDS, ids=str)
EVERYTHING = pytest.mark.parametrize("kind", [Kind(role, everything=True) for role in Role], ids=str)


def tool(name: str, package: str = "") -> str:
    """The path of a program; skips the test where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}{package and f', of package {package}'}")
    return found


def asked(*command: str | Path, **environment: str) -> None:
    """Fails with what the program says if it has something to say against it."""
    ended = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, env=os.environ | environment
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def written(folder: Path, made: list[File]) -> Iterator[tuple[File, Path]]:
    """The files below a folder, executable as they are to be."""
    for file in made:
        path = folder / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content)
        path.chmod(int(file.mode, 8))
        yield file, path


@KINDS
def test_it_is_what_was_read_last(kind: Kind) -> None:
    kept = kind.path.read_text()
    assert rendered.text(kind) == kept, "read the difference; then: python -m tests.pool.guest.rendered"


@KINDS
def test_shellcheck_has_nothing_to_say(kind: Kind, cluster: Cluster, tmp_path: Path) -> None:
    scripts = [
        path
        for file, path in written(tmp_path, kind.files(cluster))
        if file.content.startswith(("#!/bin/bash", "# shellcheck"))
    ]
    assert len(scripts) > 8
    # SC1091: what they source is at its place on a node only, and looked at by itself.
    asked(Path(sys.executable).with_name("shellcheck"), "--exclude", "SC1091", *scripts)


@EVERYTHING
def test_systemd_takes_the_units(kind: Kind, cluster: Cluster, tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "systemd")
    units = []
    for file, path in written(tmp_path, kind.files(cluster)):
        if file.path.endswith(".service"):
            path.write_text(file.content.replace("/usr/local/sbin", f"{tmp_path}/usr/local/sbin"))
            units.append(path)
    assert len(units) == 5
    for name in ("kubelet", "containerd"):
        stand_in = units[0].with_name(f"{name}.service")
        stand_in.write_text("[Service]\nExecStart=/bin/true\n")
    asked(analyze, "verify", "--man=no", "--recursive-errors=no", *units, SYSTEMD_UNIT_PATH=f"{units[0].parent}:")


@KINDS
def test_networkd_takes_the_link(kind: Kind, cluster: Cluster, tmp_path: Path) -> None:
    """The daemon itself reads the files, in namespaces of its own, until it has looked around."""
    daemon = Path("/usr/lib/systemd/systemd-networkd")
    if not daemon.exists() or subprocess.run([tool("unshare"), "-mn", "true"], capture_output=True).returncode:
        pytest.skip("needs systemd-networkd, and to be root for namespaces of its own")
    units = [str(path) for file, path in written(tmp_path, kind.files(cluster)) if "50-wg0" in file.path]
    assert len(units) == 2
    script = f"""mount -t tmpfs none /run && mkdir -p /run/systemd/network
        cp -p {" ".join(units)} /run/systemd/network
        chgrp systemd-network /run/systemd/network/* && exec {daemon}"""
    environment = os.environ | {"SYSTEMD_LOG_LEVEL": "debug", "SYSTEMD_LOG_TARGET": "console"}
    with subprocess.Popen(
        ["unshare", "-mn", "sh", "-c", script], env=environment, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        said = []
        for line in running.stderr:
            said.append(line)
            if "Enumeration completed" in line:
                break
        running.kill()
    assert "Enumeration completed" in said[-1], said
    assert [line for line in said if "50-wg0" in line] == []


@KINDS
def test_cloud_init_takes_the_user_data(kind: Kind) -> None:
    asked(tool("cloud-init", "cloud-init"), "schema", "--config-file", kind.path)


@pytest.mark.parametrize("role", list(Role))
def test_netplan_takes_the_network_data_from_cloud_init(role: Role, cluster: Cluster, tmp_path: Path) -> None:
    """And the interface gets its address by DHCP, as the one with that MAC address."""
    cloud_init, netplan = tool("cloud-init", "cloud-init"), tool("netplan", "netplan.io")
    machine = cluster.control_plane if role is Role.CONTROL_PLANE else cluster.worker
    given = tmp_path / "network-data.yaml"
    given.write_text(network_data(machine))
    words = ["--kind", "yaml", "--output-kind", "netplan", "--distro", "debian", "--directory", tmp_path]
    asked(cloud_init, "devel", "net-convert", "--network-data", given, *words)
    asked(netplan, "generate", "--root-dir", tmp_path)
    made = (tmp_path / "run/systemd/network/10-netplan-pod.network").read_text().splitlines()
    assert {f"PermanentMACAddress={machine.mac_address}", "DHCP=ipv4", "ClientIdentifier=mac"} <= set(made)


@EVERYTHING
def test_kubeadm_has_the_fields_of_its_configuration(kind: Kind, cluster: Cluster) -> None:
    contents = {file.path: file.content for file in kind.files(cluster)}
    for one in yaml.safe_load_all(contents["/etc/cks/kubeadm.yaml"]):
        assert kubeadm_fields.wrong(one, kubeadm_fields.KINDS[one["kind"]], one["kind"]) == []


@EVERYTHING
def test_kubeadm_takes_its_configuration(kind: Kind, cluster: Cluster, tmp_path: Path) -> None:
    kubeadm = tool("kubeadm")
    for file, path in written(tmp_path, kind.files(cluster)):
        if file.path == "/etc/cks/kubeadm.yaml":
            asked(kubeadm, "config", "validate", "--config", path)


@KINDS
def test_files_reach_the_node_as_they_are(kind: Kind, cluster: Cluster) -> None:
    """Through YAML, and compressed where they are large."""
    from simulator.guests import cloudinit  # the one reader of user data that is not ours

    machine = cluster.control_plane if kind.role is Role.CONTROL_PLANE else cluster.worker
    odd = {"odd.yaml": "  a: \t\n\n\n", "prepare.sh": "#!/bin/sh\r\necho 'ä\U0001f600'"}
    pool, identity = kind.pool, rendered.placeholder_identity()
    text = rendered.user_data(cluster, machine, identity, rendered.PEER, pool, odd)
    read = cloudinit.parse(text).files
    made = files(cluster, machine, identity, rendered.PEER, pool, odd)
    assert {path: content.rstrip("\n") for path, content in read.items()} == {
        file.path: file.content.rstrip("\n") for file in made
    }
    assert {file.path: file.content for file in made if file.compressed}.items() <= read.items()


@EVERYTHING
def test_every_object_that_is_applied_has_a_name(kind: Kind, cluster: Cluster) -> None:
    for file in kind.files(cluster):
        if file.path.startswith("/etc/cks/network/"):
            objects = list(yaml.safe_load_all(file.content))
            assert [one["kind"] for one in objects] == [
                "ServiceAccount",
                "ClusterRole",
                "ClusterRoleBinding",
                "DaemonSet",
            ]
            assert all(one["metadata"]["name"] == "kube-network-policies" for one in objects)

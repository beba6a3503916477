"""What a node does at each boot before its kubelet starts, by the real scripts in a real bash: see node.py."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from pool.core.errors import GuestUnhealthy
from pool.guest import every_boot
from pool.guest.health import check_healthy
from pool.guest.node_files import files
from pool.kube.client import Kube
from pool.kubevirt.cluster import Cluster, Role
from simulator.api.errors import ApiError
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from tests.pool import builders
from tests.pool.bench import now
from tests.pool.consoles import Consoles, with_launchers
from tests.pool.guest.hostile import hostile_at, saying
from tests.pool.guest.node import MARK, Node
from tests.pool.guest.rendered import PEER, placeholder_identity

DAY = 86_400
APISERVER = "/etc/kubernetes/pki/apiserver.crt"
CLIENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"
NOT_READY = 'the API of guest cluster cluster1: status 503, "not yet"'
CERTIFICATES, MASQUERADE = "/usr/local/sbin/cks-certificates", "/usr/local/sbin/cks-masquerade"


@pytest.fixture
def node(request: pytest.FixtureRequest, tmp_path: Path, cluster: Cluster) -> Node:
    """A node after its first boot, with certificates for a year."""
    role = getattr(request, "param", Role.CONTROL_PLANE)
    machine = cluster.control_plane if role is Role.CONTROL_PLANE else cluster.worker
    node = Node(tmp_path / "node", files(cluster, machine, placeholder_identity(), PEER, builders.pool(), {}))
    node.write(MARK, "")
    for certificate in (APISERVER, CLIENT):
        node.write(certificate, str(365 * DAY))
    node.write("/etc/kubernetes/kubelet.conf", "of old")
    return node


WORKER = pytest.mark.parametrize("node", [Role.WORKER], indirect=True)
BOTH = pytest.mark.parametrize("node", list(Role), indirect=True)


@BOTH
def test_certificates_that_last_are_left_alone_and_nothing_is_waited_for(node: Node) -> None:
    assert node.call(CERTIFICATES) == 0
    assert node.calls == []
    assert node.console == []


def test_certificates_near_their_end_are_renewed_before_the_kubelet_starts(node: Node) -> None:
    node.write(APISERVER, str(29 * DAY))
    assert node.call(CERTIFICATES) == 0
    assert node.calls[0].startswith("kubeadm certs renew all --config ")
    assert node.console == ["cks-certificates: the control plane has new certificates"]
    unit = node.read("/etc/systemd/system/cks-certificates.service").splitlines()
    assert {"Before=kubelet.service", "WantedBy=kubelet.service"} <= set(unit)


def test_the_kubelet_of_the_control_plane_gets_a_certificate_when_its_own_has_ended(node: Node) -> None:
    node.write(CLIENT, "0")
    assert node.call(CERTIFICATES) == 0
    assert node.read("/etc/kubernetes/kubelet.conf") == "kubelet of system:node:cp-cluster1\n"
    assert not node.path(CLIENT).exists()


NO_KEY = "failed to load key: couldn't load the private key file /etc/kubernetes/pki/ca.key: no such file"


def test_the_kubelets_certificate_is_renewed_though_kubeadms_own_are_not_and_that_is_said_last(node: Node) -> None:
    node.write(APISERVER, "0")
    node.write(CLIENT, "0")
    node.fails("kubeadm", 1, NO_KEY)
    assert node.call(CERTIFICATES) == 1
    assert node.read("/etc/kubernetes/kubelet.conf") == "kubelet of system:node:cp-cluster1\n"
    assert node.console == [
        "cks-certificates: the kubelet has a new certificate",
        f"cks-certificates: the control plane's certificates were not renewed: {NO_KEY}",
    ]


def test_a_certificate_of_the_kubelet_that_is_not_renewed_is_left_as_it_is_and_said(node: Node) -> None:
    node.write(APISERVER, "0")
    node.write(CLIENT, "0")
    node.fails("kubeadm", 2, NO_KEY)
    assert node.call(CERTIFICATES) == 1
    assert node.read("/etc/kubernetes/kubelet.conf") == "of old"
    assert node.path(CLIENT).exists()
    assert node.console == [
        f"cks-certificates: the control plane's certificates were not renewed: {NO_KEY}"
        f"; the kubelet's certificate was not renewed: {NO_KEY}"
    ]


async def test_a_failure_names_the_certificates_that_were_not_renewed(
    node: Node, api_server: Simulator, tmp_path: Path
) -> None:
    node.write(APISERVER, "0")
    node.fails("kubeadm", 1, NO_KEY)
    node.call(CERTIFICATES)
    Consoles(api_server).printed["cp-cluster1"] = node.read("/dev/console")
    said = await why_unhealthy(api_server, tmp_path)
    assert said == f"{NOT_READY}; cp-cluster1: the control plane's certificates were not renewed: {NO_KEY}"


@WORKER
def test_the_worker_says_that_its_kubelets_certificate_has_ended(node: Node) -> None:
    node.write(CLIENT, "0")
    assert node.call(CERTIFICATES) == 0
    assert node.console == ["cks-certificates: the certificate of the kubelet has ended: the cluster has to be rebuilt"]
    assert node.calls == []


@BOTH
def test_a_clock_behind_the_disk_is_said(node: Node) -> None:
    ahead = time.time() + DAY
    os.utime(node.path(MARK), (ahead, ahead))
    assert node.call(CERTIFICATES) == 0
    assert node.console == ["cks-certificates: the clock is behind that of the first boot"]
    assert node.slept == ["1"] * 30


@BOTH
def test_a_clock_that_is_not_synchronised_is_said_and_not_waited_for(node: Node) -> None:
    (node.folder / "no-time").touch()
    assert node.call(CERTIFICATES) == 0
    assert node.console == ["cks-certificates: the clock was not synchronised at boot"]
    assert node.slept == []


@WORKER
async def test_a_wait_for_health_that_fails_says_what_each_node_said_last(
    node: Node, api_server: Simulator, tmp_path: Path
) -> None:
    (node.folder / "no-time").touch()
    node.write(CLIENT, "0")
    node.call(CERTIFICATES)
    consoles = Consoles(api_server)
    consoles.printed["wk-cluster1"] = node.read("/dev/console")
    consoles.printed["cp-cluster1"] = "[1.0] cks-certificates: \x1b[2J**the** clock\r\nlogin:"
    assert await why_unhealthy(api_server, tmp_path) == (
        f"{NOT_READY}; cp-cluster1: 2J the clock; "
        "wk-cluster1: the certificate of the kubelet has ended: the cluster has to be rebuilt"
    )


async def test_a_wait_for_health_fails_as_it_does_where_consoles_say_nothing_or_cannot_be_read(
    api_server: Simulator, tmp_path: Path
) -> None:
    consoles = Consoles(api_server)
    consoles.printed = {"cp-cluster1": ApiError(403, "Forbidden", "pods/log is forbidden"), "wk-cluster1": "login:"}
    assert await why_unhealthy(api_server, tmp_path) == NOT_READY
    assert len(consoles.asked) == 2


async def test_consoles_of_a_host_that_does_not_answer_are_not_waited_for(
    api_server: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(every_boot, "PATIENCE", 0.1)
    api_server.faults.add(Fault(FaultKind.LATENCY, verbs=("list", "get"), resource="pods", seconds=30))
    async with asyncio.timeout(10):
        assert await why_unhealthy(api_server, tmp_path) == NOT_READY


async def why_unhealthy(api_server: Simulator, folder: Path) -> str:
    """What is found, beside what is expected, of a cluster whose API server is not ready."""
    cluster = builders.member()
    async with Kube.connect(api_server.kubeconfig_path) as kube, hostile_at(kube, cluster, folder) as host:
        await with_launchers(kube, cluster)
        async with host.serving(saying(b"not yet", "503 Service Unavailable")):
            with pytest.raises(GuestUnhealthy) as raised:
                await check_healthy(kube, cluster, now(), timeout=0)
    return raised.value.actual


@BOTH
def test_what_leaves_pods_for_the_world_is_masqueraded_once(node: Node) -> None:
    (node.folder / "nat").write_text("POSTROUTING --jump KUBE-POSTROUTING\n")
    for _ in range(2):
        assert node.call(MASQUERADE) == 0
    own = "10.60.0.0/24" if "cp-" in node.read("/etc/cks/kubeadm.yaml").split("name: ")[1] else "10.60.1.0/24"
    assert node.read("nat").splitlines() == [
        "POSTROUTING --jump KUBE-POSTROUTING",
        "CKS-MASQUERADE",
        f"POSTROUTING --source {own} --jump CKS-MASQUERADE",
        "CKS-MASQUERADE --destination 10.60.0.0/16 --jump RETURN",
        "CKS-MASQUERADE --destination 10.99.0.0/30 --jump RETURN",
        "CKS-MASQUERADE --destination 224.0.0.0/4 --jump RETURN",
        "CKS-MASQUERADE --jump MASQUERADE",
    ]

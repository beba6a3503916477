"""What the tests of first boots share: add-ons that pull an image, and what a whole node is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pool.kubevirt.cluster import Role
from tests.pool.guest.node import BROUGHT, CA, IMAGES, Node

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
POLICIES = "registry.k8s.io/networking/kube-network-policies:v1.1.1"
PROXY = {"packages": {"proxy": "http://proxy.example:3128"}}
PROXY_DROP_IN = "/etc/systemd/system/containerd.service.d/cks-proxy.conf"
BOTH = pytest.mark.parametrize("role", list(Role))
Make = Callable[..., Node]


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

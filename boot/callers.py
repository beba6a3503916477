"""The pods by which `make boot` tries a pair's network, the Services and the policy that they need.

They run etcd's image, which every image made for kubeadm brings for its control plane: nothing is pulled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pool.kube.client import Object
from pool.kube.resources import NETWORK_POLICIES, PODS, SERVICES

NAMESPACE = "default"
PORT = 2379
BULK = "x" * 60_000
"""What one tells the other: many packets of the full size. With a wrong MTU they never arrive."""
LISTENER, FRIEND = {"cks-boot": "listener"}, {"cks-boot": "friend"}
POLICY = "friends-only"
SELF = "calls-itself"
"""The container of a listener that calls it by its Service: out of the bridge's port, and in again by the same."""


def friends_only() -> Object:
    """The policy by which only friends reach the listeners."""
    made = NETWORK_POLICIES.manifest(POLICY, NAMESPACE)
    made["spec"] = {
        "podSelector": {"matchLabels": LISTENER},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": FRIEND}}]}],
    }
    return made


def named(node: str) -> Object:
    """The Service of the listener on `node`: a name, an address in the cluster, a port of every node."""
    made = SERVICES.manifest(f"listens-{node}", NAMESPACE)
    made["spec"] = {
        "type": "NodePort",
        "selector": _of(node),
        "ports": [{"port": PORT}],
        # Without the container that is done the pod is not ready.
        "publishNotReadyAddresses": True,
    }
    return made


def listener(node: str, image: str) -> Object:
    """A pod with an etcd of its own, on `node`, which is called by its Service from within."""
    served = ["--listen-client-urls", f"http://0.0.0.0:{PORT}", "--advertise-client-urls", f"http://127.0.0.1:{PORT}"]
    etcd = _container("etcd", image, ["etcd", "--data-dir", "/data/etcd", *served])
    etcd["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    made = _pod(f"listens-{node}", node, [etcd, _container(SELF, image, _put(f"listens-{node}:{PORT}"))])
    made["metadata"]["labels"] = LISTENER | _of(node)
    made["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    return made


def host(node: str, addresses: Sequence[str], image: str) -> Object:
    """A pod in the network of `node` that writes something large to each of these, and tries until it could."""
    calls = [_container(f"call{number}", image, _put(address)) for number, address in enumerate(addresses)]
    made = _pod(f"host-{node}", node, calls)
    made["spec"]["hostNetwork"] = True
    return made


def friend(node: str, address: str, image: str) -> Object:
    """A pod on `node` that writes something large into the etcd at `address`, and tries until it could."""
    made = _pod(f"calls-{node}", node, [_container("etcd", image, _put(address))])
    made["metadata"]["labels"] = FRIEND
    return made


def stranger(node: str, address: str, image: str) -> Object:
    """A pod on `node` that tries the same, once."""
    return _pod(f"tries-{node}", node, [_container("etcd", image, _put(address))], restart="Never")


def _of(node: str) -> dict[str, str]:
    return {"cks-boot-node": node}


def _put(address: str) -> list[str]:
    at = address if ":" in address else f"{address}:{PORT}"
    return ["etcdctl", "--endpoints", f"http://{at}", "--command-timeout", "30s", "put", "bulk", BULK]


def _container(name: str, image: str, order: list[str]) -> dict[str, Any]:
    return {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "command": order}


def _pod(name: str, node: str, containers: list[dict[str, Any]], *, restart: str = "OnFailure") -> Object:
    made = PODS.manifest(name, NAMESPACE)
    made["spec"] = {
        "nodeName": node,
        "restartPolicy": restart,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "containers": containers,
    }
    return made

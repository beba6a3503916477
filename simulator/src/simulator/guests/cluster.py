"""What kubeadm leaves in a new cluster's API: namespaces, token, cluster-info, the static pods. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from simulator.client import Obj
from simulator.guests.kubeadm import Init

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
TOKEN_LIFETIME = timedelta(hours=24)
STATIC_PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def namespaces() -> list[Obj]:
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES]


def objects(init: Init, address: str, ca: str, now: datetime) -> Iterator[Obj]:
    """Everything else, in the order in which it can be created."""
    yield admins_binding()
    for token in init.tokens:
        yield bootstrap_token(token, now)
    yield _config_map("kube-public", "cluster-info", {"kubeconfig": f"server: https://{init.endpoint or address}\n"})
    yield _config_map("kube-system", "kubeadm-config", {"ClusterConfiguration": f"kubernetesVersion: {init.version}\n"})
    yield _config_map("kube-public", "kube-root-ca.crt", {"ca.crt": ca})
    for name in STATIC_PODS:
        yield static_pod(name, init)


def admins_binding() -> Obj:
    """The binding that kubeadm >= 1.29 makes: its admin.conf is a member of this group and no more."""
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "kubeadm:cluster-admins"}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "kubeadm:cluster-admins"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [subject],
    }


def bootstrap_token(token: str, now: datetime) -> Obj:
    """The Secret that lets nodes join for a day."""
    id_, secret = token.split(".")
    expiration = (now + TOKEN_LIFETIME).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": f"bootstrap-token-{id_}", "namespace": "kube-system"},
        "stringData": {
            "token-id": id_,
            "token-secret": secret,
            "expiration": expiration,
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
        },
    }


def static_pod(name: str, init: Init) -> Obj:
    """The mirror pod of a control-plane component."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-{init.node}",
            "namespace": "kube-system",
            "labels": {"component": name, "tier": "control-plane"},
        },
        "spec": {
            "hostNetwork": True,
            "nodeName": init.node,
            "priorityClassName": "system-node-critical",
            "containers": [{"name": name, "image": f"{name}:{init.version}"}],
        },
    }


def _config_map(namespace: str, name: str, data: dict[str, str]) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }

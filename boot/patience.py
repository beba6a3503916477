"""What a cluster is told whose processors are emulated: kubeadm and the kubelet wait longer than on real ones. Pure."""

from __future__ import annotations

from typing import Any

import yaml

KUBEADM = "/etc/cks/kubeadm.yaml"
PATCHES = "/etc/cks/patient"
LONG = "1h0m0s"
TIMEOUTS = (
    "controlPlaneComponentHealthCheck",
    "kubeletHealthCheck",
    "kubernetesAPICall",
    "etcdAPICall",
    "tlsBootstrap",
    "discovery",
)
"""Of kubeadm.k8s.io/v1beta4, `Timeouts`."""
PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""Of the control plane; their static pods are patched by kubeadm."""
SILENT = 360
"""Failed liveness probes, one each 10 s, until a kubelet ends a container: an hour in place of 80 s."""
ALONE = [{"name": "leader-elect", "value": "false"}]
"""A leader that renews its lease too late ends; the only one needs none."""


def patient(user_data: str) -> str:
    """A `#cloud-config` whose kubeadm waits for an hour wherever it waits, and whose kubelet does so with probes."""
    config = yaml.safe_load(user_data)
    files = config["write_files"]
    kubeadm = next(file for file in files if file["path"] == KUBEADM)
    documents = [_patient(document) for document in yaml.safe_load_all(kubeadm["content"])]
    kubeadm["content"] = yaml.safe_dump_all(documents, sort_keys=False)
    if documents[0]["kind"] == "InitConfiguration":
        files += [_patch(part) for part in PARTS]
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)


def _patient(document: dict[str, Any]) -> dict[str, Any]:
    if document["kind"] == "ClusterConfiguration":
        alone = {part: {"extraArgs": ALONE} for part in ("controllerManager", "scheduler")}
        return document | alone
    patches = {"patches": {"directory": PATCHES}} if document["kind"] == "InitConfiguration" else {}
    return document | {"timeouts": dict.fromkeys(TIMEOUTS, LONG)} | patches


def _patch(part: str) -> dict[str, str]:
    """A file of kubeadm's `patches`: a part of the control plane that does not answer for long is left alone."""
    patch = {"spec": {"containers": [{"name": part, "livenessProbe": {"failureThreshold": SILENT}}]}}
    return {
        "path": f"{PATCHES}/{part}+strategic.yaml",
        "owner": "root:root",
        "permissions": "0600",
        "content": yaml.safe_dump(patch, sort_keys=False),
    }

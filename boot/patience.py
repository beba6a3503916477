"""What a cluster is told whose processors are emulated: to wait longer than kubeadm does on real ones. Pure."""

from __future__ import annotations

from typing import Any

import yaml

KUBEADM = "/etc/cks/kubeadm.yaml"
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
ALONE = [{"name": "leader-elect", "value": "false"}]
"""A leader that renews its lease too late ends; the only one needs none."""


def patient(user_data: str) -> str:
    """A `#cloud-config` whose kubeadm waits for an hour wherever it waits."""
    config = yaml.safe_load(user_data)
    for file in config["write_files"]:
        if file["path"] == KUBEADM:
            documents = [_patient(document) for document in yaml.safe_load_all(file["content"])]
            file["content"] = yaml.safe_dump_all(documents, sort_keys=False)
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)


def _patient(document: dict[str, Any]) -> dict[str, Any]:
    if document["kind"] == "ClusterConfiguration":
        alone = {part: {"extraArgs": ALONE} for part in ("controllerManager", "scheduler")}
        return document | alone
    return document | {"timeouts": dict.fromkeys(TIMEOUTS, LONG)}

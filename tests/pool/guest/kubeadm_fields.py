"""The fields of kubeadm's configuration, as its reference of version v1beta4 lists them; kubeadm only warns of others.

https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/. What no template sets is not looked into.
"""

from __future__ import annotations

import re
from typing import Any

DURATION = re.compile(r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+")
TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")
PIN = re.compile(r"sha256:[0-9a-f]{64}")

ARGUMENT = {"name": str, "value": str}
TYPE = {"apiVersion": re.compile(r"kubeadm\.k8s\.io/v1beta4"), "kind": str}
REGISTRATION = {
    "name": str,
    "criSocket": str,
    "taints": list,
    "kubeletExtraArgs": [ARGUMENT],
    "ignorePreflightErrors": [str],
    "imagePullPolicy": str,
    "imagePullSerial": bool,
}
TIMEOUTS = {
    "controlPlaneComponentHealthCheck": DURATION,
    "kubeletHealthCheck": DURATION,
    "kubernetesAPICall": DURATION,
    "etcdAPICall": DURATION,
    "tlsBootstrap": DURATION,
    "discovery": DURATION,
    "upgradeManifests": DURATION,
}
OF_A_NODE = {"dryRun": bool, "nodeRegistration": REGISTRATION, "skipPhases": [str], "patches": dict}
KINDS: dict[str, Any] = {
    "InitConfiguration": TYPE
    | OF_A_NODE
    | {
        "bootstrapTokens": [
            {
                "token": TOKEN,
                "description": str,
                "ttl": DURATION,
                "expires": str,
                "usages": [str],
                "groups": [str],
            }
        ],
        "localAPIEndpoint": {"advertiseAddress": str, "bindPort": int},
        "certificateKey": str,
        "timeouts": TIMEOUTS,
    },
    "ClusterConfiguration": TYPE
    | {
        "etcd": dict,
        "networking": {"serviceSubnet": str, "podSubnet": str, "dnsDomain": str},
        "kubernetesVersion": str,
        "controlPlaneEndpoint": str,
        "apiServer": {"extraArgs": [ARGUMENT], "extraVolumes": list, "extraEnvs": list, "certSANs": [str]},
        "controllerManager": dict,
        "scheduler": dict,
        "dns": dict,
        "proxy": dict,
        "certificatesDir": str,
        "imageRepository": str,
        "featureGates": dict,
        "clusterName": str,
        "encryptionAlgorithm": str,
        "certificateValidityPeriod": DURATION,
        "caCertificateValidityPeriod": DURATION,
    },
    "JoinConfiguration": TYPE
    | OF_A_NODE
    | {
        "caCertPath": str,
        "discovery": {
            "bootstrapToken": {
                "token": TOKEN,
                "apiServerEndpoint": str,
                "caCertHashes": [PIN],
                "unsafeSkipCAVerification": bool,
            },
            "file": dict,
            "tlsBootstrapToken": str,
        },
        "controlPlane": dict,
        "timeouts": TIMEOUTS,
    },
}


def wrong(value: Any, wanted: Any, path: str) -> list[str]:
    """The paths of fields that are not known, or not of their type."""
    if isinstance(wanted, dict) and isinstance(value, dict):
        return [
            found
            for name, one in value.items()
            for found in (wrong(one, wanted[name], f"{path}.{name}") if name in wanted else [f"{path}.{name}"])
        ]
    if isinstance(wanted, list) and isinstance(value, list):
        return [found for i, one in enumerate(value) for found in wrong(one, wanted[0], f"{path}[{i}]")]
    if isinstance(wanted, re.Pattern):
        return [] if isinstance(value, str) and wanted.fullmatch(value) else [path]
    return [] if type(value) is wanted else [path]

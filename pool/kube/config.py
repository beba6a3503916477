"""Where the API is and who we are: a kubeconfig, or the service account of the pod we run in."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from pool.core.errors import KubeconfigError

IN_CLUSTER = "KUBERNETES_SERVICE_HOST"


async def load_configuration(kubeconfig: Path | None = None, *, context: str | None = None) -> Configuration:
    """The client configuration of a kubeconfig file and context.

    None takes $KUBECONFIG, else ~/.kube/config, else the pod's service account, in this order, as kubectl does.
    Raises KubeconfigError, with the cure, when none of them can be used.
    """
    path = kubeconfig or _default_file()
    configuration = Configuration()
    if path is None:
        return _in_cluster(configuration)
    try:
        # `persist_config` would write refreshed tokens back into the operator's file.
        await config.load_kube_config(str(path), context, configuration, persist_config=False)
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, AttributeError, TypeError) as error:
        # The loader trips over files that are no mapping (AttributeError, TypeError) before it can say so. Its text may
        # quote the file, and with it a token: only its own ConfigException is known to name nothing but keys.
        why = str(error) if isinstance(error, config.ConfigException) else type(error).__name__
        if not path.is_file():
            why = "no such file"
        raise unusable(str(path), why) from error
    return _without_proxy_on_loopback(configuration)


def unusable(source: str, why: str) -> KubeconfigError:
    """The error for a kubeconfig (or other source of credentials) that cannot be used, and why."""
    return KubeconfigError(
        f"kubeconfig {source}",
        expected="a readable kubeconfig of a cluster that answers",
        actual=" ".join(why.split()),
        cure="name another file with CKS_POOL_KUBECONFIG or KUBECONFIG",
    )


def _default_file() -> Path | None:
    # KUBECONFIG may list several files; the loader merges them, so the value is passed on as it is.
    listed = os.environ.get("KUBECONFIG")
    if listed:
        return Path(listed)
    home = Path.home() / ".kube" / "config"
    return None if IN_CLUSTER in os.environ and not home.exists() else home


def _in_cluster(configuration: Configuration) -> Configuration:
    try:
        config.load_incluster_config(configuration)
    except (config.ConfigException, OSError) as error:
        raise unusable("of the pod's service account", str(error)) from error
    return configuration


def _without_proxy_on_loopback(configuration: Configuration) -> Configuration:
    """Reach a loopback address directly whatever HTTPS_PROXY says, as Go's clients do."""
    host = urlsplit(configuration.host).hostname or ""
    if host == "localhost" or _is_loopback(host):
        configuration.client_session_kwargs = {"trust_env": False}
    return configuration


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

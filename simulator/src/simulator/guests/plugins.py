"""Whether a node has a network for its pods, by a simple rule.

It has one with a configuration in /etc/cni/net.d on its disk, or with a DaemonSet in its cluster whose pods mount that
directory: it is taken for a network plugin's, which puts its configuration there.
"""

from __future__ import annotations

from collections.abc import Mapping

from simulator.client import Client, Obj
from simulator.client.resources import DAEMON_SETS

CONFIGURATION = "/etc/cni/net.d"
NO_NETWORK = (
    "KubeletNotReady",
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin "
    "returns error: cni plugin not initialized",
)
"""Reason and message of a node that is not Ready, as the kubelet words it."""


async def ready(files: Mapping[str, str], client: Client) -> bool:
    """Raises ApiError."""
    if any(path.startswith(f"{CONFIGURATION}/") and text for path, text in files.items()):
        return True
    return any(_is_plugin(one) for one in await client.list(DAEMON_SETS))


def _is_plugin(daemon_set: Obj) -> bool:
    volumes = daemon_set["spec"]["template"]["spec"].get("volumes") or []
    paths = [(one.get("hostPath") or {}).get("path", "") for one in volumes]
    return any(path.rstrip("/").startswith(CONFIGURATION) or path.rstrip("/") == "/etc/cni" for path in paths)

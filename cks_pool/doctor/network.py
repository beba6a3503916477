"""What can be known of network policies: which plugin runs. That it enforces them here only a trial would show."""

from __future__ import annotations

from collections.abc import Sequence

from cks_pool.doctor.checking import Check
from cks_pool.doctor.findings import Verdict, ok, skipped, warning
from pool.kube.resources import DAEMON_SETS
from pool.work.steps import Host

ENFORCING = {
    "antrea-agent": "Antrea",
    "calico-node": "Calico",
    "canal": "Canal",
    "cilium": "Cilium",
    "kube-network-policies": "kube-network-policies",
    "kube-router": "kube-router",
    "ovnkube-node": "OVN-Kubernetes",
    "weave-net": "Weave Net",
}
"""DaemonSets of plugins that enforce NetworkPolicies, unless told not to."""
NOT_ENFORCING = {"kube-flannel-ds": "Flannel", "kube-flannel": "Flannel"}
"""Of plugins that do not, alone."""


async def look_network(host: Host) -> list[str]:
    """Names of all DaemonSets."""
    return sorted({one["metadata"]["name"] for one in await host.kube.list(DAEMON_SETS)})


def judge_network(names: Sequence[str]) -> Verdict:
    """The policies keep learners from the host and from each other: without them a pool isolates nobody."""
    enforcing = sorted({ENFORCING[name] for name in names if name in ENFORCING})
    if enforcing:
        return ok(f"{', '.join(enforcing)} is there, which enforces NetworkPolicies; that it does here was not tried")
    without = sorted({NOT_ENFORCING[name] for name in names if name in NOT_ENFORCING})
    cure = "use a plugin that enforces NetworkPolicies: without one, VMs reach the host and each other"
    if without:
        return warning(f"{', '.join(without)} is there, which enforces no NetworkPolicies", cure)
    return skipped("no network plugin that is known here was seen; whether it enforces NetworkPolicies cannot be told")


CHECKS = (Check("network-policies", look_network, judge_network),)

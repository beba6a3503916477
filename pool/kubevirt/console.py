"""What a VM printed on its serial console, as KubeVirt keeps it: in the log of a container beside the domain.

KubeVirt: with `logSerialConsole: true` on the VM the launcher pod has a container `guest-console-log`; older versions,
and VMs without it, have none (pkg/virt-controller/services/serialconsolelog.go). What stands in its log are the guest's
words, whatever they are.
"""

from __future__ import annotations

from pool.core.errors import NotFound
from pool.kube.client import Kube
from pool.kube.resources import PODS, VMIS
from pool.kubevirt.cluster import CLUSTER_LABEL, ROLE_LABEL, Machine

CONTAINER = "guest-console-log"
CREATED_BY = "kubevirt.io/created-by"
"""On a launcher pod: the UID of its VMI. Earlier instances' pods may be there still."""
MOST_LINES = 500
MOST_BYTES = 1 << 18
"""Of one look. Kubernetes goes back by lines and forth by bytes: if they have 500 bytes each, the last one is whole."""


async def console_of(kube: Kube, machine: Machine) -> str:
    """The end of what the VM's present instance printed, as it is.

    Raises NotFound if no instance runs or its log is gone, Invalid if the pod has no such container (yet), Forbidden.
    """
    vmi = await kube.get(VMIS, machine.name, machine.namespace)
    labels = f"{CREATED_BY}={vmi['metadata']['uid']},{CLUSTER_LABEL}={machine.cluster_id},{ROLE_LABEL}={machine.role}"
    pods = await kube.list(PODS, machine.namespace, labels=labels)
    if not pods:
        raise NotFound(404, "NotFound", f"VM {machine.namespace}/{machine.name} has no launcher pod")
    # After a migration there are two; the later one has what is printed now.
    name = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))["metadata"]["name"]
    query = {"container": CONTAINER, "tailLines": str(MOST_LINES), "limitBytes": str(MOST_BYTES)}
    return await kube.text(PODS, name, machine.namespace, subresource="log", query=query, most=MOST_BYTES)

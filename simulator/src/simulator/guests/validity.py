"""How long a node's own certificates let it work, by the simulated calendar.

What kubeadm clusters do when nobody renews: a control plane started after the end of its certificates never serves,
since its API server cannot verify etcd's (made on the same day); one that runs goes on serving, but whoever connects
from then on refuses its certificate; a kubelet whose client certificate has ended, or that refuses the API server's,
renews its node's lease no more; nor does anybody mark that node NotReady, for the controller manager is shut out too.
A kubelet renews its own certificate late in its year; a clock that is moved past the end, or a disk that comes back
from an old snapshot, leaves it no time to. (Kubernetes documentation: certificate management with kubeadm.)
"""

from __future__ import annotations

from collections.abc import MutableMapping
from datetime import datetime

from simulator.guests.kubeadm import Refused
from simulator.guests.pki import Authority, end_of, kubelet_certificate

EXPIRED = "x509: certificate has expired or is not yet valid"
"""As Go words it."""
KUBELET = "/var/lib/kubelet/pki/kubelet-client-current.pem"


def give_kubelet(files: MutableMapping[str, str], authority: Authority, node: str, now: datetime) -> None:
    """The client certificate that a node gets when it becomes one."""
    files[KUBELET] = kubelet_certificate(authority, node, now)


def end_of_kubelet(files: MutableMapping[str, str]) -> datetime:
    """When the node's client certificate ends. Raises Refused when it has none."""
    if KUBELET not in files:
        raise Refused(f"kubelet: unable to load client certificate {KUBELET}: no such file or directory")
    return end_of(files[KUBELET])


def check_start(certificate: str, now: datetime) -> None:
    """Raises Refused when a control plane with this serving certificate cannot start any more."""
    end = end_of(certificate)
    if end <= now:
        raise Refused(
            f"kube-apiserver: context deadline exceeded connecting to etcd: authentication handshake failed: tls: "
            f"failed to verify certificate: {EXPIRED}: current time {now:%Y-%m-%dT%H:%M:%SZ} is after "
            f"{end:%Y-%m-%dT%H:%M:%SZ}"
        )

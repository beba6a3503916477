"""What kubeadm looks at before it begins, what it leaves when it is cut short, and what its reset takes away.

Pure but for the disk's files. The texts are kubeadm's (cmd/kubeadm/app/preflight/checks.go); which files it minds was
seen on real disks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping

from simulator.faults.troubles import TroubleKind, Troubles, Victim
from simulator.guests.disk import KUBERNETES, Disk
from simulator.guests.kubeadm import Refused
from simulator.guests.mounts import DIRECTORY_MARK, is_directory

ETC, ETCD, KUBELET = "/etc/kubernetes", "/var/lib/etcd", "/var/lib/kubelet"
CA_CERT, CA_KEY = f"{ETC}/pki/ca.crt", f"{ETC}/pki/ca.key"
KUBELET_CONF, BOOTSTRAP_CONF = f"{ETC}/kubelet.conf", f"{ETC}/bootstrap-kubelet.conf"
MANIFESTS = tuple(
    f"{ETC}/manifests/{name}.yaml" for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
)


def check_init(disk: Disk, version: str) -> None:
    """Raises Refused when kubeadm init would not begin on that disk, or not with that version of Kubernetes."""
    check_version(disk.machine.get(KUBERNETES, ""), version)
    _check_available(disk.files, MANIFESTS)
    if is_directory(disk.files, ETCD):
        raise Refused(f"[ERROR DirAvailable--var-lib-etcd]: {ETCD} is not empty")


def check_join(disk: Disk) -> None:
    """Raises Refused when kubeadm join would not begin on that disk."""
    _check_available(disk.files, (KUBELET_CONF, BOOTSTRAP_CONF, CA_CERT))


def _check_available(files: Mapping[str, str], paths: Iterable[str]) -> None:
    there = [path for path in paths if path in files]
    if there:
        raise Refused(
            "\n".join(f"[ERROR FileAvailable-{one.replace('/', '-')}]: {one} already exists" for one in there)
        )


def check_version(has: str, wanted: str) -> None:
    """Raises Refused when a kubeadm and a kubelet of that version (empty: of whatever is wanted) do not make such a
    cluster: kubeadm makes those of its own minor version and of the one before, a kubelet is never newer."""
    if not has or has == wanted:
        return
    own, other = _minor(has), _minor(wanted)
    if other < own - 1:
        raise Refused(
            f"this version of kubeadm only supports deploying clusters with the control plane version >= "
            f"1.{own - 1}.0. Current version: {wanted}"
        )
    if other < own:
        raise Refused(
            f"[ERROR KubeletVersion]: the kubelet version is higher than the control plane version. This is not a "
            f"supported version skew and may lead to a malfunctional cluster. "
            f'Kubelet version: "{has[1:]}" Control plane version: "{wanted[1:]}"'
        )


def _minor(version: str) -> int:
    found = re.match(r"v?\d+\.(\d+)", version)
    return int(found[1]) if found else 0


def unreachable(host: str, troubles: Troubles, who: Victim) -> bool:
    """Whether a guest does not reach a host of the world. No server has a name that ends in .invalid (RFC 2606)."""
    return host.endswith(".invalid") or troubles.of(TroubleKind.UNREACHABLE, who, host=host) is not None


def begin_init(files: MutableMapping[str, str]) -> None:
    """What is there as soon as kubeadm init waits for its control plane."""
    for path in (*MANIFESTS, KUBELET_CONF, f"{ETC}/admin.conf"):
        files[path] = "kubeadm init\n"
    files.setdefault(f"{ETCD}/member{DIRECTORY_MARK}", "")


def begin_join(files: MutableMapping[str, str], ca: str) -> None:
    """What is there as soon as kubeadm join waits for the kubelet."""
    files.update({BOOTSTRAP_CONF: "kubeadm join\n", CA_CERT: ca})


def end_join(files: MutableMapping[str, str]) -> None:
    files[KUBELET_CONF] = "kubeadm join\n"
    files.pop(BOOTSTRAP_CONF, None)


def wipe(files: MutableMapping[str, str]) -> None:
    """What kubeadm reset removes."""
    for path in list(files):
        if path.startswith((f"{ETC}/", f"{ETCD}/", f"{KUBELET}/")):
            del files[path]

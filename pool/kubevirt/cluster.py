"""What a cluster of the pool is made of, by name: two VMs in a namespace, and what belongs to them; and whose it is."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from enum import StrEnum

from pool.core.clusters import POOL_LABEL, POOL_UID_LABEL, PooledCluster
from pool.core.errors import NotOurs
from pool.core.pools import Pool

CLUSTER_LABEL = "cks.io/cluster-id"
CLUSTER_UID_LABEL = "cks.io/cluster-uid"
ROLE_LABEL = "cks.io/vm-role"
RUN_LABEL = "cks.io/run-id"

ROOT_VOLUME = "rootdisk"
API_PORT = 6443
WIREGUARD_PORT = 51820
CA_SECRET = "cluster-ca"
KUBECONFIG_SECRET = "admin-kubeconfig"

_IDENTITY = uuid.UUID("b0f4e1de-5d0a-5c54-9d0e-6b1c3f0a7c11")
"""Namespace of the VMs' firmware UUIDs; only its never changing matters."""


class Role(StrEnum):
    """A VM's part in its cluster."""

    CONTROL_PLANE = "control-plane"
    """Runs the guest's API server, etcd and controllers, and is a node."""
    WORKER = "worker"
    """Runs the learner's workloads."""

    @property
    def short(self) -> str:
        """The prefix of the names of everything that belongs to a VM of this role."""
        return "cp" if self is Role.CONTROL_PLANE else "wk"


@dataclass(frozen=True)
class Machine:
    """One VM of a cluster; its name is also the guest node's."""

    cluster: Cluster
    role: Role

    @property
    def cluster_id(self) -> str:
        """The cluster's ID."""
        return self.cluster.id

    @property
    def namespace(self) -> str:
        """The cluster's namespace."""
        return self.cluster.namespace

    @property
    def name(self) -> str:
        """Name of the VirtualMachine, its VMI and its node in the guest."""
        return f"{self.role.short}-{self.cluster_id}"

    @property
    def labels(self) -> dict[str, str]:
        """On the VM, its template (so VMI and launcher pod), its volumes, snapshots and restores."""
        return self.cluster.labels | {ROLE_LABEL: self.role.value}

    @property
    def selector(self) -> dict[str, str]:
        """Which launcher pod is this VM's, whatever became of the cluster's resource."""
        return {CLUSTER_LABEL: self.cluster_id, ROLE_LABEL: self.role.value}

    @property
    def snapshot(self) -> str:
        """Name of the golden VirtualMachineSnapshot."""
        return f"{self.role.short}-snap"

    @property
    def root_disk(self) -> str:
        """Name of the first DataVolume; a restore replaces it by another."""
        return f"{self.name}-{ROOT_VOLUME}"

    @property
    def cloud_init_secret(self) -> str:
        """Name of the Secret with cloud-init's user and network data."""
        return f"{self.name}-cloudinit"

    @property
    def wireguard_service(self) -> str:
        """Name of the Service through which the other VM reaches this one's WireGuard port."""
        return f"{self.role.short}-wireguard"

    @property
    def wireguard_address(self) -> str:
        """The node's fixed address inside the cluster."""
        return "10.99.0.1" if self.role is Role.CONTROL_PLANE else "10.99.0.2"

    @property
    def pod_range(self) -> str:
        """The range of the node's pods: what kube-controller-manager allots to the first node and to the second."""
        return "10.60.0.0/24" if self.role is Role.CONTROL_PLANE else "10.60.1.0/24"

    @property
    def firmware_uuid(self) -> str:
        """Fixed, since cloud-init takes it for its instance ID: another one would run the first boot again.

        KubeVirt: a VM object made anew without it gets a random one.
        """
        return str(uuid.uuid5(_IDENTITY, f"{self.namespace}/{self.name}"))

    @property
    def mac_address(self) -> str:
        """Fixed and locally administered; without it the guest's NIC takes that of each new launcher pod."""
        tail = hashlib.sha256(f"{self.namespace}/{self.name}".encode()).digest()[:5]
        return ":".join(f"{byte:02x}" for byte in (0x02, *tail))


@dataclass(frozen=True)
class Cluster:
    """A cluster of a pool: its ID, its namespace on the host, and its identity.

    `uid` is its PooledCluster's, `pool` the Pool's name, `pool_uid` the Pool's UID. Names come again, UIDs do not: what
    carries another `pool_uid` is never touched, what carries another `uid` is left of an earlier cluster.
    """

    id: str
    namespace: str
    uid: str
    pool: str
    pool_uid: str

    def __post_init__(self) -> None:
        """Raise ValueError for an identity with a gap: a selector made of it would match what is not the cluster's."""
        if not all((self.id, self.namespace, self.uid, self.pool, self.pool_uid)):
            raise ValueError(f"a cluster needs a whole identity, got {self}")

    @classmethod
    def of(cls, pooled: PooledCluster) -> Cluster:
        """The cluster that a PooledCluster is about. Raises NotOurs if that says of no Pool that it is its."""
        pool_uid = pooled.metadata.labels.get(POOL_UID_LABEL, "")
        if not pool_uid or not pooled.metadata.uid:
            raise NotOurs(
                f"PooledCluster {pooled.name}",
                expected=f"the label {POOL_UID_LABEL}",
                actual="none",
                cure=f"only bootstrap-pool makes them; delete it, or label it with the UID of Pool {pooled.spec.pool}",
            )
        return cls(pooled.name, pooled.spec.namespace, pooled.metadata.uid, pooled.spec.pool, pool_uid)

    @property
    def control_plane(self) -> Machine:
        """The VM with the guest's API server."""
        return Machine(self, Role.CONTROL_PLANE)

    @property
    def worker(self) -> Machine:
        """The other VM."""
        return Machine(self, Role.WORKER)

    @property
    def machines(self) -> tuple[Machine, Machine]:
        """Both VMs, the control plane first."""
        return self.control_plane, self.worker

    @property
    def labels(self) -> dict[str, str]:
        """On everything that is made for the cluster."""
        return {
            CLUSTER_LABEL: self.id,
            CLUSTER_UID_LABEL: self.uid,
            POOL_LABEL: self.pool,
            POOL_UID_LABEL: self.pool_uid,
        }

    @property
    def selector(self) -> str:
        """Label selector of everything that was made for a cluster of this name of the pool, earlier ones included."""
        return f"{CLUSTER_LABEL}={self.id},{POOL_UID_LABEL}={self.pool_uid}"

    @property
    def server_name(self) -> str:
        """DNS name of the guest's API server: the Service `cp`, and a name in its certificate."""
        return f"cp.{self.namespace}.svc"

    @property
    def endpoint(self) -> str:
        """The guest's control plane endpoint, as "name:port"."""
        return f"{self.server_name}:{API_PORT}"


def pool_labels(pool: Pool) -> dict[str, str]:
    """On everything that is made for a pool and for no single cluster, and on its PooledClusters."""
    return {POOL_LABEL: pool.name, POOL_UID_LABEL: pool.metadata.uid}

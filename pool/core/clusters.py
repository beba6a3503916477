"""PooledCluster: one cluster of a pool, two VMs in a namespace of its own, and whose it is."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from pool.core.fields import Count, DnsLabel, Model, Time
from pool.core.lifecycle import ClusterPhase
from pool.core.resource import Condition, Reason, Resource

TEARDOWN_FINALIZER = "cks.io/teardown"
"""On every PooledCluster: a deleted one stays until it is torn down, and its session has ended."""
POOL_LABEL = "cks.io/pool"
"""Name of the Pool, on every PooledCluster and on all that is made for it."""
POOL_UID_LABEL = "cks.io/pool-uid"
"""UID of the Pool: another Pool of that name, or the same one restored from a backup, is not it."""
POOL_NAMESPACE_LABEL = "cks.io/pool-namespace"
"""Where the Pool is, on a cluster's namespace and on RoleBindings: a worker may change only those of its own Pools."""

MOST_KEYS = 8
"""Idempotency keys of extensions that are kept: a call that is made again comes before so many others."""


class OperationKind(StrEnum):
    """What a run does to a cluster."""

    BOOTSTRAP = "bootstrap"
    """Make its VMs and bring the guest up."""
    GOLDEN = "golden"
    """Take its golden snapshots."""
    RESET = "reset"
    """Restore it from its golden snapshots."""
    REBUILD = "rebuild"
    """Throw its VMs away and make it again from the image."""
    TEARDOWN = "teardown"
    """Remove it from the pool."""


class Operation(Model):
    """The run that works on the cluster: at most one at a time."""

    kind: OperationKind
    """What is being done."""
    run_id: Annotated[str, Field(min_length=1, max_length=253)]
    """ID of the flow run that does it; every write of the run is checked against it."""
    word: Annotated[str, Field(max_length=64)] = ""
    """Made anew by each beginning, and checked as well: the same run may be carried out twice."""
    started_at: Time
    """When this run began (not the first attempt)."""
    heartbeat_at: Time
    """Last sign of life; another run takes over once this has been seen not to change for the whole grace."""
    attempt: Annotated[int, Field(ge=1)] = 1
    """Which attempt this is, counting those that failed since the last success."""


class GoldenSnapshot(Model):
    """One VM's half of a golden generation."""

    name: str
    """Name of the VirtualMachineSnapshot."""
    uid: str
    """Its UID: the name alone could be another generation's."""


class Golden(Model):
    """The golden generation: both VMs' snapshots of the same moment; generations are never mixed."""

    generation: Annotated[int, Field(ge=1)]
    """Counts up with every new pair of snapshots."""
    control_plane: GoldenSnapshot
    """Snapshot of the control plane VM."""
    worker: GoldenSnapshot
    """Snapshot of the worker VM."""
    taken_at: Time
    """When both were verified."""
    kubernetes_version: Annotated[str, Field(max_length=64)] | None = None
    """What the guest's API server says it is, as v1.34.1."""
    certificates_expire_at: Time | None = None
    """First end of the certificates inside; a reset brings these back."""


class AttestedBoot(Model):
    """A boot of one node that was attested: what still stands of it on a disk does not tell of a later one."""

    instance: str
    """UID of the VirtualMachineInstance."""
    boot_id: Annotated[str, Field(max_length=36)]
    """The boot ID that its node reported."""


class AttestedBoots(Model):
    """Both nodes' boots when the cluster was attested last."""

    control_plane: AttestedBoot
    """The control plane's."""
    worker: AttestedBoot
    """The worker's."""


class ClonedImage(Model):
    """The golden image that a cluster's disks stem from."""

    url: Annotated[str, Field(max_length=1024)]
    """Where it was imported from."""
    disk: Annotated[str, Field(max_length=253)]
    """Name of its disk (DataVolume and PVC) in the templates' namespace, which stays while a cluster stems from it."""
    checksum: Annotated[str, Field(max_length=135)] | None = None
    """Of the file, if one was compared."""
    kubernetes_version: Annotated[str, Field(max_length=32)] | None = None
    """What the cluster was to run when it was made; unknown of older ones."""


class Failure(Model):
    """Why the last operation failed, by a fault of its own; gone after the next success."""

    reason: Reason
    """One CamelCase word, for programs."""
    message: Annotated[str, Field(max_length=4096)]
    """One line for people, with the cure where one is known."""
    since: Time
    """When the first of these attempts failed."""
    last_time: Time | None = None
    """When the last of them failed; left out, there was only the first."""
    attempts: Count = 1
    """Failed attempts in a row."""


class Outage(Model):
    """How the host's API kept runs from their end, which is no failure and uses up nothing; gone after a success."""

    message: Annotated[str, Field(max_length=4096)]
    """One line for people: what did not answer the last time."""
    since: Time
    """When the first of these runs ended so."""
    last_time: Time
    """When the last of them did."""
    count: Annotated[int, Field(ge=1)] = 1
    """How many runs."""


class ConditionType(StrEnum):
    """What is known about a cluster."""

    VMS_READY = "VMsReady"
    """Both VMs run, on disks of the current golden generation."""
    GOLDEN_READY = "GoldenReady"
    """A verified golden generation exists."""
    GUEST_HEALTHY = "GuestHealthy"
    """Guest API answers, both nodes Ready with fresh leases."""


class ClusterCondition(Condition):
    """One observation of a cluster."""

    type: ConditionType
    """What it is about."""


class ClusterSpec(Model):
    """What is wanted."""

    pool: DnsLabel = "default"
    """Name of the Pool it belongs to, in the same namespace; it never changes."""
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
    """The cluster's own namespace on the host; it never changes."""
    cordoned: bool = False
    """Never assigned while true."""


class ClusterStatus(Model):
    """What is."""

    phase: ClusterPhase = ClusterPhase.CREATING
    """creating, available, locked, resetting or error."""
    assigned_session: Annotated[str, Field(max_length=253)] | None = None
    """Session that holds the cluster."""
    assigned_session_uid: str | None = Field(default=None, alias="assignedSessionUID")
    """UID of that Session: a later one of the same name does not hold the cluster."""
    lock_time: Time | None = None
    """When it was assigned; the time to live starts here."""
    expires_at: Time | None = None
    """When the session's time ends. This one decides; the session's is a copy."""
    extension_keys: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MOST_KEYS)] = Field(
        default_factory=list
    )
    """Idempotency keys of the session's last extensions, the newest first: the same again adds nothing."""
    last_reset: Time | None = None
    """When it last became available clean; the longest-rested is assigned first."""
    last_reset_seconds: Count | None = None
    """How long its last reset took, for the forecast of the next one."""
    created_at: Time | None = None
    """When the cluster joined the pool."""
    last_health_check: Time | None = None
    """When the guest was last looked at."""
    control_plane_vm: str | None = Field(default=None, alias="controlPlaneVM")
    """Name of the control plane's VM."""
    worker_node_vm: str | None = Field(default=None, alias="workerNodeVM")
    """Name of the worker's VM."""
    epoch: Count = 0
    """Counts the handovers; a writer of an earlier epoch is refused."""
    clean: bool = False
    """Attested clean, and nobody could have used it since. Only an attestation sets it, and what could have used the
    cluster takes it away: a lock, an operation."""
    operation: Operation | None = None
    """The run that works on it, if any."""
    image: ClonedImage | None = None
    """What its disks were cloned from, whatever its Pool wants by now."""
    golden: Golden | None = None
    """The golden generation it is reset to."""
    attested_boots: AttestedBoots | None = None
    """Both nodes' boots when the cluster was attested last."""
    rebuilding: bool = False
    """A rebuild began and did not finish: what is there may be old and used, only another rebuild goes on from here."""
    failure: Failure | None = None
    """Why the last operation failed."""
    outage: Outage | None = None
    """The outages of the host's API that ended runs since the last success."""
    takeovers: Count = 0
    """Runs that fell silent and were taken over since the last success (a worker that was restarted, say). No failures,
    they use up nothing; a number that grows all the time tells of a run that takes its worker down."""
    conditions: list[ClusterCondition] = Field(default_factory=list)
    """What is known, one entry a type."""

    def condition(self, kind: ConditionType) -> ClusterCondition | None:
        """The condition of that type, if it was ever set."""
        return next((condition for condition in self.conditions if condition.type == kind), None)


class PooledCluster(Resource):
    """One cluster of the pool: two VMs in a namespace of its own, and whose it is."""

    KIND: ClassVar[str] = "PooledCluster"

    spec: ClusterSpec
    status: ClusterStatus = Field(default_factory=ClusterStatus)

    @property
    def phase(self) -> ClusterPhase:
        """Shorthand for `status.phase`."""
        return self.status.phase

    @classmethod
    def spare_spec(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        return {"namespace": metadata["name"]}

    def set_aside(self) -> Self:
        """Broken and cordoned: counted, shown, handed to nobody, and nothing is started on it. Its holder keeps it."""
        failure = Failure(reason="Unreadable", message=self.unreadable[:4096], since=self._made_at, attempts=0)
        spec = self.spec.changed(cordoned=True)
        return self.changed(spec=spec).with_status(phase=ClusterPhase.ERROR, clean=False, failure=failure)

    @property
    def _made_at(self) -> datetime:
        return self.metadata.creation_timestamp or datetime.fromtimestamp(0, UTC)

    @property
    def removing(self) -> bool:
        """Whether it is on its way out: deleted, and there until it is torn down."""
        return self.metadata.deletion_timestamp is not None

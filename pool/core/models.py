"""The pool's two resources, `PooledCluster` and `Session`.

One source: the CRDs under `deployments/crds` are generated from these classes (`python -m pool.core.crds`), their field
docstrings become the descriptions that `kubectl explain` shows. JSON names are camelCase; times are RFC 3339, UTC.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from pool.core.errors import InvalidInput
from pool.core.fields import Count, HeartbeatTimeout, Model, Priority, Time, TtlSeconds
from pool.core.lifecycle import ClusterPhase, SessionPhase

GROUP = "cks.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


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
    started_at: Time
    """When this run began (not the first attempt)."""
    heartbeat_at: Time
    """Last sign of life; older than the grace, another run may take over."""
    attempt: Annotated[int, Field(ge=1)] = 1
    """Which attempt this is, counting failed and overtaken ones since the last success."""


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
    """What the guest's API server says it is, as v1.32.0."""
    image: Annotated[str, Field(max_length=1024)] | None = None
    """The golden image the cluster was made from; another one than the pool's is outdated."""
    certificates_expire_at: Time | None = None
    """First end of the certificates inside; a reset brings these back."""


class Failure(Model):
    """Why the last operation failed; gone after the next success."""

    reason: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$", max_length=128)]
    """One CamelCase word, for programs."""
    message: Annotated[str, Field(max_length=4096)]
    """One line for people, with the cure where one is known."""
    since: Time
    """When the first of these attempts failed."""
    last_time: Time | None = None
    """When the last of them failed; left out, there was only the first."""
    attempts: Count = 1
    """Failed attempts in a row."""
    outage_since: Time | None = None
    """Since when they fail by an outage of the host's API, which uses up no attempt at first."""


class ConditionType(StrEnum):
    """What is known about a cluster."""

    VMS_READY = "VMsReady"
    """Both VMs run, on disks of the current golden generation."""
    GOLDEN_READY = "GoldenReady"
    """A verified golden generation exists."""
    GUEST_HEALTHY = "GuestHealthy"
    """Guest API answers, both nodes Ready with fresh leases."""


class ConditionStatus(StrEnum):
    """Kubernetes' three truth values."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One observation, in the form all Kubernetes conditions have."""

    type: ConditionType
    """What it is about."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$", max_length=128)]
    """One CamelCase word, for programs."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """The evidence, for people."""
    last_transition_time: Time
    """When `status` last changed."""


class Metadata(BaseModel):
    """The part of Kubernetes' metadata that the pool looks at; the rest is kept and given back untouched."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="allow")

    name: str
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = Field(default_factory=dict)


class Resource(Model):
    """What both kinds share: from and to the API's JSON, with metadata kept for compare-and-swap."""

    KIND: ClassVar[str]
    metadata: Metadata

    @property
    def name(self) -> str:
        """The resource's name: the cluster's or session's ID."""
        return self.metadata.name

    @classmethod
    def from_object(cls, obj: dict[str, Any]) -> Self:
        """The resource in `obj` (the API's JSON). Raises InvalidInput if it does not fit the model."""
        try:
            return cls.model_validate({k: v for k, v in obj.items() if k in ("metadata", "spec", "status")})
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(
                f"{cls.KIND} {obj.get('metadata', {}).get('name', '?')} cannot be read",
                expected=".".join(str(part) for part in first["loc"]),
                actual=first["msg"],
                cure="its CRD is of another version; run create-namespaces",
            ) from error

    def to_object(self) -> dict[str, Any]:
        """The API's JSON, absent values left out."""
        content = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        content["metadata"] = {k: v for k, v in content["metadata"].items() if v not in ("", {})}
        return {"apiVersion": API_VERSION, "kind": self.KIND} | content

    def with_status(self, **fields: Any) -> Self:
        """A copy with these fields of `status` replaced."""
        return self.changed(status=self.__getattribute__("status").changed(**fields))


class ClusterSpec(Model):
    """What is wanted."""

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
    operation: Operation | None = None
    """The run that works on it, if any."""
    golden: Golden | None = None
    """The golden generation it is reset to."""
    rebuilding: bool = False
    """A rebuild began and did not finish: what is there may be old and used, only another rebuild goes on from here."""
    failure: Failure | None = None
    """Why the last operation failed."""
    conditions: list[Condition] = Field(default_factory=list)
    """What is known, one entry a type."""

    def condition(self, kind: ConditionType) -> Condition | None:
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


class SessionSpec(Model):
    """What is asked for."""

    ttl_seconds: TtlSeconds | None = None
    """How long the session may keep its cluster, from the assignment; the pool's default if left out."""
    priority: Priority = 0
    """Higher is served first; then by age."""
    requested_at: Time | None = None
    """When it was asked for, by the asker's clock: the order within one second of creation."""
    wait_seconds: Count | None = None
    """Seconds after creation for which somebody waits for a cluster; left out, the session waits until it is served."""
    heartbeat_timeout_seconds: HeartbeatTimeout | None = None
    """Seconds without a heartbeat after which the session counts as abandoned; left out, none are expected."""


class SessionStatus(Model):
    """What it has."""

    phase: SessionPhase = SessionPhase.PENDING
    """Pending, Active, Released or Expired."""
    assigned_cluster: Annotated[str, Field(max_length=40)] | None = None
    """The cluster it holds, or held."""
    cluster_lock_time: Time | None = None
    """When it got the cluster."""
    expires_at: Time | None = None
    """When its time ends."""
    last_heartbeat: Time | None = None
    """Last sign of life of its user, where the platform sends one."""
    epoch: Count | None = None
    """The cluster's epoch at the handover; its owner shows it when giving the cluster back."""
    ended_at: Time | None = None
    """When it was released or expired."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """One line for people: its place in the queue, or why it ended."""


class Session(Resource):
    """A learner's claim on one cluster; its name is the session's ID."""

    KIND: ClassVar[str] = "Session"

    spec: SessionSpec = Field(default_factory=SessionSpec)
    status: SessionStatus = Field(default_factory=SessionStatus)

    @property
    def phase(self) -> SessionPhase:
        """Shorthand for `status.phase`."""
        return self.status.phase

"""Pool: how many clusters there are to be, and of what."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pool.core.fields import DNS_NAME, MAX_TTL_SECONDS, MIN_TTL_SECONDS, ClusterCount, Count, Model, Quantity, Time
from pool.core.resource import Condition, Resource

DEFAULT_POOL = "default"
"""The Pool that is meant where none is named."""
POOL_FINALIZER = "cks.io/clusters"
"""On every Pool: a deleted one stays until the last of its clusters is torn down."""


class Packages(Model):
    """Where first boot gets containerd, kubeadm, kubelet and kubectl from, if the image has none."""

    repository: Annotated[str, Field(pattern=r"^https?://[-A-Za-z0-9.:/_~%]+/$", max_length=1024)] = (
        "https://pkgs.k8s.io/core:/stable:/"
    )
    """Package repository; the minor version and `/deb/` are appended, as `v1.34/deb/`. The default is the Kubernetes
    project's (kubernetes.io/docs/tasks/administer-cluster/kubeadm/change-package-repository)."""
    key_fingerprint: Annotated[str, Field(pattern=r"^[0-9A-F]{40}$", max_length=40)] = (
        "DE15B14486CD377B9E876E1A234654DA9A296436"
    )
    """Fingerprint of the key that signs the repository. The default is that of the Kubernetes project's, which its
    build service shows at build.opensuse.org/projects/isv:kubernetes/signing_keys."""
    proxy: Annotated[str, Field(pattern=r"^https?://[-A-Za-z0-9.:\[\]]+$", max_length=256)] | None = None
    """Proxy that the nodes get packages and container images through, as `http://proxy.example:3128`; no credentials,
    for nodes are a learner's. They connect directly if left out."""


class Image(Model):
    """The golden image that every cluster's disks are cloned from."""

    url: Annotated[str, Field(min_length=1, max_length=1024)] = (
        "docker://quay.io/capk/ubuntu-2404-container-disk:v1.34.1"
    )
    """Where CDI gets it from: `docker://REGISTRY/IMAGE:TAG` (or `@sha256:DIGEST`), `http(s)://HOST/FILE`, or what is on
    the host, `pvc`, `datavolume`, `datasource` or `volumesnapshot://NAMESPACE/NAME`. The default is Cluster API's
    public node image for KubeVirt. Another one replaces the clusters one by one."""
    kubernetes_version: Annotated[str, Field(pattern=r"^v1\.[0-9]+\.[0-9]+$", max_length=32)] = "v1.34.1"
    """Kubernetes version inside the clusters. An image that carries Kubernetes must carry this one; else it is
    installed at first boot, from `packages`."""
    checksum: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$", max_length=135)] | None = (
        None
    )
    """`sha256:...` or `sha512:...` of the file at an http(s) URL, compared by CDI. Needed with http."""
    pull_secret: Annotated[str, Field(pattern=DNS_NAME, max_length=253)] | None = None
    """Secret in the templates' namespace with `accessKeyId` and `secretKey`: user and password of the registry or the
    web server."""
    certificates: Annotated[str, Field(pattern=DNS_NAME, max_length=253)] | None = None
    """ConfigMap in the templates' namespace with the certificates (PEM) of the CA that the registry's or the web
    server's is signed by. Those that are trusted anyway if left out."""
    packages: Packages = Packages()
    """Where Kubernetes comes from if the image has none."""


class Network(StrEnum):
    """The network plugin of the clusters."""

    BUILTIN = "builtin"
    """Bridges, routed over the link between the nodes, and kube-network-policies for NetworkPolicy."""
    NONE = "none"
    """None: `addons` bring their own."""


class Resources(Model):
    """What VMs of one role have, where it is not what both have."""

    cpu: Annotated[int, Field(ge=2, le=256)] | None = None
    """Cores; `machines.cpu` if left out."""
    memory: Quantity | None = None
    """Memory; `machines.memory` if left out."""


class Toleration(Model):
    """A taint of the host's nodes that the VMs may run beside, as in a Pod."""

    key: Annotated[str, Field(min_length=1, max_length=317)] | None = None
    """Key of the taint; every taint if left out, with operator `Exists`."""
    operator: Literal["Exists", "Equal"] | None = None
    """`Equal`, with `value`, if left out."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; every effect if left out."""


class Machines(Model):
    """A cluster's two VMs; a change holds for clusters that are made from then on."""

    cpu: Annotated[int, Field(ge=2, le=256)] = 2
    """Cores of each VM; kubeadm's preflight refuses a control plane with fewer than 2."""
    memory: Quantity = "4Gi"
    """Memory of each VM; kubeadm needs 2 GiB, labs run tools beside it."""
    disk: Quantity = "20Gi"
    """Size of the root disk; images, etcd and a lab's leftovers fit in 20 GiB."""
    storage_class: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Storage class of the disks and of the golden image; the host cluster's default class if left out."""
    control_plane: Resources = Resources()
    """What the control plane has instead."""
    worker: Resources = Resources()
    """What the worker has instead."""
    cpu_model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*$", max_length=64)] | None = None
    """CPU model that the guests see, as `Cascadelake-Server`, `host-model` or `host-passthrough`; KubeVirt's own
    default if left out."""
    cpu_request: Quantity | None = None
    """CPU that the host keeps for each VM; a tenth of its cores, unless KubeVirt is set otherwise, if left out."""
    dedicated_cpus: bool = False
    """Pin each core to one of the host's, which needs the static CPU manager there (label `cpumanager=true`)."""
    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)] = Field(
        default_factory=dict
    )
    """Labels of the host's nodes that the VMs may run on."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = Field(default_factory=list)
    """Taints of the host's nodes that the VMs may run beside."""
    priority_class_name: Annotated[str, Field(pattern=DNS_NAME, max_length=253)] | None = None
    """PriorityClass of the VMs' pods; the host's default if left out."""


class SessionTimes(Model):
    """How long sessions may keep their cluster, in seconds from the assignment."""

    ttl_seconds: Annotated[int, Field(ge=MIN_TTL_SECONDS, le=MAX_TTL_SECONDS)] = 3600
    """What a session gets when it does not ask: an exam's practice hour."""
    max_ttl_seconds: Annotated[int, Field(ge=MIN_TTL_SECONDS, le=MAX_TTL_SECONDS)] = 28800
    """The most it can have, extensions included: a working day."""


class PoolSpec(Model):
    """What is wanted."""

    size: ClusterCount = 3
    """How many clusters: PREFIX1 .. PREFIXn. A smaller size removes from the top, a held cluster once its session has
    ended."""
    cluster_prefix: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z])?$", max_length=36)] = "cluster"
    """Name of a cluster, and of its namespace, before the number. Final, and no other Pool's on the host. It ends with
    a letter, so that no two prefixes make the same name; 36 characters leave room for VM and Secret names."""
    image: Image = Image()
    """The golden image."""
    machines: Machines = Machines()
    """The VMs."""
    network: Network = Network.BUILTIN
    """The network plugin: `builtin`, or `none` for add-ons that bring their own."""
    addons: Annotated[str, Field(pattern=DNS_NAME, max_length=253)] | None = None
    """ConfigMap in the Pool's namespace that prepares the clusters: manifests (`*.yaml`, `*.yml`, `*.json`, applied in
    the order of their names), `prepare.sh` for both nodes and `prepare-control-plane.sh`, run before the golden
    snapshots."""
    sessions: SessionTimes = SessionTimes()
    """Times of the sessions."""
    min_standby: Annotated[int, Field(ge=0, le=500)] = 1
    """Available clusters below which nothing that can wait (a newer image) takes one out of service."""
    max_concurrent_operations: Annotated[int, Field(ge=1, le=500)] = 5
    """How many clusters maintenance may have out of service at once; storage suffers before CPU does."""
    rebuild_broken: bool = True
    """Make a cluster whose resets failed anew from the image, by itself, once and one cluster at a time. Off: it stays
    in `error` as it is, for somebody to look at."""


class PoolConditionType(StrEnum):
    """What is known of a pool."""

    READY = "Ready"
    """All clusters that are wanted are made, and none is broken."""
    PROGRESSING = "Progressing"
    """Clusters are being made, replaced or removed."""
    DEGRADED = "Degraded"
    """Something does not get on without somebody: a broken cluster, a prefix that another Pool has."""


class PoolCondition(Condition):
    """One observation of a pool."""

    type: PoolConditionType
    """What it is about."""
    observed_generation: Count | None = None
    """The generation of the Pool that was looked at."""


class PoolStatus(Model):
    """What is; worked out from the clusters and sessions by whoever comes by."""

    observed_generation: Count = 0
    """The generation of the spec that these numbers are about."""
    replicas: Count = 0
    """Clusters that exist, in whatever phase."""
    selector: Annotated[str, Field(max_length=512)] = ""
    """Label selector of the pool's clusters, for `kubectl scale` and autoscalers."""
    creating: Count = 0
    """Clusters being made."""
    available: Count = 0
    """Clusters that are clean, healthy and free."""
    locked: Count = 0
    """Clusters held by a session."""
    resetting: Count = 0
    """Clusters being restored, or waiting for that."""
    error: Count = 0
    """Broken clusters."""
    removing: Count = 0
    """Clusters on their way out; each of them is in one of the other counts too."""
    waiting: Count = 0
    """Sessions that wait for a cluster."""
    last_maintenance: Time | None = None
    """When maintenance of the pool came to its end the last time, with whatever it could not do."""
    leftovers_swept: Count = 0
    """Disks that aborted restores had left and that were removed, since the Pool was made. Nothing hangs on it: who
    dies in that moment does not count them, and who loses the answer counts them twice."""
    conditions: list[PoolCondition] = Field(default_factory=list)
    """What is known, one entry a type."""

    def condition(self, kind: PoolConditionType) -> PoolCondition | None:
        """The condition of that type, if it was ever set."""
        return next((condition for condition in self.conditions if condition.type == kind), None)


class Pool(Resource):
    """A pool of clusters of one image, kept ready for sessions."""

    KIND: ClassVar[str] = "Pool"

    spec: PoolSpec = PoolSpec()
    status: PoolStatus = Field(default_factory=PoolStatus)

    @property
    def removing(self) -> bool:
        """Whether it is on its way out: deleted, and there until the last of its clusters is torn down."""
        return self.metadata.deletion_timestamp is not None

    def cluster_name(self, number: int) -> str:
        """Name of the pool's cluster of that number, from 1; its namespace is named alike."""
        return f"{self.spec.cluster_prefix}{number}"

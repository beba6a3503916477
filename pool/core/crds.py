"""CustomResourceDefinitions, made from the models; `python -m cks_pool.crds` writes them to `deployments/crds`.

The schema is *structural*, as the API server demands: no references, no alternatives, every node typed. Beyond types
it holds the rules that no writer may break, whoever writes: the lifecycle's table, one holder a cluster, epochs that
only grow. Transition rules (`oldSelf`) are checked by the API server on every update.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pool.core.clusters import ClusterSpec, ClusterStatus, PooledCluster
from pool.core.image_sources import FORMS, RULES, URL
from pool.core.lifecycle import TRANSITIONS, ClusterPhase
from pool.core.pools import Pool, PoolSpec, PoolStatus
from pool.core.resource import GROUP, VERSION
from pool.core.schemas import Schema, one_line, structural
from pool.core.sessions import Session, SessionSpec, SessionStatus

SCHEMA = 2
"""Which schema of our kinds this code writes. It grows with each release that writes what the one before does not know:
fields that its definitions would prune in silence, values and steps that they would refuse."""
SCHEMA_LABEL = "cks.io/schema"
"""On each CustomResourceDefinition: the SCHEMA that it was made with. Those made before there was a label have 1."""


@cache
def definitions() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions, ready to apply. Shared by all callers, not to be changed."""
    return [_pools(), _pooled_clusters(), _sessions()]


def _pools() -> dict[str, Any]:
    spec, status = structural(PoolSpec), structural(PoolStatus)
    spec["properties"]["clusterPrefix"]["x-kubernetes-validations"] = [
        _rule("self == oldSelf", "a pool's prefix never changes; make another Pool")
    ]
    image, machines, sessions = (spec["properties"][name] for name in ("image", "machines", "sessions"))
    # Whole where there are rules, since they see a default as it stands.
    image["default"], sessions["default"] = _whole(image), _whole(sessions)
    image["properties"]["url"]["x-kubernetes-validations"] = [_rule(f"self.matches('^({URL})$')", f"it is {FORMS}")]
    image["x-kubernetes-validations"] = [_rule(*rule) for rule in RULES]
    machines["x-kubernetes-validations"] = [
        _rule(
            "!has(self.cpuRequest) || !has(self.dedicatedCpus) || !self.dedicatedCpus",
            "cpuRequest and dedicatedCpus exclude each other: dedicated cores are kept whole",
        )
    ]
    machines["properties"]["tolerations"]["items"]["x-kubernetes-validations"] = [
        _rule("has(self.key) || has(self.operator) && self.operator == 'Exists'", "without key, operator is Exists"),
        _rule("!has(self.value) || !has(self.operator) || self.operator == 'Equal'", "operator Exists takes no value"),
    ]
    sessions["x-kubernetes-validations"] = [
        _rule("self.ttlSeconds <= self.maxTtlSeconds", "ttlSeconds is at most maxTtlSeconds")
    ]
    spec["default"] = {}
    columns = [
        _column("Size", ".spec.size", "Clusters that are wanted.", "integer"),
        _column("Available", ".status.available", "Clean, healthy and free.", "integer"),
        _column("Locked", ".status.locked", "Held by a session.", "integer"),
        _column("Resetting", ".status.resetting", "Being restored.", "integer"),
        _column("Error", ".status.error", "Broken.", "integer"),
        _column("Waiting", ".status.waiting", "Sessions that wait.", "integer"),
        _column("Image", ".spec.image.url", "The golden image."),
        _column("Age", ".metadata.creationTimestamp", "When it was made.", "date"),
        _column("Creating", ".status.creating", "Being made.", "integer", wide=True),
        _column("Removing", ".status.removing", "On their way out.", "integer", wide=True),
        _column("Ready", ".status.conditions[?(@.type=='Ready')].status", "All made, none broken.", wide=True),
    ]
    definition = _definition(
        Pool,
        "pools",
        ["ckspool"],
        spec,
        status,
        columns,
        None,
        rules=[_rule("size(self.metadata.name) <= 40", "a pool's name has at most 40 characters")],
    )
    definition["spec"]["versions"][0]["subresources"]["scale"] = {
        "specReplicasPath": ".spec.size",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    return definition


def _pooled_clusters() -> dict[str, Any]:
    spec, status = structural(ClusterSpec), structural(ClusterStatus)
    spec["properties"]["pool"]["x-kubernetes-validations"] = [_rule("self == oldSelf", "a cluster stays in its pool")]
    spec["properties"]["namespace"]["x-kubernetes-validations"] = [
        _rule("self == oldSelf", "a cluster's namespace never changes; remove the cluster and make it again")
    ]
    status["required"] = ["phase", "epoch"]
    status["x-kubernetes-validations"] = _cluster_rules()
    columns = [
        _column("Phase", ".status.phase", "Where it is in its life."),
        _column("Session", ".status.assignedSession", "Who holds it."),
        _column("Expires", ".status.expiresAt", "When the session's time ends."),
        _column("Operation", ".status.operation.kind", "What is being done to it."),
        _column("Golden", ".status.golden.generation", "The golden generation it is reset to.", "integer"),
        _column("Last Reset", ".status.lastReset", "When it last became available clean.", "date"),
        _column("Removing", ".metadata.deletionTimestamp", "Since when it is on its way out.", "date"),
        _column("Age", ".metadata.creationTimestamp", "When it joined the pool.", "date"),
        _column("Pool", ".spec.pool", "The Pool it belongs to.", wide=True),
        _column("Clean", ".status.clean", "Attested, and not used since.", "boolean", wide=True),
        _column("Epoch", ".status.epoch", "Number of handovers.", "integer", wide=True),
        _column("Cordoned", ".spec.cordoned", "Never assigned while true.", "boolean", wide=True),
        _column("Failure", ".status.failure.message", "Why the last operation failed.", wide=True),
    ]
    rules = [
        _rule("size(self.metadata.name) <= 40", "a cluster's name has at most 40 characters"),
        # Of the whole object, so that it holds for the first status too, which has no older one to be compared with.
        _rule(
            "!has(self.status) || !has(self.status.clean) || !self.status.clean || (has(oldSelf.status)"
            " && ((has(oldSelf.status.clean) && oldSelf.status.clean) || has(oldSelf.status.operation)))",
            "a cluster becomes clean only by the operation that attested it",
        ),
    ]
    return _definition(
        PooledCluster,
        "pooledclusters",
        # Kubernetes has `pc` for PriorityClass, and its own kinds come first; `pcl` always means ours.
        ["pc", "pcl"],
        spec,
        status,
        columns,
        "assignedSession",
        required=["spec"],
        rules=rules,
    )


def _sessions() -> dict[str, Any]:
    spec, status = structural(SessionSpec), structural(SessionStatus)
    status["required"] = ["phase"]
    status["x-kubernetes-validations"] = _session_rules()
    columns = [
        _column("Phase", ".status.phase", "Pending, Active, Released or Expired."),
        _column("Pool", ".spec.pool", "The Pool of which a cluster is wanted.", wide=True),
        _column("Cluster", ".status.assignedCluster", "The cluster it holds, or held."),
        _column("Expires", ".status.expiresAt", "When its time ends."),
        _column("Age", ".metadata.creationTimestamp", "When it was asked for.", "date"),
        _column("Message", ".status.message", "Its place in the queue, or why it ended."),
        _column("Priority", ".spec.priority", "Higher is served first.", "integer", wide=True),
        _column("Epoch", ".status.epoch", "The cluster's epoch at the handover.", "integer", wide=True),
    ]
    return _definition(Session, "sessions", ["ses"], spec, status, columns, "assignedCluster")


def _cluster_rules() -> list[Schema]:
    edges = ", ".join(f"'{a}>{b}'" for a, b in TRANSITIONS)
    locked, available = ClusterPhase.LOCKED, ClusterPhase.AVAILABLE
    return [
        _rule(
            f"self.phase != '{locked}' || (has(self.assignedSession) && has(self.lockTime) && has(self.expiresAt))",
            "a locked cluster has assignedSession, lockTime and expiresAt",
        ),
        _rule(
            f"!has(self.assignedSession) || self.phase in ['{locked}', '{ClusterPhase.RESETTING}']",
            "only a locked cluster, or one reset in place, has an assignedSession",
        ),
        _rule(f"self.phase != '{available}' || has(self.golden)", "an available cluster has a golden generation"),
        _rule(f"self.phase != '{available}' || !has(self.operation)", "nobody works on an available cluster"),
        _rule(f"self.phase != '{available}' || (has(self.clean) && self.clean)", "an available cluster is clean"),
        _rule(
            f"!has(self.clean) || !self.clean || (self.phase != '{locked}' && !has(self.operation))",
            "a cluster that a session or a run may use is not clean",
        ),
        _rule(
            f"self.phase == oldSelf.phase || (oldSelf.phase + '>' + self.phase) in [{edges}]",
            "the lifecycle has no such transition",
        ),
        _rule(
            "!has(self.assignedSession) || (has(oldSelf.assignedSession)"
            " ? self.assignedSession == oldSelf.assignedSession"
            f" : oldSelf.phase == '{available}' && self.phase == '{locked}')",
            "a held cluster does not change hands, and only an available one is locked",
        ),
        _rule("self.epoch >= oldSelf.epoch", "the epoch never goes back"),
    ]


def _session_rules() -> list[Schema]:
    return [
        _rule(
            "self.phase != 'Active' || (has(self.assignedCluster) && has(self.epoch) && has(self.expiresAt))",
            "an active session has assignedCluster, epoch and expiresAt",
        ),
        _rule(
            "self.phase == oldSelf.phase || oldSelf.phase == 'Pending'"
            " || (oldSelf.phase == 'Active' && self.phase in ['Released', 'Expired'])",
            "an ended session stays ended; use its ID again by creating it anew",
        ),
        _rule(
            "self.phase != 'Active' || oldSelf.phase != 'Active' || self.assignedCluster == oldSelf.assignedCluster",
            "an active session keeps its cluster",
        ),
    ]


def _whole(node: Schema) -> Schema:
    """The default of an object with the defaults of all its fields."""
    fields = {
        name: _whole(child) if "properties" in child else child.get("default")
        for name, child in node["properties"].items()
    }
    return {name: default for name, default in fields.items() if default is not None}


def _rule(rule: str, message: str) -> Schema:
    return {"rule": rule, "message": message}


def _column(name: str, path: str, description: str, kind: str = "string", *, wide: bool = False) -> Schema:
    column = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | {"priority": 1} if wide else column


def _definition(
    model: type[Pool | PooledCluster | Session],
    plural: str,
    short: list[str],
    spec: Schema,
    status: Schema,
    columns: list[Schema],
    selectable: str | None,
    *,
    required: list[str] | None = None,
    rules: list[Schema] | None = None,
) -> dict[str, Any]:
    schema: Schema = {
        "type": "object",
        "description": one_line(model.__doc__),
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    schema |= {"required": required} if required else {}
    schema |= {"x-kubernetes-validations": rules} if rules else {}
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    if selectable is not None:
        paths = [".status.phase", ".spec.pool", f".status.{selectable}"]
        version["selectableFields"] = [{"jsonPath": path} for path in paths]
    names = {
        "kind": model.KIND,
        "listKind": f"{model.KIND}List",
        "plural": plural,
        "singular": model.KIND.lower(),
        "shortNames": short,
        "categories": ["cks"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "labels": {"app.kubernetes.io/part-of": "cks-pool", SCHEMA_LABEL: str(SCHEMA)},
        },
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }

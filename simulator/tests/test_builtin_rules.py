"""What the API server refuses of built-in kinds: one row for each rule, as kube-apiserver judged it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http_api import Api, Failed, Obj

NAMESPACE = "/api/v1/namespaces/default"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
POLICIES = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SERVICES, PODS, CLAIMS = f"{NAMESPACE}/services", f"{NAMESPACE}/pods", f"{NAMESPACE}/persistentvolumeclaims"
SECRETS, QUOTAS = f"{NAMESPACE}/secrets", f"{NAMESPACE}/resourcequotas"
CONTAINER = {"name": "c", "image": "i"}
WHOLE = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def ports(*given: Obj) -> Obj:
    return {"spec": {"ports": list(given)}}


def pod(*containers: Obj, **spec: Any) -> Obj:
    return {"spec": {"containers": list(containers), **spec}}


def claim(**spec: Any) -> Obj:
    return {"spec": {**WHOLE, **spec}}


def rules(**rule: Any) -> Obj:
    return {"rules": [{key: value for key, value in {**RULE, **rule}.items() if value}]}


def bound(to: str, **subject: Any) -> Obj:
    return {"roleRef": {"kind": to, "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "s", **subject}]}


def peer(**peer: Any) -> Obj:
    return {"spec": {"podSelector": {}, "egress": [{"to": [peer]}]}}


REFUSED = [
    (SERVICES, ports(), "spec.ports: Required value"),
    (SERVICES, ports({"port": 0}), "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
    (SERVICES, ports({"port": 70000}), "spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535"),
    (SERVICES, ports({"port": 1}, {"port": 2}), "[spec.ports[0].name: Required value, spec.ports[1].name: Required va"),
    (SERVICES, ports({"port": 1, "name": "a"}, {"port": 2, "name": "a"}), 'spec.ports[1].name: Duplicate value: "a"'),
    (SERVICES, ports({"port": 1, "name": "a"}, {"port": 1, "name": "b"}), "spec.ports[1]: Duplicate value: "),
    (
        SERVICES,
        ports({"port": 1, "protocol": "ICMP"}),
        'Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UD',
    ),
    (SERVICES, ports({"port": 1, "targetPort": "A_"}), 'targetPort: Invalid value: "A_": must contain only alpha-num'),
    (SERVICES, {"spec": {"type": "Foo", "ports": [{"port": 1}]}}, 'spec.type: Unsupported value: "Foo": supported val'),
    (SERVICES, {"spec": {"type": "ExternalName"}}, "spec.externalName: Required value"),
    (PODS, pod(), "spec.containers: Required value"),
    (PODS, pod({"name": "C_", "image": "i"}), 'spec.containers[0].name: Invalid value: "C_": a lowercase RFC 1123 lab'),
    (PODS, pod({"name": "c"}), "spec.containers[0].image: Required value"),
    (PODS, pod(CONTAINER, CONTAINER), 'spec.containers[1].name: Duplicate value: "c"'),
    (
        PODS,
        pod({**CONTAINER, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
        'volumeMounts[0].name: Not found: "v"',
    ),
    (PODS, pod(CONTAINER, restartPolicy="Often"), 'spec.restartPolicy: Unsupported value: "Often"'),
    (
        CLAIMS,
        {},
        "[spec.accessModes: Required value: at least 1 access mode is required, spec.resources[storage]: Requ",
    ),
    (CLAIMS, claim(accessModes=["Read"]), 'spec.accessModes: Unsupported value: "Read"'),
    (CLAIMS, claim(resources={"requests": {"storage": "0"}}), 'Invalid value: "0": must be greater than zero'),
    (SECRETS, {"type": "kubernetes.io/tls"}, "[data[tls.crt]: Required value, data[tls.key]: Required value]"),
    (QUOTAS, {"spec": {"hard": {"pods": "-1"}}}, 'spec.hard[pods]: Invalid value: "-1": must be greater than or equal'),
    (QUOTAS, {"spec": {"hard": {"pods": "1.5"}}}, 'spec.hard[pods]: Invalid value: "1.5": must be an integer'),
    (LEASES, {"spec": {"leaseDurationSeconds": 0}}, "leaseDurationSeconds: Invalid value: 0: must be greater than 0"),
    (LEASES, {"spec": {"leaseTransitions": -1}}, "spec.leaseTransitions: Invalid value: -1: must be greater than or"),
    (
        f"{NAMESPACE}/events",
        {"involvedObject": {"namespace": "x"}},
        'Invalid value: "x": does not match event.namespace',
    ),
    (CLASSES, {}, "provisioner: Required value"),
    (
        CLASSES,
        {"provisioner": "x", "volumeBindingMode": "Late"},
        'volumeBindingMode: Unsupported value: "Late": suppor',
    ),
    (
        f"{RBAC}/namespaces/default/roles",
        rules(verbs=None),
        "rules[0].verbs: Required value: verbs must contain at lea",
    ),
    (f"{RBAC}/namespaces/default/roles", rules(apiGroups=None), "must supply at least one api group"),
    (f"{RBAC}/namespaces/default/roles", rules(resources=None), "must supply at least one resource"),
    (
        f"{RBAC}/namespaces/default/roles",
        rules(nonResourceURLs=["/x"]),
        "namespaced rules cannot apply to non-resource",
    ),
    (f"{RBAC}/clusterroles", rules(nonResourceURLs=["/x"]), "rules cannot apply to both regular resources and non-res"),
    (f"{RBAC}/namespaces/default/rolebindings", bound("Foo"), 'roleRef.kind: Unsupported value: "Foo": supported valu'),
    (f"{RBAC}/namespaces/default/rolebindings", bound("Role", kind="X"), 'subjects[0].kind: Unsupported value: "X": s'),
    (f"{RBAC}/clusterrolebindings", bound("Role"), 'roleRef.kind: Unsupported value: "Role": supported values: "Clus'),
    (f"{RBAC}/clusterrolebindings", bound("ClusterRole"), "subjects[0].namespace: Required value"),
    (
        POLICIES,
        {"spec": {"podSelector": {"matchLabels": {"a b": "c"}}}},
        "spec.podSelector.matchLabels: Invalid value: ",
    ),
    (
        POLICIES,
        {"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 0}]}]}},
        "spec.ingress[0].ports[0].port: I",
    ),
    (POLICIES, peer(), "spec.egress[0].to[0]: Required value: must specify a peer"),
    (POLICIES, peer(ipBlock={"cidr": "10.0.0.0"}), 'spec.egress[0].to[0].ipBlock.cidr: Invalid value: "10.0.0.0": mus'),
    (POLICIES, peer(ipBlock={"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}), "must be a strict subset of `cidr`"),
    (
        DEPLOYMENTS,
        {"spec": {"replicas": -1, "selector": {}, "template": pod(CONTAINER)}},
        "spec.replicas: Invalid value:",
    ),
]


@pytest.mark.parametrize(("path", "obj", "told"), REFUSED, ids=[told[:50] for _, _, told in REFUSED])
async def test_what_breaks_a_rule_of_its_kind_is_invalid(bare: Api, path: str, obj: Obj, told: str) -> None:
    with pytest.raises(Failed) as refusal:
        await bare.create(path, {"metadata": {"name": "x"}, **obj})
    assert (refusal.value.code, refusal.value.body["reason"]) == (422, "Invalid")
    assert told in refusal.value.message


@pytest.mark.parametrize(
    ("path", "obj", "told"),
    [
        (CLAIMS, claim(resources={"requests": {"storage": "1Gx"}}), QUANTITY),
        (QUOTAS, {"spec": {"hard": {"foo": "x"}}}, QUANTITY),
        (LEASES, {"spec": {"renewTime": "x"}}, 'parsing time "x" as "2006-01-02T15:04:05.000000Z07:00": cannot parse'),
        (SECRETS, {"data": {"a": "!!"}}, "illegal base64 data at input byte 0"),
    ],
)
async def test_a_text_that_its_type_cannot_read_is_a_bad_request(bare: Api, path: str, obj: Obj, told: str) -> None:
    with pytest.raises(Failed) as refusal:
        await bare.create(path, {"metadata": {"name": "x"}, **obj})
    assert (refusal.value.code, refusal.value.body["reason"]) == (400, "BadRequest")
    assert told in refusal.value.message


CHANGES = [
    (
        CLAIMS,
        claim(),
        {"spec": {"accessModes": ["ReadWriteMany"]}},
        "spec: Forbidden: spec is immutable after creation",
    ),
    (
        CLASSES,
        {"provisioner": "x"},
        {"parameters": {"a": "b"}},
        "parameters: Forbidden: updates to parameters are forb",
    ),
    (
        CLASSES,
        {"provisioner": "x"},
        {"reclaimPolicy": "Retain"},
        "reclaimPolicy: Forbidden: updates to reclaimPolicy a",
    ),
    (f"{NAMESPACE}/configmaps", {"immutable": True}, {"data": {"a": "b"}}, "data: Forbidden: field is immutable when"),
]


@pytest.mark.parametrize(("path", "obj", "change", "told"), CHANGES, ids=[told[:50] for *_, told in CHANGES])
async def test_what_is_fixed_at_creation_does_not_change(
    bare: Api, path: str, obj: Obj, change: Obj, told: str
) -> None:
    await bare.create(path, {"metadata": {"name": "x"}, **obj})
    with pytest.raises(Failed) as refusal:
        await bare.merge(f"{path}/x", change)
    assert (refusal.value.code, refusal.value.body["reason"]) == (422, "Invalid")
    assert told in refusal.value.message


async def test_a_claim_is_bound_and_then_grows(bare: Api) -> None:
    await bare.create(CLASSES, {"metadata": {"name": "elastic"}, "provisioner": "x", "allowVolumeExpansion": True})
    await bare.create(CLAIMS, {"metadata": {"name": "x"}, **claim(storageClassName="elastic")})
    await bare.merge(f"{CLAIMS}/x", {"spec": {"volumeName": "pv"}})
    capacity = {"storage": "1Gi"}
    await bare.merge(f"{CLAIMS}/x/status", {"status": {"phase": "Bound", "capacity": capacity}})
    await bare.merge(f"{CLAIMS}/x", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
    with pytest.raises(Failed, match="field can not be less than status"):
        await bare.merge(f"{CLAIMS}/x", {"spec": {"resources": {"requests": {"storage": "1Mi"}}}})


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("i", "Always"),
        ("i:latest", "Always"),
        ("h:5000/i", "Always"),
        ("i:1", "IfNotPresent"),
        ("i@sha256:0", "IfNotPresent"),
    ],
)
async def test_images_without_a_tag_of_their_own_are_always_pulled(bare: Api, image: str, policy: str) -> None:
    made = await bare.create(PODS, {"metadata": {"name": "x"}, **pod({"name": "c", "image": image})})
    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy

"""Kubernetes' protobuf, as far as kubectl sends it: `kubectl create namespace` and the like speak nothing else.

Field numbers: kubernetes `generated.proto` of each group. Only reading; answers are JSON, which these clients take.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from simulator.api.errors import ApiError, bad_request
from simulator.api.protobuf_workloads import WORKLOADS

Obj = dict[str, Any]
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Field number -> "name type"; a type in brackets repeats, {..} is a map of strings to it; the fields of what is named *
# are the message's own in JSON; a ? is after what Go writes always and JSON leaves out when it is zero.
_MESSAGES: dict[str, dict[int, str]] = {
    "ObjectMeta": {
        1: "name string",
        2: "generateName string",
        3: "namespace string",
        5: "uid string",
        6: "resourceVersion string",
        7: "generation int?",
        11: "labels {string}",
        12: "annotations {string}",
        13: "ownerReferences [OwnerReference]",
        14: "finalizers [string]",
    },
    "OwnerReference": {
        1: "kind string",
        3: "name string",
        4: "uid string",
        5: "apiVersion string",
        6: "controller bool",
        7: "blockOwnerDeletion bool",
    },
    "Namespace": {1: "metadata ObjectMeta", 2: "spec NamespaceSpec"},
    "NamespaceSpec": {1: "finalizers [string]"},
    "ConfigMap": {1: "metadata ObjectMeta", 2: "data {string}", 3: "binaryData {bytes}", 4: "immutable bool"},
    "Secret": {
        1: "metadata ObjectMeta",
        2: "data {bytes}",
        3: "type string",
        4: "stringData {string}",
        5: "immutable bool",
    },
    "ServiceAccount": {
        1: "metadata ObjectMeta",
        2: "secrets [ObjectReference]",
        3: "imagePullSecrets [LocalObjectReference]",
        4: "automountServiceAccountToken bool",
    },
    "ObjectReference": {1: "kind string", 2: "namespace string", 3: "name string", 4: "uid string"},
    "LocalObjectReference": {1: "name string"},
    "ResourceQuota": {1: "metadata ObjectMeta", 2: "spec ResourceQuotaSpec"},
    "ResourceQuotaSpec": {1: "hard {Quantity}", 2: "scopes [string]"},
    "Quantity": {1: "= string"},
    "Service": {1: "metadata ObjectMeta", 2: "spec ServiceSpec"},
    "ServiceSpec": {
        1: "ports [ServicePort]",
        2: "selector {string}",
        3: "clusterIP string",
        4: "type string",
        5: "externalIPs [string]",
        7: "sessionAffinity string",
        8: "loadBalancerIP string",
        10: "externalName string",
        13: "publishNotReadyAddresses bool",
        18: "clusterIPs [string]",
    },
    "ServicePort": {
        1: "name string",
        2: "protocol string",
        3: "port int",
        4: "targetPort IntOrString",
        5: "nodePort int?",
        6: "appProtocol string",
    },
    "IntOrString": {1: "type int", 2: "intVal int", 3: "strVal string"},
    "PolicyRule": {
        1: "verbs [string]",
        2: "apiGroups [string]",
        3: "resources [string]",
        4: "resourceNames [string]",
        5: "nonResourceURLs [string]",
    },
    "Role": {1: "metadata ObjectMeta", 2: "rules [PolicyRule]"},
    "ClusterRole": {1: "metadata ObjectMeta", 2: "rules [PolicyRule]", 3: "aggregationRule AggregationRule"},
    "AggregationRule": {1: "clusterRoleSelectors [LabelSelector]"},
    "RoleBinding": {1: "metadata ObjectMeta", 2: "subjects [Subject]", 3: "roleRef RoleRef"},
    "ClusterRoleBinding": {1: "metadata ObjectMeta", 2: "subjects [Subject]", 3: "roleRef RoleRef"},
    "Subject": {1: "kind string", 2: "apiGroup string", 3: "name string", 4: "namespace string"},
    "RoleRef": {1: "apiGroup string", 2: "kind string", 3: "name string"},
    "PriorityClass": {
        1: "metadata ObjectMeta",
        2: "value int",
        3: "globalDefault bool",
        4: "description string",
        5: "preemptionPolicy string",
    },
    "SelfSubjectAccessReview": {1: "metadata ObjectMeta", 2: "spec SelfSubjectAccessReviewSpec"},
    "SelfSubjectAccessReviewSpec": {
        1: "resourceAttributes ResourceAttributes",
        2: "nonResourceAttributes NonResourceAttributes",
    },
    "ResourceAttributes": {
        1: "namespace string",
        2: "verb string",
        3: "group string",
        4: "version string",
        5: "resource string",
        6: "subresource string",
        7: "name string",
    },
    "NonResourceAttributes": {1: "path string", 2: "verb string"},
    "SelfSubjectRulesReview": {1: "metadata ObjectMeta", 2: "spec SelfSubjectRulesReviewSpec"},
    "SelfSubjectRulesReviewSpec": {1: "namespace string"},
    "SelfSubjectReview": {1: "metadata ObjectMeta"},
    "TokenRequest": {1: "metadata ObjectMeta", 2: "spec TokenRequestSpec"},
    "TokenRequestSpec": {1: "audiences [string]", 4: "expirationSeconds int"},
    "Unknown": {1: "typeMeta TypeMeta", 2: "raw rawbytes"},
    "TypeMeta": {1: "apiVersion string", 2: "kind string"},
    **WORKLOADS,
}


def read(body: bytes) -> Obj:
    """The object in an envelope. Raises ApiError 400 (damaged), 415 (a kind that is not in the table)."""
    if not body.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = _message("Unknown", memoryview(body)[len(_MAGIC) :])
        kind = envelope["typeMeta"]["kind"]
        if kind not in _MESSAGES:
            raise ApiError(415, "UnsupportedMediaType", f"{kind} is read as JSON or YAML only, not as {MEDIA_TYPE}")
        obj = _message(kind, memoryview(envelope.get("raw", b"")))
    except (IndexError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise bad_request(f"unable to read the protobuf body: {error}") from error
    return {"apiVersion": envelope["typeMeta"]["apiVersion"], "kind": kind, **obj}


def _message(name: str, data: memoryview) -> Any:
    fields = _MESSAGES[name]
    obj: Obj = {}
    for number, wire in _fields(data):
        field, _, type_ = fields.get(number, "").partition(" ")
        if not field:
            continue
        if field == "*":
            obj |= _value(type_, wire)
        elif type_.startswith("["):
            obj.setdefault(field, []).append(_value(type_[1:-1], wire))
        elif type_.startswith("{"):
            entry = dict(_fields(wire))
            key = bytes(entry.get(1, b"")).decode()
            obj.setdefault(field, {})[key] = _value(type_[1:-1], entry.get(2, memoryview(b"")))
        else:
            value = _value(type_.rstrip("?"), wire)
            # Go writes empty strings too; a field that is empty is as good as left out.
            if value not in ("", None) and (value or not type_.endswith("?")):
                obj[field] = value
    if name == "IntOrString":
        return obj.get("strVal", "") if obj.get("type") else obj.get("intVal", 0)
    if name == "Quantity":
        return obj.get("=", "0")
    return obj


def _value(type_: str, wire: Any) -> Any:
    if type_ == "string":
        return bytes(wire).decode()
    if type_ == "bytes":
        return base64.b64encode(bytes(wire)).decode()
    if type_ == "rawbytes":
        return bytes(wire)
    if type_ == "bool":
        return bool(wire)
    if type_ == "int":
        return wire - 2**64 if wire >= 2**63 else wire
    return _message(type_, wire)


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        value: Any
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire == _BYTES:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("unexpected end")
            value, at = data[at : at + size], at + size
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
            value, at = int.from_bytes(data[at : at + size], "little"), at + size
        else:
            raise ValueError(f"wire type {wire}")
        yield tag >> 3, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7

"""What Go's types of built-in kinds hold, and how its decoder names what they do not."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.api.validation.gotypes import misfit

Obj = dict[str, Any]


def pod(**spec: Any) -> Obj:
    return {"metadata": {"name": "x"}, "spec": spec}


def claim(**requests: Any) -> Obj:
    return {"spec": {"resources": {"requests": requests}}}


@pytest.mark.parametrize(
    ("kind", "obj"),
    [
        ("Pod", {"metadata": None, "spec": None}),
        ("Pod", pod(containers=None, nodeName=None, priority=None, hostNetwork=None, nodeSelector={"a": None})),
        ("Pod", pod(containers=[None])),
        ("Pod", pod(terminationGracePeriodSeconds=2**40, priority=2**31 - 1)),
        ("Pod", {"metadata": {"creationTimestamp": None, "generation": 2**40}}),
        ("PersistentVolumeClaim", claim(storage="1Gi", other=1)),
        ("Service", {"spec": {"ports": [{"port": 80, "targetPort": 80}, {"port": 81, "targetPort": "http"}]}}),
        ("Pod", {"unknown": [], "spec": {"unknown": {}}}),
    ],
)
def test_what_go_reads(kind: str, obj: Obj) -> None:
    assert misfit(obj, "", kind) is None


@pytest.mark.parametrize(
    ("kind", "obj", "told"),
    [
        ("Pod", {"spec": "x"}, "string into Go struct field Pod.spec of type v1.PodSpec"),
        ("Pod", {"metadata": []}, "array into Go struct field Pod.metadata of type v1.ObjectMeta"),
        ("Pod", pod(containers={}), "object into Go struct field PodSpec.spec.containers of type []v1.Container"),
        ("Pod", pod(nodeName=1), "number into Go struct field PodSpec.spec.nodeName of type string"),
        ("Pod", pod(hostNetwork="yes"), "string into Go struct field PodSpec.spec.hostNetwork of type bool"),
        ("Pod", pod(priority="1"), "string into Go struct field PodSpec.spec.priority of type int32"),
        ("Pod", pod(priority=True), "bool into Go struct field PodSpec.spec.priority of type int32"),
        ("Pod", pod(priority=2**31), "number 2147483648 into Go struct field PodSpec.spec.priority of type int32"),
        (
            "Pod",
            pod(terminationGracePeriodSeconds="1"),
            "string into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64",
        ),
        ("Pod", pod(nodeSelector=[]), "array into Go struct field PodSpec.spec.nodeSelector of type map[string]string"),
        ("Pod", pod(nodeSelector={"a": 1}), "number into Go struct field PodSpec.spec.nodeSelector of type string"),
        (
            "Pod",
            pod(containers=[{"env": [{"name": "E", "value": 8080}]}]),
            "number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        ("Pod", {"metadata": {"creationTimestamp": 1}}, "number into Go value of type string"),
        ("Service", {"spec": {"ports": [{"port": 80, "targetPort": True}]}}, "bool into Go value of type int32"),
        ("Service", {"spec": {"ports": [{"port": 80, "targetPort": 1.5}]}}, "number into Go value of type int32"),
        ("Secret", {"data": {"k": 1}}, "number into Go struct field Secret.data of type []uint8"),
        ("Secret", {"data": []}, "array into Go struct field Secret.data of type map[string][]uint8"),
    ],
)
def test_what_go_cannot_read_is_named(kind: str, obj: Obj, told: str) -> None:
    assert str(misfit(obj, "", kind)) == f"json: cannot unmarshal {told}"


@pytest.mark.parametrize(
    ("text", "byte"),
    [
        ("", None),
        ("YWJj", None),
        ("YWI=", None),
        ("YQ==", None),
        ("YW\nJj\n", None),
        ("%%", 0),
        ("YWJj!", 4),
        ("YWJ", 0),
        ("YWJjY", 4),
        ("Y===", 1),
        ("YQ=", 3),
        ("YQ=x", 2),
        ("YWI=YWI=", 4),
        ("YQ==\nYQ==", 5),
    ],
)
def test_where_a_text_is_no_base64(text: str, byte: int | None) -> None:
    wrong = misfit({"data": {"k": text}}, "", "Secret")
    assert str(wrong) == ("None" if byte is None else f"illegal base64 data at input byte {byte}")

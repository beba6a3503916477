"""What the simulator knows of ValidatingAdmissionPolicies, and that it refuses the rest of them."""

from __future__ import annotations

import pytest

from tests.http_api import Api, Failed, Obj

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
POLICIES, BINDINGS = f"{ADMISSION}/validatingadmissionpolicies", f"{ADMISSION}/validatingadmissionpolicybindings"
RULE = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}
SELECTED = {"matchLabels": {"a": "b"}}


def spec(**more: object) -> Obj:
    return {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "false"}], **more}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (POLICIES, spec(paramKind={"apiVersion": "v1", "kind": "ConfigMap"}), "spec.paramKind"),
        (POLICIES, spec(auditAnnotations=[{"key": "a", "valueExpression": "'b'"}]), "spec.auditAnnotations"),
        (
            POLICIES,
            spec(matchConstraints={"resourceRules": [RULE], "objectSelector": SELECTED}),
            "spec.matchConstraints.objectSelector",
        ),
        (
            BINDINGS,
            {"policyName": "a", "validationActions": ["Deny"], "matchResources": {"namespaceSelector": SELECTED}},
            "spec.matchResources",
        ),
    ],
)
async def test_what_would_not_judge_as_it_says_is_refused(bare: Api, path: str, body: Obj, field: str) -> None:
    with pytest.raises(Failed) as failed:
        await bare.create(path, {"metadata": {"name": "a"}, "spec": body})
    assert failed.value.code == 422
    assert f"{field}: Forbidden: the simulator does not know it" in failed.value.message


async def test_functions_that_the_runtime_does_not_have_are_refused(bare: Api) -> None:
    for text in ("authorizer.group('').resource('pods').check('get').allowed()", "quantity('1Gi').isInteger()"):
        with pytest.raises(Failed, match=r"compilation failed: ERROR: .*undeclared"):
            await bare.create(POLICIES, {"metadata": {"name": "a"}, "spec": spec(validations=[{"expression": text}])})


async def test_policies_judge_no_policies(bare: Api) -> None:
    """One that refuses everything can be taken away again."""
    await bare.create(POLICIES, {"metadata": {"name": "a"}, "spec": spec()})
    await bare.create(BINDINGS, {"metadata": {"name": "a"}, "spec": {"policyName": "a", "validationActions": ["Deny"]}})
    with pytest.raises(Failed, match="failed expression: false"):
        await bare.create("/api/v1/namespaces", {"metadata": {"name": "a"}})
    await bare.delete(f"{BINDINGS}/a")
    await bare.create("/api/v1/namespaces", {"metadata": {"name": "a"}})

"""Policies that judge writes by expressions (ValidatingAdmissionPolicy). Any Kubernetes since 1.30 does this."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.api import MERGE, Api
from tests.contract.lab import CORE, unique
from tests.contract.test_access import Joe, joe, rule
from tests.http_api import Failed, Obj

__all__ = ["joe"]
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
POLICIES, BINDINGS = f"{ADMISSION}/validatingadmissionpolicies", f"{ADMISSION}/validatingadmissionpolicybindings"
RULE = {"apiGroups": [""], "apiVersions": ["v1"]}
PROBE = {"metadata": {"name": "probe", "labels": {"probe": "yes"}}}
PROBED = {"expression": "object == null || !has(object.metadata.labels)", "message": "probed"}
"""Every policy refuses this one: so it is seen whether it is in force."""


class Judge:
    """A policy about the ConfigMaps of a namespace of the test's own."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.maps = f"{CORE}/namespaces/{namespace}/configmaps"
        self.name = unique("contract")

    def spec(self, *validations: Obj, operations: str = "CREATE UPDATE DELETE", **more: Any) -> Obj:
        here = {"name": "here", "expression": f"request.namespace == '{self.namespace}'"}
        return {
            "matchConstraints": {
                "resourceRules": [{**RULE, "resources": ["configmaps"], "operations": operations.split()}]
            },
            "matchConditions": [here],
            "validations": [*validations, PROBED],
            **more,
        }

    async def begin(self, spec: Obj, action: str = "Deny") -> None:
        """The policy, bound, and in force: a real server needs a moment."""
        await self.api.create(POLICIES, {"metadata": {"name": self.name}, "spec": spec})
        bound = {"policyName": self.name, "validationActions": [action]}
        await self.api.create(BINDINGS, {"metadata": {"name": self.name}, "spec": bound})
        await self.until(PROBE, warned=action == "Warn")

    async def until(self, body: Obj, *, allowed: bool = False, warned: bool = False) -> None:
        """Wait until a map like that is allowed, allowed with a warning, or by default refused."""
        path = f"{self.maps}?dryRun=All"
        for _ in range(200):
            code, _ = await self.api.call("POST", path, body)
            if (code == 201) == (allowed or warned) and (not warned or await self.api.warned("POST", path, body)):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{code}, as it was before")

    def denied(self, said: str, name: str = "a") -> str:
        whose = f"ValidatingAdmissionPolicy '{self.name}' with binding '{self.name}'"
        return f'configmaps "{name}" is forbidden: {whose} denied request: {said}'

    async def end(self) -> None:
        for path in (BINDINGS, POLICIES):
            await self.api.discard(f"{path}/{self.name}")


@pytest.fixture
async def judge(api: Api, namespace: str) -> AsyncIterator[Judge]:
    judge = Judge(api, namespace)
    yield judge
    await judge.end()


def config(**data: str) -> Obj:
    return {"metadata": {"name": "a"}, "data": data}


async def test_a_write_that_a_bound_policy_does_not_hold_for_is_refused(judge: Judge) -> None:
    await judge.begin(judge.spec({"expression": "object.data.size != 'big'"}, operations="CREATE UPDATE"))
    code, answer = await judge.api.call("POST", judge.maps, config(size="big"))
    assert (code, answer["reason"]) == (422, "Invalid")
    assert answer["message"] == judge.denied("failed expression: object.data.size != 'big'")
    assert answer["details"]["causes"] == [{"message": answer["message"].partition("forbidden: ")[2]}]
    await judge.api.create(judge.maps, config(size="small"))
    code, answer = await judge.api.call("PATCH", f"{judge.maps}/a", {"data": {"size": "big"}}, content_type=MERGE)
    assert (code, answer["reason"]) == (422, "Invalid")
    assert (await judge.api.get(f"{judge.maps}/a"))["data"] == {"size": "small"}


async def test_a_validation_says_why_and_with_which_code(judge: Judge) -> None:
    validation = {"expression": "object.data.a == '1'", "message": " plain ", "reason": "Forbidden"}
    await judge.begin(judge.spec(validation, operations="CREATE"))
    code, answer = await judge.api.call("POST", judge.maps, config(a="2"))
    assert (code, answer["reason"], answer["message"]) == (403, "Forbidden", judge.denied("plain"))


async def test_a_message_may_be_an_expression_over_the_variables(judge: Judge) -> None:
    variables = [
        {"name": "b", "expression": "object.data.b"},
        {"name": "said", "expression": "'b is ' + string(variables.b)"},
    ]
    validation = {"expression": "variables.b == '1'", "messageExpression": "variables.said", "message": "plain"}
    await judge.begin(judge.spec(validation, variables=variables, operations="CREATE"))
    with pytest.raises(Failed) as failed:
        await judge.api.create(judge.maps, config(b="2"))
    assert failed.value.message == judge.denied("b is 2")
    with pytest.raises(Failed, match='composited variable "b" fails to evaluate: ') as failed:
        await judge.api.create(judge.maps, config(c="1"))
    assert failed.value.message.endswith("no such key: b")
    await judge.api.create(judge.maps, config(b="1"))


async def test_old_and_new_object_are_null_where_there_is_none(judge: Judge) -> None:
    kept = {"expression": "object != null || !('keep' in oldObject.data)", "message": "it is kept"}
    fits = {"expression": "(oldObject == null) == (request.operation == 'CREATE')"}
    await judge.begin(judge.spec(kept, fits))
    await judge.api.create(judge.maps, config(keep="me"))
    with pytest.raises(Failed, match="it is kept"):
        await judge.api.delete(f"{judge.maps}/a")
    with pytest.raises(Failed, match="it is kept"):
        await judge.api.delete(judge.maps)
    await judge.api.merge(f"{judge.maps}/a", {"data": {"keep": None, "other": "x"}})
    await judge.api.delete(f"{judge.maps}/a")


async def test_conditions_limit_whom_a_policy_judges(judge: Judge, joe: Joe) -> None:
    await joe.granted("maps", rule("configmaps", "create"))
    spec = judge.spec({"expression": "'nobody' in request.userInfo.groups", "message": "not joe"}, operations="CREATE")
    await judge.begin(spec)
    only = {"name": "only-joe", "expression": f"request.userInfo.username == '{joe.name}'"}
    await judge.api.merge(f"{POLICIES}/{judge.name}", {"spec": {"matchConditions": [*spec["matchConditions"], only]}})
    await judge.until(config(), allowed=True)
    code, answer = await joe.call("POST", judge.maps, config())
    assert (code, answer["message"]) == (422, judge.denied("not joe"))


async def test_the_namespace_of_an_object_is_known_by_its_labels(judge: Judge) -> None:
    wanted = "namespaceObject.metadata.?labels[?'team'].orValue('') == 'blue'"
    await judge.begin(judge.spec({"expression": wanted, "message": "not blue"}, operations="CREATE"))
    with pytest.raises(Failed, match="not blue"):
        await judge.api.create(judge.maps, config())
    await judge.api.merge(f"{CORE}/namespaces/{judge.namespace}", {"metadata": {"labels": {"team": "blue"}}})
    await judge.until(config(), allowed=True)


async def test_a_namespace_itself_is_in_none(judge: Judge) -> None:
    path = f"{CORE}/namespaces/{judge.namespace}"
    of_namespace = "request.resource.resource == 'namespaces'"
    spec = judge.spec(
        {"expression": f"(namespaceObject == null) == ({of_namespace})"},
        {"expression": "object.metadata.?labels[?'a'].orValue('') != 'b'", "message": "no b"},
    )
    spec["validations"][-1] = {"expression": f"{of_namespace} || !has(object.metadata.labels)"}
    spec["matchConstraints"]["resourceRules"] = [
        {**RULE, "resources": ["configmaps"], "operations": ["CREATE"], "scope": "Namespaced"},
        {**RULE, "resources": ["namespaces"], "operations": ["UPDATE"], "scope": "Cluster"},
    ]
    await judge.begin(spec)
    with pytest.raises(Failed, match="no b"):
        await judge.api.merge(path, {"metadata": {"labels": {"a": "b"}}})
    await judge.api.merge(path, {"metadata": {"labels": {"a": "c"}}})


async def test_subresources_are_judged_only_where_they_are_named(judge: Judge) -> None:
    quota = f"{CORE}/namespaces/{judge.namespace}/resourcequotas"
    spec = judge.spec(operations="CREATE")
    of_status = {**RULE, "resources": ["resourcequotas/status"], "operations": ["UPDATE"]}
    spec["matchConstraints"]["resourceRules"].append(of_status)
    spec["validations"].insert(0, {"expression": "request.subResource == ''", "message": "no status"})
    await judge.begin(spec)
    await judge.api.create(quota, {"metadata": {"name": "a"}, "spec": {"hard": {"pods": "5"}}})
    await judge.api.merge(f"{quota}/a", {"spec": {"hard": {"pods": "6"}}})
    with pytest.raises(Failed, match="no status"):
        await judge.api.merge(f"{quota}/a/status", {"status": {"hard": {"pods": "7"}}})


async def test_an_expression_that_fails_refuses_unless_failures_are_ignored(judge: Judge) -> None:
    await judge.begin(judge.spec({"expression": "object.data.a == '1'"}, operations="CREATE"))
    code, answer = await judge.api.call("POST", judge.maps, config(b="1"))
    assert (code, answer["reason"]) == (422, "Invalid")
    assert answer["message"] == judge.denied("expression 'object.data.a == '1'' resulted in error: no such key: a")
    await judge.api.merge(f"{POLICIES}/{judge.name}", {"spec": {"failurePolicy": "Ignore"}})
    await judge.until(config(b="1"), allowed=True)


async def test_a_binding_may_only_warn(judge: Judge) -> None:
    await judge.begin(judge.spec({"expression": "object.data.a == '1'", "message": "not 1"}), "Warn")
    warned = await judge.api.warned("POST", judge.maps, config(a="2"))
    said = f"Validation failed for ValidatingAdmissionPolicy '{judge.name}' with binding '{judge.name}': not 1"
    assert [said in one for one in warned] == [True]


async def test_a_policy_without_a_binding_judges_nothing(judge: Judge) -> None:
    await judge.api.create(POLICIES, {"metadata": {"name": judge.name}, "spec": judge.spec({"expression": "false"})})
    await judge.api.create(judge.maps, config())


async def test_defaults_are_written_out(judge: Judge) -> None:
    made = await judge.api.create(POLICIES, {"metadata": {"name": judge.name}, "spec": judge.spec()})
    spec, constraints = made["spec"], made["spec"]["matchConstraints"]
    assert (spec["failurePolicy"], constraints["matchPolicy"]) == ("Fail", "Equivalent")
    assert (constraints["namespaceSelector"], constraints["objectSelector"]) == ({}, {})
    assert [one["scope"] for one in constraints["resourceRules"]] == ["*"]


AT = "spec.validations[0]"
REFUSED: list[tuple[Obj, str]] = [
    (
        {"expression": "nothing == 1"},
        f'{AT}.expression: Invalid value: "nothing == 1": compilation failed: ERROR: <input>',
    ),
    ({"expression": "object."}, f'{AT}.expression: Invalid value: "object.": compilation failed: ERROR: <input>:1:8'),
    ({"expression": "'text'"}, f"{AT}.expression: Invalid value: \"'text'\": must evaluate to bool"),
    (
        {"expression": "variables.none"},
        f'{AT}.expression: Invalid value: "variables.none": compilation failed: ',
    ),
    (
        {"expression": "true", "messageExpression": "1"},
        f'{AT}.messageExpression: Invalid value: "1": must evaluate to',
    ),
    ({"expression": " "}, f"{AT}.expression: Required value: expression is not specified"),
    (
        {"expression": "true", "reason": "Odd"},
        f'{AT}.reason: Unsupported value: "Odd": supported values: "Forbidden"',
    ),
    ({"expression": "true", "message": "a\nb"}, f'{AT}.message: Invalid value: "a\\nb": must not contain line'),
]


@pytest.mark.parametrize(("validation", "said"), REFUSED, ids=[said[:50] for _, said in REFUSED])
async def test_what_is_no_validation_is_refused_with_its_place(judge: Judge, validation: Obj, said: str) -> None:
    policy = {"metadata": {"name": judge.name}, "spec": judge.spec(validation)}
    code, answer = await judge.api.call("POST", POLICIES, policy)
    assert (code, answer["reason"]) == (422, "Invalid")
    assert said in answer["message"]


async def test_a_policy_names_what_it_judges_and_a_binding_what_it_does(judge: Judge) -> None:
    for field in ("matchConstraints", "validations"):
        lacking = {key: value for key, value in judge.spec().items() if key != field}
        code, answer = await judge.api.call("POST", POLICIES, {"metadata": {"name": judge.name}, "spec": lacking})
        assert code == 422
        assert f"spec.{field}: Required value" in answer["message"]
    bad = [
        ({"policyName": "x", "validationActions": []}, "spec.validationActions: Required value: at least one"),
        ({"policyName": "x", "validationActions": ["Deny", "Warn"]}, "must not contain both Deny and Warn"),
        ({"policyName": "x", "validationActions": ["Log"]}, 'spec.validationActions[0]: Unsupported value: "Log"'),
        ({"validationActions": ["Deny"]}, "spec.policyName: Required value"),
    ]
    for binding, said in bad:
        code, answer = await judge.api.call("POST", BINDINGS, {"metadata": {"name": judge.name}, "spec": binding})
        assert code == 422
        assert said in answer["message"]

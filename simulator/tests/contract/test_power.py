"""VMs: power and its answers, what a watcher sees of it, disks, cloning."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.lab import RBAC, Lab, kubevirt, reasons
from tests.lab import POWER

pytestmark = pytest.mark.needs_controllers

VMI = "virtualmachineinstances"
CONFLICT = 'Operation cannot be fulfilled on virtualmachine.kubevirt.io "{}": {}'


async def power(lab: Lab, name: str, action: str, body: Any = None, **how: str) -> tuple[int, Any]:
    return await lab.api.call("PUT", f"{POWER}/namespaces/{lab.namespace}/virtualmachines/{name}/{action}", body, **how)


async def test_start_and_stop_answer_202_with_nothing(lab: Lab) -> None:
    await lab.halted("cp")
    assert await power(lab, "cp", "start") == (202, "")
    assert (await lab.get_vm())["spec"]["runStrategy"] == "Always"
    await lab.running()
    assert await power(lab, "cp", "stop", {"gracePeriod": 0}) == (202, "")
    assert (await lab.get_vm())["spec"]["runStrategy"] == "Halted"


async def test_the_older_version_of_the_subresources_does_the_same(lab: Lab) -> None:
    await lab.halted("cp")
    path = POWER.replace("/v1", "/v1alpha3")
    start = f"{path}/namespaces/{lab.namespace}/virtualmachines/cp/start"
    assert await lab.api.call("PUT", start) == (202, "")
    await lab.running()


async def test_starting_needs_the_right_to_update_that_subresource(lab: Lab) -> None:
    await lab.halted("cp")
    joe = f"system:serviceaccount:{lab.namespace}:joe"
    start = f"{POWER}/namespaces/{lab.namespace}/virtualmachines/cp/start"
    code, answer = await lab.api.impersonating(joe).call("PUT", start)
    assert (code, answer["reason"]) == (403, "Forbidden")
    rule = {"apiGroups": ["subresources.kubevirt.io"], "resources": ["virtualmachines/start"], "verbs": ["update"]}
    await lab.api.create(f"{RBAC}/namespaces/{lab.namespace}/roles", {"metadata": {"name": "starter"}, "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "starter"}
    subject = {"kind": "ServiceAccount", "name": "joe", "namespace": lab.namespace}
    bound = {"metadata": {"name": "starter"}, "roleRef": reference, "subjects": [subject]}
    await lab.api.create(f"{RBAC}/namespaces/{lab.namespace}/rolebindings", bound)
    assert await lab.api.impersonating(joe).call("PUT", start) == (202, "")
    assert (await lab.get_vm())["spec"]["runStrategy"] == "Always"
    stop = start.replace("/start", "/stop")
    assert (await lab.api.impersonating(joe).call("PUT", stop))[0] == 403


async def test_an_always_vm_is_halted_also_when_nothing_runs_of_it(lab: Lab) -> None:
    vm = lab.vm("cp")
    # Without its Secret and without the right to clone it never gets anywhere.
    await lab.api.delete(lab.binding)
    await lab.api.create(kubevirt(lab.namespace), vm)
    assert await power(lab, "cp", "stop") == (202, "")
    code, answer = await power(lab, "cp", "stop")
    assert (code, answer["message"]) == (409, CONFLICT.format("cp", "VM is not running"))


async def test_starting_what_runs_is_a_conflict(lab: Lab) -> None:
    await lab.halted("cp")
    await lab.launch()
    code, answer = await power(lab, "cp", "start")
    assert (code, answer["reason"]) == (409, "Conflict")
    assert answer["message"] == CONFLICT.format("cp", "VM is already running")


@pytest.mark.parametrize(
    ("action", "text"),
    [("stop", "VM is not running"), ("restart", "RunStategy Halted does not support manual restart requests")],
)
async def test_ending_what_does_not_run_is_a_conflict(lab: Lab, action: str, text: str) -> None:
    await lab.halted("cp")
    code, answer = await power(lab, "cp", action)
    assert (code, answer["message"]) == (409, CONFLICT.format("cp", text))


@pytest.mark.parametrize("action", ["start", "stop", "restart"])
async def test_a_vm_that_is_not_there_is_not_found(lab: Lab, action: str) -> None:
    code, answer = await power(lab, "nope", action)
    assert (code, answer["reason"]) == (404, "NotFound")
    assert answer["message"] == 'virtualmachine.kubevirt.io "nope" not found'


@pytest.mark.parametrize("action", ["start", "stop", "restart"])
async def test_a_client_that_takes_only_json_is_not_served(lab: Lab, action: str) -> None:
    await lab.halted("cp")
    code, text = await power(lab, "cp", action, accept="application/json")
    assert (code, text) == (406, "406: Not Acceptable\n\nAvailable representations: ")
    assert (await lab.get_vm())["spec"]["runStrategy"] == "Halted"


UNREADABLE = "Can not unmarshal Request body to struct, error: "


@pytest.mark.parametrize(
    ("action", "body", "text"),
    [
        ("stop", [1], UNREADABLE),
        ("stop", {"gracePeriod": "soon"}, UNREADABLE),
        ("restart", {"dryRun": "All"}, UNREADABLE),
        ("restart", {"gracePeriodSeconds": 5}, "For force restart, only gracePeriod=0 is supported for now"),
        ("restart", {"gracePeriodSeconds": -1}, "gracePeriod has to be greater or equal to 0"),
    ],
)
async def test_a_body_of_the_wrong_kind_is_a_bad_request_before_the_vm_is_looked_for(
    lab: Lab, action: str, body: Any, text: str
) -> None:
    code, answer = await power(lab, "nope", action, body)
    assert (code, answer["reason"]) == (400, "BadRequest")
    assert answer["message"].startswith(text)


async def test_only_a_start_looks_at_its_body_last(lab: Lab) -> None:
    await lab.secrets("cp")
    await lab.api.create(kubevirt(lab.namespace), lab.vm("cp", strategy="Halted"))
    code, answer = await power(lab, "cp", "start", {"paused": "yes"})
    assert (code, answer["message"].startswith(UNREADABLE)) == (400, True)
    assert (await power(lab, "nope", "start", [1]))[0] == 404


async def waiting(lab: Lab, strategy: str) -> None:
    """A VM that gets no instance: without the right to clone it has no disk."""
    await lab.api.delete(lab.binding)
    await lab.api.create(kubevirt(lab.namespace), lab.vm("cp", strategy=strategy))


@pytest.mark.parametrize(
    ("strategy", "action", "text"),
    [
        ("Always", "start", "Always does not support manual start requests"),
        ("Once", "start", "Once does not support manual start requests"),
        ("Always", "restart", "VM is not running: Halted"),
        ("Once", "restart", "RunStategy Once does not support manual restart requests"),
        ("Manual", "stop", "VM is not running"),
        ("RerunOnFailure", "stop", "VM is not running"),
        ("Manual", "restart", "VM is not running: Halted"),
    ],
)
async def test_what_a_run_strategy_does_not_allow_is_a_conflict(
    lab: Lab, strategy: str, action: str, text: str
) -> None:
    await waiting(lab, strategy)
    code, answer = await power(lab, "cp", action)
    assert (code, answer["reason"], answer["message"]) == (409, "Conflict", CONFLICT.format("cp", text))
    assert answer["details"] == {"name": "cp", "group": "kubevirt.io", "kind": "virtualmachine"}


async def test_a_start_on_top_of_another_one_is_an_internal_error(lab: Lab) -> None:
    await waiting(lab, "Manual")
    path = kubevirt(lab.namespace, name="cp")
    # Before it has a status the first request would be written over by it.
    await lab.api.until(path, lambda vm: vm if "Failure" in reasons(vm) else None)
    assert await power(lab, "cp", "start") == (202, "")
    code, answer = await power(lab, "cp", "start")
    text = "Internal error occurred: unable to complete request: stop/start already underway"
    assert (code, answer["reason"], answer["message"]) == (500, "InternalError", text)
    await lab.allow_cloning()
    await lab.secrets("cp")
    vm = await lab.running()
    assert "stateChangeRequests" not in vm["status"]
    assert vm["spec"]["runStrategy"] == "Manual"


@pytest.mark.parametrize("action", ["start", "stop"])
async def test_a_dry_run_is_answered_the_same_and_changes_nothing(lab: Lab, action: str) -> None:
    strategy = "Halted" if action == "start" else "Always"
    await waiting(lab, strategy)
    assert await power(lab, "cp", action, {"dryRun": ["All"]}) == (202, "")
    assert (await lab.get_vm())["spec"]["runStrategy"] == strategy


async def test_a_patch_of_the_run_strategy_is_the_same_and_can_be_repeated(lab: Lab) -> None:
    await lab.halted("cp")
    path = kubevirt(lab.namespace, name="cp")
    for _ in range(2):
        await lab.api.merge(path, {"spec": {"runStrategy": "Always"}})
    await lab.running()
    for _ in range(2):
        await lab.api.merge(path, {"spec": {"runStrategy": "Halted"}})
    await lab.api.gone(kubevirt(lab.namespace, VMI, "cp"))

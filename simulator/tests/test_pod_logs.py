"""`pods/NAME/log`: what a container printed, and the serial console of a guest as one of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from simulator.api.errors import ApiError
from simulator.api.reading.logs import respond
from simulator.guests.console import LINES, LONGEST, Console
from tests.http_api import Api, Failed, Obj
from tests.lab import CORE, Lab, core, kubevirt

CONSOLE = "guest-console-log"
SERIAL = {"name": CONSOLE, "image": "i", "restartPolicy": "Always"}


def pod(*, init: bool = True, node: str = "n", containers: tuple[str, ...] = ("compute",), started: bool = True) -> Obj:
    spec: Obj = {"containers": [{"name": name, "image": "i"} for name in containers], "nodeName": node}
    if init:
        spec["initContainers"] = [SERIAL]
    state = {"running": {}} if started else {"waiting": {"reason": "PodInitializing"}}
    names = [*containers, CONSOLE]
    return {
        "metadata": {"name": "launcher"},
        "spec": spec,
        "status": {"containerStatuses": [{"name": name, "state": state} for name in names]},
    }


def ago(seconds: float, text: str) -> tuple[datetime, str]:
    return datetime.now(UTC) - timedelta(seconds=seconds), text


LINES_THERE = [ago(100_000, "old"), ago(10, "newer"), ago(1, "new")]


def read(of: Obj, **query: Any) -> str:
    given = {name: str(value) for name, value in query.items()}
    answer = respond(of, given, lambda _, name: LINES_THERE if name == CONSOLE else ())
    assert answer.content_type == "text/plain"
    return answer.body.decode()


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, "old\nnewer\nnew\n"),
        ({"tailLines": 2}, "newer\nnew\n"),
        ({"tailLines": 0}, ""),
        ({"tailLines": 9}, "old\nnewer\nnew\n"),
        ({"sinceSeconds": 50_000}, "newer\nnew\n"),
        ({"limitBytes": 5}, "old\nn"),
        ({"tailLines": 1, "limitBytes": 2}, "ne"),
    ],
)
def test_a_log_is_cut_as_asked_for(query: dict[str, int], text: str) -> None:
    assert read(pod(), container=CONSOLE, **query) == text


def test_a_log_has_the_times_of_its_lines_if_wanted() -> None:
    stamp, _, text = read(pod(), container=CONSOLE, tailLines=1, timestamps="true").partition(" ")
    assert datetime.fromisoformat(stamp) == LINES_THERE[-1][0]
    assert text == "new\n"


@pytest.mark.parametrize(
    ("of", "container", "said"),
    [
        (pod(init=False), CONSOLE, "container guest-console-log is not valid for pod launcher"),
        (
            pod(containers=("compute", "volume")),
            "",
            "a container name must be specified for pod launcher, choose one of: [guest-console-log compute volume]",
        ),
        (pod(started=False), CONSOLE, f'container "{CONSOLE}" in pod "launcher" is waiting to start: PodInitializing'),
    ],
)
def test_a_log_that_there_is_not_is_a_bad_request(of: Obj, container: str, said: str) -> None:
    with pytest.raises(ApiError) as refused:
        read(of, container=container)
    assert (refused.value.code, refused.value.message) == (400, said)


def test_the_only_container_need_not_be_named_and_a_pod_without_a_node_has_nothing_to_say() -> None:
    assert read(pod()) == ""
    assert respond(pod(node=""), {}, lambda *_: LINES_THERE).status == 204


def test_a_console_keeps_the_last_lines_and_no_endless_ones() -> None:
    console = Console("u")
    for number in range(LINES + 5):
        console.print(f"line {number}")
    console.print("x" * (LONGEST + 1))
    assert len(console.lines) == LINES
    assert console.lines[0][1] == "line 6"
    assert len(console.lines[-1][1]) == LONGEST


async def test_whoever_reads_logs_needs_the_right_to_that_very_subresource(bare: Api) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    for resource in ("pods", "pods/log"):
        name = resource.replace("/", "-")
        rule = {"apiGroups": [""], "resources": [resource], "verbs": ["get"]}
        await bare.create(f"{rbac}/roles", {"metadata": {"name": name}, "rules": [rule]})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
        binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        await bare.create(f"{rbac}/rolebindings", binding)
    assert await may_read_logs(bare, "pods-log")
    assert not await may_read_logs(bare, "pods")
    listed = (await bare.get(CORE))["resources"]
    assert next(one["verbs"] for one in listed if one["name"] == "pods/log") == ["get"]


async def may_read_logs(api: Api, user: str) -> bool:
    asked = {"verb": "get", "resource": "pods", "subresource": "log", "namespace": "default", "name": "p"}
    review = {"spec": {"user": user, "resourceAttributes": asked}}
    answer = await api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


async def launcher(lab: Lab, name: str) -> str:
    pods = await lab.api.items(core(lab.namespace, "pods"))
    return next(
        str(one["metadata"]["name"]) for one in pods if one["metadata"]["labels"].get("vm.kubevirt.io/name") == name
    )


async def booted(lab: Lab, name: str, *, logs: bool) -> str:
    """A VM without cloud-init's data, once its guest has said that; its launcher pod."""
    vm = lab.vm(name)
    if logs:
        vm["spec"]["template"]["spec"]["domain"]["devices"]["logSerialConsole"] = True
    await lab.api.create(core(lab.namespace, "secrets"), {"metadata": {"name": f"{name}-cloudinit"}})
    await lab.api.create(kubevirt(lab.namespace), vm)
    async for _, event in lab.api.events(core(lab.namespace, "events")):
        if event["reason"] == "GuestFault" and event["involvedObject"]["name"] == name:
            return await launcher(lab, name)
    raise AssertionError("the watch ended")


async def test_the_serial_console_of_a_guest_is_the_log_of_a_container_if_its_vm_wants_that(lab: Lab) -> None:
    name = await booted(lab, "cp", logs=True)
    path = core(lab.namespace, "pods", f"{name}/log?container=")
    code, text = await lab.api.call("GET", path + CONSOLE)
    assert (code, text) == (200, "cloud-init: user data does not start with #cloud-config\n")
    assert await lab.api.call("GET", path + "compute") == (200, "")
    found = await lab.api.get(core(lab.namespace, "pods", name))
    assert [one["state"].keys() for one in found["status"]["initContainerStatuses"]] == [{"running"}]

    quiet = await booted(lab, "wk", logs=False)
    with pytest.raises(Failed) as refused:
        await lab.api.get(core(lab.namespace, "pods", f"{quiet}/log?container={CONSOLE}"))
    assert refused.value.message == f"container {CONSOLE} is not valid for pod {quiet}"

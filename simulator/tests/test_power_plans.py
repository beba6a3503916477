"""What start, stop and restart do to a VM, by run strategy and instance, as tables."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from simulator.virtapi.power import UNDERWAY, Plan, Refusal, Underway, restart, start, stop
from tests.http_api import Obj
from tests.test_vm_status import vm, vmi

START: Obj = {"action": "Start"}
STOP: Obj = {"action": "Stop", "uid": "i"}
ALWAYS, HALTED = Plan(strategy="Always"), Plan(strategy="Halted")  # type: ignore[arg-type]
NOT_RUNNING = "VM is not running"
SHORTER = "Halted only supports manual stop requests with a shorter graceperiod"


def asked(*requests: Obj) -> Plan:
    return Plan(requests=requests)


@pytest.mark.parametrize(
    ("strategy", "instance", "expected"),
    [
        ("Halted", None, ALWAYS),
        ("Halted", vmi("Succeeded"), ALWAYS),
        ("Halted", vmi(""), ALWAYS),
        ("Halted", vmi("Unknown"), ALWAYS),
        ("Halted", vmi("Pending"), "VM is already running"),
        ("Manual", vmi("Running"), "VM is already running"),
        ("Manual", None, asked(START)),
        ("Manual", vmi("Succeeded"), asked(STOP, START)),
        ("Manual", vmi("Failed"), asked(STOP, START)),
        ("RerunOnFailure", None, asked(START)),
        ("RerunOnFailure", vmi("Succeeded"), asked(STOP, START)),
        ("RerunOnFailure", vmi("Failed"), "RerunOnFailure does not support starting VM from failed state"),
        ("Always", None, "Always does not support manual start requests"),
        ("Once", None, "Once does not support manual start requests"),
    ],
)
def test_a_start(strategy: str, instance: Obj | None, expected: Plan | str) -> None:
    does(lambda: start(vm(strategy), instance), expected)


@pytest.mark.parametrize(
    ("strategy", "instance", "grace", "expected"),
    [
        ("Always", None, None, HALTED),
        ("Always", vmi("Running"), 0, HALTED),
        ("Once", vmi("Succeeded"), None, HALTED),
        ("Halted", None, None, NOT_RUNNING),
        ("Halted", vmi("Failed"), 0, NOT_RUNNING),
        ("Halted", vmi("Running"), None, SHORTER),
        ("Halted", vmi("Running"), 30, SHORTER),
        ("Halted", vmi("Running"), 29, asked(STOP)),
        ("Manual", None, None, NOT_RUNNING),
        ("Manual", vmi("Succeeded"), None, NOT_RUNNING),
        ("Manual", vmi("Running"), None, asked(STOP)),
        ("RerunOnFailure", vmi("Running"), None, asked(STOP)),
        ("RerunOnFailure", vmi("Failed"), None, NOT_RUNNING),
    ],
)
def test_a_stop(strategy: str, instance: Obj | None, grace: int | None, expected: Plan | str) -> None:
    does(lambda: stop(vm(strategy), instance, grace), expected)


@pytest.mark.parametrize(
    ("strategy", "instance", "grace", "expected"),
    [
        ("Halted", vmi("Running"), None, "RunStategy Halted does not support manual restart requests"),
        ("Once", vmi("Running"), None, "RunStategy Once does not support manual restart requests"),
        ("Always", None, None, "VM is not running: Halted"),
        ("Always", vmi("Running"), None, asked(STOP, START)),
        ("Always", vmi("Running"), 0, Plan(requests=(STOP, START), remove_pod=True)),
        ("Manual", vmi("Succeeded"), None, asked(STOP, START)),
        ("RerunOnFailure", vmi("Running"), None, asked(STOP, START)),
    ],
)
def test_a_restart(strategy: str, instance: Obj | None, grace: int | None, expected: Plan | str) -> None:
    does(lambda: restart(vm(strategy), instance, grace), expected)


def test_only_a_stop_takes_the_place_of_what_was_asked_before() -> None:
    busy = vm("Manual", stateChangeRequests=[START])
    for attempt in (lambda: start(busy, None), lambda: restart(busy, vmi("Running"), None)):
        with pytest.raises(Underway, match=UNDERWAY):
            attempt()
    assert stop(busy, vmi("Running"), None) == asked(STOP)


def does(attempt: Callable[[], Plan], expected: Plan | str) -> None:
    """The plan, or the refusal with that text."""
    if isinstance(expected, Plan):
        assert attempt() == expected
        return
    with pytest.raises(Refusal) as refusal:
        attempt()
    assert str(refusal.value) == expected

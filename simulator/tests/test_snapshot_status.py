"""What a VirtualMachineSnapshot says of a moment that no test could hold still: pure, one case a line.

| snapshot                    | content                  | then                                       |
|-----------------------------|--------------------------|--------------------------------------------|
| in progress                 | without status           | does not name it                           |
| in progress                 | gone, said an error      | says the error still                       |
| in progress                 | gone, had a time         | Succeeded                                  |
| in progress, past deadline  | taken meanwhile          | Failed                                     |
| Succeeded, past deadline    | not ready                | Succeeded, for ever                        |
"""

from __future__ import annotations

from typing import Any

import pytest

from simulator.controllers.snapshots.status import deadline, status_of
from tests.http_api import Obj
from tests.test_snapshots import reasons

NOW, LONG_AGO = "2999-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
FAULT = {"message": "no space", "time": LONG_AGO}
VM = {"metadata": {"uid": "vm"}}


def snapshot(*, at: str = NOW, limit: str | None = None, **status: Any) -> Obj:
    spec = {} if limit is None else {"failureDeadline": limit}
    return {"metadata": {"creationTimestamp": at, "uid": "1"}, "spec": spec, "status": {"phase": "InProgress"} | status}


def content(**status: Any) -> Obj:
    return {"metadata": {"name": "content"}, "status": status}


def test_a_content_is_named_once_it_has_said_something() -> None:
    assert "virtualMachineSnapshotContentName" not in status_of(snapshot(), VM, content())
    assert status_of(snapshot(), VM, content(readyToUse=False))["virtualMachineSnapshotContentName"] == "content"


def test_what_a_content_said_is_said_when_it_is_gone() -> None:
    wrong = status_of(snapshot(error=FAULT), VM, None)
    assert wrong["error"] == FAULT
    assert reasons({"status": wrong})["Progressing"] == ("False", "In error state")
    done = status_of(snapshot(phase="Succeeded", readyToUse=True, creationTime=LONG_AGO), VM, None)
    assert (done["phase"], done["readyToUse"]) == ("Succeeded", True)
    assert "error" not in status_of(snapshot(error=FAULT), VM, content(readyToUse=True, creationTime=LONG_AGO))


def test_the_deadline_is_for_what_is_in_progress() -> None:
    late = content(creationTime=LONG_AGO, readyToUse=False)
    assert status_of(snapshot(at=LONG_AGO), VM, late)["phase"] == "Failed"
    assert status_of(snapshot(at=LONG_AGO, phase="Succeeded"), VM, late)["phase"] == "Succeeded"
    assert status_of(snapshot(phase="Failed"), VM, late)["phase"] == "Failed"


@pytest.mark.parametrize(("limit", "left"), [(None, 300.0), ("10m", 600.0), ("0s", None)])
def test_without_a_deadline_it_is_five_minutes_and_none_at_zero(limit: str | None, left: float | None) -> None:
    one = snapshot(limit=limit)
    assert (deadline(one) is None) if left is None else deadline(one) > left
    assert (deadline(snapshot(at=LONG_AGO, limit=limit)) or 0) <= 0


@pytest.mark.parametrize(
    ("before", "now", "wanted"),
    [
        ([], ["NoGuestAgent", "Online"], ["NoGuestAgent", "Online"]),
        (["NoGuestAgent", "Online"], ["GuestAgent", "Online"], ["GuestAgent", "NoGuestAgent", "Online"]),
        (["GuestAgent", "Online"], ["Online", "Paused"], ["GuestAgent", "Online", "Paused"]),
        (["GuestAgent", "Online"], [], None),
    ],
)
def test_indications_gather_while_it_is_in_progress_and_go_when_the_vm_is_off(
    before: list[str], now: list[str], wanted: list[str] | None
) -> None:
    assert status_of(snapshot(indications=before), VM, None, indications=now).get("indications") == wanted


def test_only_a_thaw_that_came_too_late_is_a_quiesce_timeout() -> None:
    for message, agent, wanted in (
        ("fsfreeze is limited up to 10 seconds", "GuestAgent", True),
        ("fsfreeze is limited up to 10 seconds", "NoGuestAgent", False),
        ("agent is not connected", "GuestAgent", False),
    ):
        one = snapshot(error={"message": message})
        told = status_of(one, VM, None, indications=[agent, "Online"])["indications"]
        assert ("QuiesceTimeout" in told) is wanted

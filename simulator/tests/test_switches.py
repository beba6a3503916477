"""Faults of both sorts are switched in the same ways: a line, JSON, the endpoint, the flags of both commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from simulator.__main__ import arguments
from simulator.api import faults
from simulator.api.faults import Fault, FaultKind
from simulator.app import Simulator
from simulator.controllers.command import arguments as of_controllers
from simulator.faults.switches import parse
from simulator.faults.troubles import COMMON, OPTIONS, Part, Trouble, TroubleKind, Troubles, Victim, of, victim
from tests.conftest import REPOSITORY
from tests.http_api import Api, Obj
from tests.lab import Lab, core
from tests.test_controllers_apart import process

PAGE = "/simulator/faults"


def vm(name: str = "cp", namespace: str = "lab-1", uid: str = "") -> Victim:
    return Victim(uid or f"uid-of-{name}", namespace, (name,))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("hang-boot", Trouble(TroubleKind.HANG_BOOT)),
        ("unhealthy-guest", Trouble(TroubleKind.UNHEALTHY_GUEST, part=Part.KUBELET)),
        ("unhealthy-guest,part=apiserver", Trouble(TroubleKind.UNHEALTHY_GUEST, part=Part.APISERVER)),
        ("stuck-stop, namespace=lab-*, name=cp", Trouble(TroubleKind.STUCK_STOP, "lab-*", "cp")),
        ("pending-pvc,probability=0.5,count=3", Trouble(TroubleKind.PENDING_PVC, probability=0.5, count=3)),
        ("fail-pull,message=gone", Trouble(TroubleKind.FAIL_PULL, message="gone")),
        ("fail-snapshot,message=no space", Trouble(TroubleKind.FAIL_SNAPSHOT, message="no space")),
        ("lose-snapshot", Trouble(TroubleKind.LOSE_SNAPSHOT)),
        ("fail-restore,terminal=false", Trouble(TroubleKind.FAIL_RESTORE, terminal=False)),
        ("refuse,count=1,seconds=2,after=yes", Fault(FaultKind.REFUSE, count=1, seconds=2.0, after=True)),
    ],
)
def test_every_kind_and_option_can_be_written_in_a_flag(line: str, wanted: Trouble | Fault) -> None:
    assert arguments(["--kubeconfig", "x", "--fault", line]).fault == [wanted]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "there is no fault 'nonsense'; there are latency, .*, refuse, hang-boot, .*, fail-restore"),
        ("hang-boot,seconds=3", "no option seconds of hang-boot; there are namespace, name, probability, count$"),
        ("hang-boot,part=kubelet", "no option part of hang-boot"),
        ("refuse,part=kubelet", "no option part of refuse; there are verbs, resource"),
        ("unhealthy-guest,part=disk", "no part 'disk'; there are kubelet, apiserver"),
        ("hang-boot,probability=2", "probability is from 0 to 1"),
        ("hang-boot,count=many", "many"),
        ("hang-boot,struck=3", "no option struck"),
    ],
)
def test_what_cannot_be_says_what_can(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(line)


@pytest.mark.parametrize(
    ("given", "hits"),
    [
        ({}, True),
        ({"name": "cp"}, True),
        ({"name": "c?"}, True),
        ({"name": "wk"}, False),
        ({"namespace": "lab-*"}, True),
        ({"namespace": "lab"}, False),
        ({"count": 0}, False),
        ({"probability": 0.0}, False),
    ],
)
def test_trouble_befalls_whom_it_is_meant_for(given: Obj, hits: bool) -> None:
    trouble = of({"kind": "hang-boot", **given})
    assert trouble.strikes(vm(), lambda: 0.5) is hits
    assert len(trouble.struck) == hits


def test_trouble_befalls_so_many_and_the_same_ones_again() -> None:
    trouble = Trouble(TroubleKind.HANG_BOOT, count=2)
    assert [trouble.strikes(vm(name), lambda: 0.0) for name in "abcab"] == [True, True, False, True, True]


def test_chance_decides_once_for_each_and_the_same_with_the_same_seed() -> None:
    def struck(seed: int) -> list[bool]:
        troubles = Troubles([Trouble(TroubleKind.HANG_BOOT, probability=0.5)], seed)
        first, again = (
            [troubles.of(TroubleKind.HANG_BOOT, vm(str(number))) is not None for number in range(50)] for _ in "ab"
        )
        assert first == again
        return first

    assert struck(1) == struck(1) != struck(2)
    assert 10 < sum(struck(1)) < 40


def test_parts_of_a_guest_are_told_apart() -> None:
    troubles = Troubles([Trouble(TroubleKind.UNHEALTHY_GUEST, part=Part.APISERVER)])
    assert troubles.of(TroubleKind.UNHEALTHY_GUEST, vm(), Part.APISERVER)
    assert troubles.of(TroubleKind.UNHEALTHY_GUEST, vm(), Part.KUBELET) is None


def test_a_restore_is_meant_by_its_name_and_its_targets() -> None:
    restore = {"metadata": {"name": "run-7", "namespace": "lab", "uid": "u"}, "spec": {"target": {"name": "cp"}}}
    assert victim(restore) == Victim("u", "lab", ("run-7", "cp"))


GIVEN: list[dict[str, Any]] = [
    {"kind": "hang-boot", "namespace": "lab", "name": "c*", "probability": 0.5, "count": 2},
    {"kind": "unhealthy-guest", "part": "apiserver"},
    {"kind": "fail-pull", "message": "401 Unauthorized"},
    {"kind": "fail-start"},
    {"kind": "power-off"},
    {"kind": "stuck-stop"},
    {"kind": "pending-pvc"},
    {"kind": "fail-snapshot", "message": "no space"},
    {"kind": "lose-snapshot"},
    {"kind": "fail-restore", "terminal": False, "message": "over quota"},
    {"kind": "refuse", "resource": "pods", "seconds": 2.5},
]


async def test_endpoint_switches_every_kind_on_and_each_off_again(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    async with Simulator(kubeconfig=path, fault_admin=True) as simulator, Api.connect(path) as api:
        for given in GIVEN:
            await api.create(PAGE, given)
        shown = (await api.get(PAGE))["faults"]
        assert [{name: one[name] for name in given} for one, given in zip(shown, GIVEN, strict=True)] == GIVEN
        assert {one["struck"] for one in shown} == {0}
        assert len(simulator.troubles.troubles) == len(GIVEN) - 1
        for one in shown[:-1]:
            await api.delete(f"{PAGE}?id={one['id']}")
        assert (await api.get(PAGE))["faults"] == shown[-1:]
        assert (await api.call("DELETE", f"{PAGE}?id={shown[0]['id']}"))[0] == 404
        assert (await api.call("DELETE", f"{PAGE}?id=first"))[0] == 400
        await api.delete(f"{PAGE}?id={shown[-1]['id']}")
        assert (await api.get(PAGE))["faults"] == []
        await api.create(PAGE, GIVEN[0])
        await api.delete(PAGE)
        assert simulator.troubles.troubles == []
        code, answer = await api.call("POST", PAGE, {"kind": "hang-boot", "colour": "red"})
        assert (code, answer["message"]) == (
            400,
            "there is no option colour of hang-boot; there are namespace, name, probability, count",
        )


async def test_where_no_world_is_played_none_can_fail(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    said = "hang-boot is the controllers' to play, and they are left out here"
    with pytest.raises(ValueError, match=said):
        Simulator(controllers=False, faults=[Trouble(TroubleKind.HANG_BOOT)])
    async with Simulator(controllers=False, kubeconfig=path, fault_admin=True), Api.connect(path) as api:
        code, answer = await api.call("POST", PAGE, {"kind": "hang-boot"})
        assert (code, answer["message"]) == (400, said)


async def test_a_fault_by_flag_is_there_from_the_start_and_taken_away_at_the_endpoint(tmp_path: Path) -> None:
    path = str(tmp_path / "kubeconfig")
    flags = ("--speed", "100", "--fault", "pending-pvc,name=cp-rootdisk", "--fault", "latency", "--fault-admin")
    async with process("--kubeconfig", path, *flags), Api.connect(tmp_path / "kubeconfig") as api:
        lab = Lab(api, tmp_path)
        await lab.prepare()
        await lab.create(strategy="Halted")
        await lab.api.until(core("lab", "persistentvolumeclaims", "wk-rootdisk"), is_bound)
        pending = core("lab", "persistentvolumeclaims", "cp-rootdisk")
        assert (await api.get(pending))["status"]["phase"] == "Pending"
        known = (await api.get(PAGE))["faults"]
        found = {one["kind"]: (one["id"], one["struck"]) for one in known}
        assert found["pending-pvc"][1] == 1
        assert found["latency"][1] > 1
        await api.delete(f"{PAGE}?id={found['pending-pvc'][0]}")
        await api.until(pending, is_bound)


def is_bound(claim: Obj | None) -> bool:
    return ((claim or {}).get("status") or {}).get("phase") == "Bound"


async def test_controllers_beside_another_api_server_fail_by_flag_too(tmp_path: Path) -> None:
    path = str(tmp_path / "kubeconfig")
    fault = ("--fault", "pending-pvc,name=b,count=1", "--seed", "1")
    beside = ("controllers", "--kubeconfig", path, "--speed", "100", "--only", "csi", *fault)
    async with (
        process("--kubeconfig", path, "--no-controllers"),
        process(*beside),
        Api.connect(tmp_path / "kubeconfig") as api,
    ):
        claims = core("default", "persistentvolumeclaims")
        resources = {"requests": {"storage": "1Gi"}}
        for name in "bc":
            spec = {"accessModes": ["ReadWriteOnce"], "resources": resources}
            await api.create(claims, {"metadata": {"name": name}, "spec": spec})
        await api.until(f"{claims}/c", is_bound)
        assert not is_bound(await api.get(f"{claims}/b"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("latency", "there is no fault 'latency'; there are hang-boot"),
        ("hang-boot,part=kubelet", "there is no option part of hang-boot"),
    ],
)
def test_controllers_take_only_faults_of_their_world(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        of_controllers(["--kubeconfig", __file__, "--fault", line])
    assert said in capsys.readouterr().err


def test_the_page_about_the_simulator_names_every_fault_and_option() -> None:
    page = (REPOSITORY / "simulator" / "README.md").read_text()
    _, section = page.split("## Faults on request")
    rows = set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE))
    assert rows == {*FaultKind, *TroubleKind}
    options = {*faults.OPTIONS, *COMMON, *(one for own in OPTIONS.values() for one in own)}
    assert {one for one in options if f"`{one.replace('_', '-')}`" not in page} == set()
    assert {part for part in Part if f"`{part}`" not in page} == set()

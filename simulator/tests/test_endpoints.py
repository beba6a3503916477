"""Which pods stand behind a Service, as a table."""

from __future__ import annotations

import pytest

from simulator.controllers.network.endpoints import subsets_of
from tests.http_api import Obj


def service(*, eager: bool = False) -> Obj:
    ports = [{"name": "api", "port": 443, "targetPort": 6443}, {"port": 51820, "protocol": "UDP"}]
    return {"spec": {"selector": {"role": "cp"}, "ports": ports, "publishNotReadyAddresses": eager}}


def pod(name: str, *, role: str = "cp", phase: str = "Running", ready: bool = True, going: bool = False) -> Obj:
    meta: Obj = {"name": name, "namespace": "lab", "uid": name, "labels": {"role": role}}
    if going:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"phase": phase, "podIP": f"ip-{name}", "conditions": conditions}
    return {"metadata": meta, "spec": {"nodeName": "node-a"}, "status": status}


PODS = [
    pod("ready"),
    pod("unready", ready=False),
    pod("going", going=True),
    pod("ended", phase="Succeeded"),
    pod("other", role="wk"),
]


def addresses(found: list[Obj], key: str) -> list[str]:
    return [address["ip"] for subset in found for address in subset.get(key, [])]


@pytest.mark.parametrize(
    ("eager", "ready", "waiting"),
    [
        (False, ["ip-ready"], ["ip-unready", "ip-going"]),
        (True, ["ip-ready", "ip-unready", "ip-going"], []),
    ],
)
def test_pods_that_are_not_ready_wait_unless_the_service_publishes_them(
    eager: bool, ready: list[str], waiting: list[str]
) -> None:
    found = subsets_of(service(eager=eager), PODS)
    assert (addresses(found, "addresses"), addresses(found, "notReadyAddresses")) == (ready, waiting)
    assert found[0]["ports"] == [
        {"name": "api", "port": 6443, "protocol": "TCP"},
        {"port": 51820, "protocol": "UDP"},
    ]


def test_without_pods_there_is_nothing() -> None:
    assert subsets_of(service(), [pod("other", role="wk"), pod("ended", phase="Failed")]) == []

"""What is kept of a cluster that went wrong: its consoles too, and nothing of a guest's as it says it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from pool.kube.client import Kube
from pool.kube.resources import NAMESPACES, VMIS
from pool.work.diagnostics import INTERFACES_KEPT, LINES_KEPT, brief, bundle
from simulator.api.errors import ApiError
from simulator.app import Simulator
from tests.pool.builders import member
from tests.pool.consoles import Consoles, with_launchers

CLUSTER = member()
EVIL = "\x1b[2J[bold](http://evil.example/x.png)`<script>" + "A" * 9000


@pytest.fixture
async def kube(api_server: Simulator) -> AsyncIterator[Kube]:
    async with Kube.connect(api_server.kubeconfig_path) as kube:
        await kube.create(NAMESPACES, NAMESPACES.manifest(CLUSTER.namespace))
        await with_launchers(kube, CLUSTER)
        yield kube


async def test_the_ends_of_both_consoles_are_kept(kube: Kube, api_server: Simulator) -> None:
    consoles = Consoles(api_server)
    said = "cks-first-boot: 90-prepare: says: installed falco"
    consoles.printed["cp-cluster1"] = "\r\n".join([*(f"line {number}" for number in range(1000)), "", said, ""])
    consoles.printed["wk-cluster1"] = ApiError(403, "Forbidden", "pods/log is forbidden")
    shown = (await bundle(kube, CLUSTER, "cks-pool"))["consoles"]
    assert len(shown["cp-cluster1"]) == LINES_KEPT
    assert shown["cp-cluster1"][-2:] == ["line 999", said]
    assert shown["wk-cluster1"].startswith("not read: ")


async def test_a_console_is_kept_in_plain_short_lines(kube: Kube, api_server: Simulator) -> None:
    consoles = Consoles(api_server)
    consoles.printed["cp-cluster1"] = "\n".join([EVIL] * 40)
    shown = (await bundle(kube, CLUSTER, "cks-pool"))["consoles"]["cp-cluster1"]
    assert max(len(line) for line in shown) <= 200
    assert not any(part in json.dumps(shown) for part in ("\\u001b", "](", "`", "<", "//"))


def test_what_a_guests_agent_says_is_plain_and_short() -> None:
    status = {
        "phase": "Running",
        "guestOSInfo": {"name": EVIL, "prettyName": "Ubuntu 24.04.2 LTS"},
        "interfaces": [{"name": EVIL, "ipAddresses": ["10.0.2.2", EVIL], "queueCount": 1}] * 1000,
        "conditions": [
            {"type": "AgentVersionNotSupported", "status": "True", "message": EVIL},
            {"type": "Ready", "status": "False", "message": "(as KubeVirt says it)"},
        ],
    }
    shown = brief(VMIS.manifest("cp-cluster1", "cluster1", status=status))["status"]
    assert not any(part in json.dumps(shown["guestOSInfo"]) for part in ("\\u001b", "](", "`", "<", "//"))
    assert shown["guestOSInfo"]["prettyName"] == "Ubuntu 24.04.2 LTS"
    assert len(shown["interfaces"]) == INTERFACES_KEPT
    assert shown["interfaces"][0]["ipAddresses"][0] == "10.0.2.2"
    assert shown["interfaces"][0]["queueCount"] == 1
    assert len(json.dumps(shown)) < 20_000
    assert shown["conditions"][1]["message"] == "(as KubeVirt says it)"

"""A wait for new nodes says why it waits: what they print and say is asked for, rarely, and believed for what it is.

| the console                                     | and the wait                                     |
|-------------------------------------------------|--------------------------------------------------|
| says what failed                                | says it, as it goes on and when it fails         |
| says that a step refuses                        | ends at once, naming what to change              |
| cannot be read: no container, no right, no log  | says so once, and goes on                        |
| never ends, is huge, is no text                 | reads a quarter of a megabyte of it              |
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pool.core.errors import GuestUnhealthy
from pool.core.pools import Pool
from pool.guest import booting
from pool.guest.booting import FirstBoots
from pool.guest.client import connect_guest
from pool.guest.health import Boot, Look
from pool.kube.client import Kube
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.console import MOST_BYTES, console_of
from simulator.api.errors import ApiError
from simulator.app import Simulator
from tests.pool.bench import now
from tests.pool.consoles import Consoles, Printed, with_launchers
from tests.pool.guest.hostile import Hostile, hostile_at, saying

FAILED = "cks-first-boot: 60-cluster: failed: kubeadm join: x509: certificate signed by unknown authority\n"
REFUSED = "cks-first-boot: 50-version: refused: the image carries Kubernetes v1.34.1, the Pool wants v1.33.5\n"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booting, "SILENT", 0.0)
    monkeypatch.setattr(booting, "PAUSE", 0.01)


@pytest.fixture
async def host(api_server: Simulator, cluster: Cluster, tmp_path: Path) -> AsyncIterator[Hostile]:
    async with Kube.connect(api_server.kubeconfig_path) as kube, hostile_at(kube, cluster, tmp_path) as made:
        await with_launchers(kube, cluster)
        yield made


@pytest.fixture
def consoles(api_server: Simulator) -> Consoles:
    return Consoles(api_server)


def node(first_boot: str) -> bytes:
    """A Node whose first boot is so far."""
    said = {"annotations": {"cks.io/first-boot": first_boot}}
    return json.dumps({"metadata": said, "status": {"nodeInfo": {"bootID": "b"}}}).encode()


class Wait:
    """A wait that ends when a test says so."""

    def __init__(self, host: Hostile, pool: Pool) -> None:
        self.told: list[str] = []
        self.over = asyncio.Event()
        self.failure: GuestUnhealthy | None = None
        self._first = FirstBoots(host.kube, host.cluster, pool, self._tell)
        self.enough = 1
        """So many lines told end it."""

    def _tell(self, line: str) -> None:
        self.told.append(line)
        if len(self.told) >= self.enough:
            self.over.set()

    async def __call__(self) -> str:
        async def healthy() -> str:
            await self.over.wait()
            if self.failure is not None:
                raise self.failure
            return "healthy"

        async with asyncio.timeout(9):
            return await self._first.during(healthy())


@pytest.fixture
def wait(host: Hostile, pool: Pool) -> Wait:
    return Wait(host, pool)


async def test_a_failed_wait_says_what_the_node_says(consoles: Consoles, wait: Wait) -> None:
    consoles.printed["cp-cluster1"] = "cks-first-boot: done\n"
    consoles.printed["wk-cluster1"] = FAILED
    wait.failure = GuestUnhealthy("guest cluster cluster1", expected="Ready", actual="no answer yet")
    wait.enough = 2
    with pytest.raises(GuestUnhealthy) as raised:
        await wait()
    why = "wk-cluster1: 60-cluster: kubeadm join: x509: certificate signed by unknown authority"
    assert raised.value.actual == f"{why}; cp-cluster1: done; seen last: no answer yet"
    assert wait.told == ["first boot of cp-cluster1: done", f"first boot of {why}"]


async def test_what_was_said_since_the_last_look_is_in_the_failure(
    consoles: Consoles, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booting, "SILENT", 600.0)
    consoles.printed["wk-cluster1"] = FAILED
    wait.failure = GuestUnhealthy("guest cluster cluster1", actual="no answer yet")
    wait.over.set()
    with pytest.raises(GuestUnhealthy, match="wk-cluster1: 60-cluster: kubeadm join: x509"):
        await wait()


async def test_a_wait_of_which_nothing_is_said_fails_as_it_does(consoles: Consoles, wait: Wait) -> None:
    wait.failure = GuestUnhealthy("guest cluster cluster1", actual="no answer yet")
    wait.over.set()
    with pytest.raises(GuestUnhealthy) as raised:
        await wait()
    assert raised.value is wait.failure


async def test_a_refusal_ends_the_wait_and_names_what_to_change(consoles: Consoles, wait: Wait, pool: Pool) -> None:
    consoles.printed["cp-cluster1"] = REFUSED
    wait.enough = 9
    with pytest.raises(GuestUnhealthy) as raised:
        await wait()
    said = str(raised.value)
    assert "the image carries Kubernetes v1.34.1, the Pool wants v1.33.5" in said
    assert pool.spec.image.url in said
    assert pool.spec.image.kubernetes_version in said
    assert "spec.image.url or spec.image.kubernetesVersion of Pool default" in said
    assert "seen last" not in said


@pytest.mark.parametrize(
    ("line", "mend"),
    [
        ("10-kernel: refused: the image has no kernel modules overlay", "change spec.image.url of Pool default"),
        (
            "40-packages: refused: the key has another fingerprint",
            "change spec.image.packages or spec.image.url of Pool",
        ),
        ("60-cluster: refused: no such step does", "docs/runbook.md"),
    ],
)
async def test_each_step_that_refuses_is_about_a_field_of_the_pool(
    consoles: Consoles, wait: Wait, line: str, mend: str
) -> None:
    consoles.printed["wk-cluster1"] = f"cks-first-boot: {line}"
    wait.enough = 9
    with pytest.raises(GuestUnhealthy, match=mend):
        await wait()


async def test_what_nodes_say_on_their_objects_counts_where_no_console_says_anything(
    host: Hostile, consoles: Consoles, wait: Wait
) -> None:
    consoles.printed = {"wk-cluster1": "cks-first-boot: 80-addons: failed: x\r\ncks-first-boot: 90-prepare: begins\r\n"}
    wait.enough = 2
    async with host.serving(saying(node("80-addons: failed: no such kind"))):
        assert await wait() == "healthy"
    assert wait.told == [
        "first boot of cp-cluster1: 80-addons: no such kind",
        "first boot of wk-cluster1: 90-prepare: begins",
    ]


async def test_a_node_that_says_on_its_object_that_it_is_done_needs_no_console(
    host: Hostile, consoles: Consoles, wait: Wait
) -> None:
    wait.enough = 2
    async with host.serving(saying(node("done"))):
        assert await wait() == "healthy"
    assert consoles.asked == []


async def test_what_is_said_again_is_not_told_again(consoles: Consoles, wait: Wait) -> None:
    consoles.printed["wk-cluster1"] = FAILED
    waiting = asyncio.create_task(wait())
    wait.enough = 2
    await consoles.often.wait()
    consoles.printed["wk-cluster1"] = FAILED + "cks-first-boot: 90-prepare: begins\n"
    await waiting
    assert [line.rpartition(": ")[2] for line in wait.told] == ["certificate signed by unknown authority", "begins"]


async def test_a_first_boot_that_is_over_is_looked_at_no_more(consoles: Consoles, wait: Wait) -> None:
    consoles.printed = {"cp-cluster1": "cks-first-boot: done", "wk-cluster1": "cks-first-boot: 10-kernel: begins"}
    waiting = asyncio.create_task(wait())
    wait.enough = 9
    await consoles.often.wait()
    wait.over.set()
    await waiting
    assert [vm for vm, _ in consoles.asked].count("cp-cluster1") == 1


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(
            ApiError(400, "BadRequest", "container guest-console-log is not valid for pod virt-launcher-x"),
            id="an old KubeVirt",
        ),
        pytest.param(ApiError(403, "Forbidden", "pods/log is forbidden"), id="no right"),
        pytest.param(ApiError(404, "NotFound", "pods x not found"), id="no pod"),
    ],
)
async def test_a_console_that_cannot_be_read_is_told_once_and_no_failure(
    consoles: Consoles, wait: Wait, refusal: ApiError
) -> None:
    consoles.printed = {"cp-cluster1": refusal, "wk-cluster1": "lost since"}
    waiting = asyncio.create_task(wait())
    wait.enough = 9
    await consoles.often.wait()
    wait.over.set()
    assert await waiting == "healthy"
    assert len(wait.told) == 1
    assert "console of cp-cluster1 cannot be read" in wait.told[0]
    assert refusal.message in wait.told[0]


async def flood() -> AsyncIterator[bytes]:
    """More than is read, and no end."""
    for _ in range(5):
        yield b"A" * 0x10000
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "printed",
    [
        pytest.param(flood, id="endless"),
        pytest.param(b"\x1b[2J" * (1 << 20), id="huge"),
        pytest.param(bytes(range(256)) * 100, id="no text"),
    ],
)
async def test_of_a_hostile_console_only_so_much_is_read(host: Hostile, consoles: Consoles, printed: Printed) -> None:
    consoles.printed["cp-cluster1"] = printed
    async with asyncio.timeout(9):
        assert len(await console_of(host.kube, host.cluster.control_plane)) <= MOST_BYTES
    bounds = {"container": "guest-console-log", "tailLines": "500", "limitBytes": str(MOST_BYTES)}
    assert consoles.asked == [("cp-cluster1", bounds)]


LEASE = {"spec": {"renewTime": "2199-01-01T00:00:00.000000Z"}}


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({}, "its first boot is not over: it says nothing of it"),
        ({"cks.io/first-boot": "90-prepare: failed: trivy: no space"}, "its first boot is not over: 90-prepare: trivy"),
        ({"cks.io/first-boot": "90-prepare: begins"}, "its first boot is not over: 90-prepare: begins"),
        ({"cks.io/first-boot": "\x1b[2J" * 9000}, "its first boot is not over: it says nothing of it"),
        ({"cks.io/first-boot": "done"}, ""),
    ],
)
async def test_a_new_node_is_healthy_once_its_first_boot_is_over_and_others_need_not_say_so(
    host: Hostile, annotations: dict[str, str], said: str
) -> None:
    status = {"nodeInfo": {"bootID": "b"}, "conditions": [{"type": "Ready", "status": "True"}]}
    answer = json.dumps(LEASE | {"metadata": {"annotations": annotations}, "status": status}).encode()
    names = [machine.name for machine in host.cluster.machines]
    async with host.serving(saying(answer)), connect_guest(host.kube, host.cluster) as guest:
        assert len(await Look(guest, {name: Boot(now()) for name in names})()) == 2
        look = Look(guest, {name: Boot(now(), new=True) for name in names})
        if said:
            with pytest.raises(GuestUnhealthy, match=said):
                await look()
        else:
            assert len(await look()) == 2

"""Resets under faults of the world, followed to their end: `available`, or `error` with the cause in one line.

| fault                                    | befalls one attempt | every attempt: error, because             |
|------------------------------------------|---------------------|--------------------------------------------|
| a restored claim never binds             | available           | WaitTimeout naming the restore             |
| storage restores nothing and says it did | available           | AttestationFailed naming the disk          |
| it does so with either of the two disks  |                     | AttestationFailed naming the disk          |
| a restore fails and blocks the next      | available           | RestoreFailed with KubeVirt's words        |
| the snapshot is lost after its success   |                     | SnapshotNotReady or SnapshotFailed         |
| a VM does not stop                       |                     | WaitTimeout naming the VM                  |
| a boot hangs                             | available           | GuestUnhealthy                             |
| a guest Ready from golden time only      | available           | GuestUnhealthy naming the node             |
| a guest API that is never ready          | available           | GuestUnhealthy                             |
| no room for a second disk                |                     | RestoreFailed naming the quota             |

And never `available` by mistake; when the fault is taken away, an operator's reset makes the cluster available, with
as many disks, snapshots and restores as before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pool.core.lifecycle import ClusterPhase
from pool.kube.client import Object
from pool.kube.resources import RESOURCE_QUOTAS
from pool.kubevirt import restores
from simulator.faults.troubles import Part, Trouble, TroubleKind
from tests.pool.bench import Bench
from tests.pool.work.pooled import Pool

SHORT = 1.5
"""Seconds until a step that cannot succeed is given up; the simulator's own delays are a thousand times shorter."""


def trouble(kind: str, **options: Any) -> Callable[[], Trouble]:
    return lambda: Trouble(TroubleKind(kind), namespace="cluster1", **options)


ENDLESS: dict[str, tuple[Callable[[], Trouble], dict[str, float], str, str]] = {
    "a claim that never binds": (
        trouble("pending-pvc", name="wk-cluster1"),
        {"restore_timeout": SHORT},
        "WaitTimeout",
        "rootdisk Pending",
    ),
    "a restore that fails": (
        trouble("fail-restore", name="wk-cluster1", message="no such backend"),
        {},
        "RestoreFailed",
        "no such backend",
    ),
    "a lost snapshot": (trouble("lose-snapshot", name="wk-cluster1"), {}, "Snapshot", "wk-snap"),
    "storage that restores nothing": (trouble("void-restore"), {}, "AttestationFailed", "the disk of "),
    "a control plane's disk that is not restored": (
        trouble("void-restore", name="cp-cluster1"),
        {},
        "AttestationFailed",
        "the disk of cp-cluster1 was not taken back: expected boot 2",
    ),
    "a worker's disk that is not restored": (
        trouble("void-restore", name="wk-cluster1"),
        {},
        "AttestationFailed",
        "the disk of wk-cluster1 was not taken back: expected boot 2",
    ),
    "a VM that does not stop": (
        trouble("stuck-stop", name="cp-cluster1"),
        {"stop_timeout": SHORT},
        "WaitTimeout",
        "cp-cluster1",
    ),
    "a boot that hangs": (trouble("hang-boot", name="cp-cluster1"), {"health_timeout": SHORT}, "GuestUnhealthy", ""),
    "Ready from golden time": (
        trouble("unhealthy-guest", name="wk-cluster1", part=Part.KUBELET),
        {"health_timeout": SHORT},
        "GuestUnhealthy",
        "node wk-cluster1: its lease",
    ),
    "a guest API that is not ready": (
        trouble("unhealthy-guest", name="cp-cluster1", part=Part.APISERVER),
        {"health_timeout": SHORT},
        "GuestUnhealthy",
        "",
    ),
}


@pytest.mark.parametrize("case", ENDLESS)
async def test_a_fault_that_does_not_end_puts_the_cluster_into_error_with_its_cause_in_a_line(
    pool: Pool, case: str
) -> None:
    make, impatient, reason, named = ENDLESS[case]
    before = await pool.bench.volumes()
    begun = pool.bench.simulator.troubles.add(make())
    after = await pool.reset(**impatient)
    assert begun.struck, "the fault befell nobody"
    assert after.phase is ClusterPhase.ERROR
    failure = after.status.failure
    assert failure is not None
    assert failure.attempts == pool.bench.settings.reset_attempts
    assert reason in failure.reason
    assert named in failure.message
    assert "\n" not in failure.message
    assert after.status.operation is None
    assert after.status.outage is None, "what a guest does is no outage of the host"
    if case == "a lost snapshot":
        return  # what is lost stays lost: it takes a rebuild

    pool.bench.simulator.troubles.remove(begun)
    assert (await pool.reset()).phase is ClusterPhase.AVAILABLE
    assert await pool.bench.damaged() is None
    assert await pool.bench.volumes() == before


PASSING: dict[str, tuple[Callable[[], Trouble], dict[str, float]]] = {
    "a claim that never binds": (trouble("pending-pvc", name="wk-cluster1", count=1), {"restore_timeout": SHORT}),
    "a restore that fails": (trouble("fail-restore", name="wk-cluster1", count=1), {}),
    "storage that restores nothing": (trouble("void-restore", count=2), {}),
    "both restores fail": (trouble("fail-restore", count=2), {}),
    "a boot that hangs": (trouble("hang-boot", name="wk-cluster1", count=1), {"health_timeout": SHORT}),
    "Ready from golden time": (trouble("unhealthy-guest", name="wk-cluster1", count=1), {"health_timeout": SHORT}),
    "a guest API that is not ready": (
        trouble("unhealthy-guest", name="cp-cluster1", count=1, part=Part.APISERVER),
        {"health_timeout": SHORT},
    ),
}


@pytest.mark.parametrize("case", PASSING)
async def test_a_fault_of_one_attempt_is_mended_by_the_next(pool: Pool, case: str) -> None:
    make, impatient = PASSING[case]
    before = await pool.bench.volumes()
    befallen = pool.bench.simulator.troubles.add(make())
    after = await pool.reset(**impatient)
    assert befallen.struck, "the fault befell nobody"
    assert after.phase is ClusterPhase.AVAILABLE
    assert after.status.failure is None
    assert await pool.bench.damaged() is None
    assert await pool.bench.volumes() == before


async def test_a_quota_without_room_for_a_second_disk_ends_in_error_naming_it(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restores, "PATIENCE", 0.3)
    before = await pool.bench.volumes()
    async with claims(pool.bench, 2):
        after = await pool.reset()
    assert after.phase is ClusterPhase.ERROR
    assert after.status.failure is not None
    assert after.status.failure.reason == "RestoreFailed"
    assert "raise the namespace's ResourceQuota" in after.status.failure.message
    assert (await pool.reset()).phase is ClusterPhase.AVAILABLE
    assert await pool.bench.volumes() == before


@asynccontextmanager
async def claims(bench: Bench, count: int) -> AsyncIterator[None]:
    """While entered, the namespace may have so many claims."""
    for hard in (count, 8):
        quota: Object = {"spec": {"hard": {"persistentvolumeclaims": str(hard)}}}
        await bench.kube.patch(RESOURCE_QUOTAS, "cks-pool-disks", quota, "cluster1")
        if hard == count:
            yield

"""Fences on VMs: what a run may write while it has them, and what becomes of its writes once another has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pool.core.errors import Invalid, StaleOperation
from pool.kube.client import Object
from pool.kube.resources import VM_RESTORES, VM_SNAPSHOTS, VMS
from pool.kubevirt.fence import MARK, Fence, noted
from pool.kubevirt.machines import delete_vm, start, stop
from pool.kubevirt.manifests import restore, snapshot
from simulator.api.errors import ApiError
from tests.pool.bench import Bench

UNAVAILABLE = ApiError(503, "ServiceUnavailable", "the answer is lost")


@pytest.fixture
async def running(bench: Bench) -> Bench:
    await bench.bootstrap()
    return bench


async def vm(bench: Bench) -> Object:
    return await bench.kube.get(VMS, "wk-cluster1", "cluster1")


WRITES: dict[str, Callable[[Fence, Bench], Any]] = {
    "stop": lambda fence, bench: stop(fence, bench.cluster.worker),
    "start": lambda fence, bench: start(fence, bench.cluster.worker, grace=0),
    "delete": lambda fence, bench: delete_vm(fence, bench.watching, bench.cluster.worker, timeout=5),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_whoever_was_overtaken_changes_nothing(running: Bench, write: Callable[[Fence, Bench], Any]) -> None:
    earlier = await running.taken()
    await running.taken()
    before = await vm(running)
    with pytest.raises(StaleOperation, match="is another run's"):
        await write(earlier, running)
    assert (await vm(running))["spec"] == before["spec"]
    assert "deletionTimestamp" not in (await vm(running))["metadata"]


@pytest.mark.parametrize("write", ["patch", "delete"])
async def test_a_write_that_is_under_way_while_another_takes_the_vm_is_refused(running: Bench, write: str) -> None:
    earlier = await running.taken()

    async def overtaken(target: Any) -> None:
        if target.verb == write and target.plural == "virtualmachines":
            running.wire.before = None
            await running.taken()

    running.wire.before = overtaken
    with pytest.raises(StaleOperation):
        await WRITES["stop" if write == "patch" else "delete"](earlier, running)
    assert await running.power() == ["Always", "Always"]


async def test_nobody_takes_a_vm_without_a_claim(running: Bench) -> None:
    async def prove() -> None:
        raise StaleOperation("overtaken")

    before = (await vm(running))["metadata"]["annotations"][MARK]
    with pytest.raises(StaleOperation):
        await Fence.of(running.kube, "late", 1, "word", prove).take(running.cluster.worker)
    assert (await vm(running))["metadata"]["annotations"][MARK] == before


async def test_two_processes_of_one_run_are_told_apart(running: Bench) -> None:
    first, second = running.fence(), running.fence()
    await first.take(running.cluster.worker)
    await second.take(running.cluster.worker)
    with pytest.raises(StaleOperation):
        await stop(first, running.cluster.worker)


async def test_a_write_whose_answer_was_lost_is_found_done(running: Bench) -> None:
    fence = await running.taken()
    running.wire.refuse(UNAVAILABLE, verb="patch", plural="virtualmachines", after=True)
    await stop(fence, running.cluster.worker)
    assert (await vm(running))["spec"]["runStrategy"] == "Halted"


async def test_what_a_webhook_refuses_is_told_as_that(running: Bench) -> None:
    fence = await running.taken()
    locked = {"status": {"snapshotInProgress": "somebodys"}}
    await running.kube.patch(VMS, "wk-cluster1", locked, "cluster1", subresource="status")
    with pytest.raises(Invalid, match="until snapshot"):
        await stop(fence, running.cluster.worker)


async def test_what_was_made_as_the_claim_was_lost_is_removed_again(running: Bench) -> None:
    async def prove() -> None:
        raise StaleOperation("overtaken")

    fence = Fence.of(running.kube, "late", 1, "word", prove)
    with pytest.raises(StaleOperation):
        await fence.create(VM_RESTORES, restore(running.cluster.worker, "wk-snap", "late"))
    assert await running.kube.list(VM_RESTORES, "cluster1") == []


async def test_what_another_run_has_adopted_is_not_taken_back(running: Bench) -> None:
    """It goes on with what the one before had asked for in the moment in which it was overtaken."""
    other = await running.taken()

    async def prove() -> None:
        there = await running.kube.get(VM_SNAPSHOTS, "late", "cluster1")
        await other.adopt(VM_SNAPSHOTS, there)
        raise StaleOperation("overtaken")

    late = Fence.of(running.kube, "late", 1, "word", prove)
    with pytest.raises(StaleOperation):
        await late.create(VM_SNAPSHOTS, snapshot(running.cluster.worker, "late", running.settings))
    assert await running.kube.find(VM_SNAPSHOTS, "late", "cluster1") is not None


async def test_the_older_way_to_have_a_vm_run_gives_way_to_the_pools(running: Bench) -> None:
    """KubeVirt refuses a run strategy beside `running`, whatever that says."""
    fence = await running.taken()
    older = [{"op": "remove", "path": "/spec/runStrategy"}, {"op": "add", "path": "/spec/running", "value": True}]
    await running.kube.patch(VMS, "wk-cluster1", older, "cluster1")
    await stop(fence, running.cluster.worker)
    await start(fence, running.cluster.worker, grace=0)
    spec = (await vm(running))["spec"]
    assert spec["runStrategy"] == "Always"
    assert "running" not in spec
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 0


@pytest.mark.parametrize(
    ("there", "wanted", "expected"),
    [
        pytest.param({"a": "1"}, {"a": "1", "b": None}, [], id="as it is to be"),
        pytest.param({}, {"x/y~z": "1"}, [("add", "/metadata/annotations/x~1y~0z")], id="new"),
        pytest.param({"a": "1"}, {"a": "2"}, [("add", "/metadata/annotations/a")], id="other"),
        pytest.param({"a": "1"}, {"a": None}, [("remove", "/metadata/annotations/a")], id="gone"),
        pytest.param(None, {"a": "1", "b": None}, [("add", "/metadata/annotations")], id="the first of all"),
        pytest.param(None, {"b": None}, [], id="none of none"),
    ],
)
def test_annotations_are_written_as_far_as_they_differ(
    there: dict[str, str] | None, wanted: dict[str, str | None], expected: list[tuple[str, str]]
) -> None:
    metadata = {} if there is None else {"annotations": there}
    assert [(one["op"], one["path"]) for one in noted({"metadata": metadata}, wanted)] == expected

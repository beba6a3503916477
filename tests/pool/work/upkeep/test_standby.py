"""What a process that stands by does: statuses are fresh, and what is wanted is not left to the schedule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from pool.core.pools import Pool
from pool.kube.client import Object
from pool.kube.resources import POOLED_CLUSTERS, POOLS
from pool.work.upkeep.standby import StandBy
from tests.pool.lab import Lab
from tests.pool.work.upkeep.hands import Hands


class Maintenance:
    """Is asked for, once for each reason, and carried out to the end when a test wants it."""

    def __init__(self, hands: Hands) -> None:
        self.hands = hands
        self.asked: list[tuple[str, str]] = []
        self.works = True

    async def __call__(self, pool: str, reason: str) -> None:
        if not self.works:
            raise ConnectionError("Prefect is away")
        if (pool, reason) not in self.asked:
            self.asked.append((pool, reason))
            await self.hands.settle(pool)


@asynccontextmanager
async def standing_by(hands: Hands, maintenance: Maintenance, number: int = 1) -> AsyncIterator[None]:
    """So many processes follow the pools while it is entered."""
    tasks = [
        asyncio.create_task(StandBy(hands.host, maintenance, hands.start, pause=0.05, patience=0.1).run())
        for _ in range(number)
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def status(lab: Lab, check: Callable[[Object], bool]) -> Object:
    """The Pool's status, once it is so."""

    def found(obj: Object | None) -> Object | None:
        return obj["status"] if obj and "status" in obj and check(obj["status"]) else None

    return await lab.watching.until(
        POOLS, "default", lab.settings.namespace, found, timeout=10, what="the status to be so"
    )


async def test_a_pool_that_is_applied_scaled_and_deleted_is_seen_to_at_once(hands: Hands) -> None:
    lab, namespace = hands.lab, hands.lab.settings.namespace
    async with standing_by(hands, Maintenance(hands)):
        await status(lab, lambda now: now["available"] == 3)
        await lab.kube.patch(POOLS, "default", {"spec": {"size": 5}}, namespace)
        await status(lab, lambda now: now["available"] == 5)
        await lab.kube.patch(POOLS, "default", {"spec": {"size": 1}}, namespace)
        await status(lab, lambda now: now["replicas"] == 1)
        await lab.kube.delete(POOLS, "default", namespace)
        await lab.watching.until(
            POOLS, "default", namespace, lambda obj: obj is None or None, timeout=10, what="the pool to be gone"
        )
    assert await lab.state.clusters() == []


async def test_it_is_told_once_when_a_pool_becomes_short_and_when_it_is_stocked_again(hands: Hands) -> None:
    await hands.settle()
    told: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()

    def tell(pool: Pool, stocked: bool) -> None:
        told.put_nowait((pool.name, stocked))

    by = StandBy(hands.host, Maintenance(hands), hands.start, tell, pause=0.05, patience=0.1)
    standing = asyncio.create_task(by.run())
    try:
        assert await told.get() == ("default", True)
        for number in range(1, 4):
            await hands.lab.state.assign(f"session-{number}")
        assert await told.get() == ("default", False)
        released = await hands.lab.state.release("session-2")
        await hands.lab.reset(released.cluster_id or "")
        assert await told.get() == ("default", True)
        assert told.empty()
    finally:
        standing.cancel()
        await asyncio.wait([standing])


async def test_a_deleted_cluster_is_torn_down_and_made_anew_at_once(hands: Hands) -> None:
    lab, namespace = hands.lab, hands.lab.settings.namespace
    await hands.settle()
    first = (await lab.state.cluster("cluster2")).metadata.uid
    async with standing_by(hands, Maintenance(hands)):
        await lab.kube.delete(POOLED_CLUSTERS, "cluster2", namespace)

        def anew(obj: Object | None) -> bool | None:
            there = obj is not None and obj["metadata"]["uid"] != first
            return True if there and obj is not None and obj.get("status", {}).get("phase") == "available" else None

        await lab.watching.until(POOLED_CLUSTERS, "cluster2", namespace, anew, timeout=10, what="it to be made anew")


async def test_a_pools_status_follows_its_sessions_and_nothing_is_asked_for(hands: Hands) -> None:
    await hands.settle()
    maintenance = Maintenance(hands)
    async with standing_by(hands, maintenance):
        await hands.lab.state.assign("s")
        now = await status(hands.lab, lambda now: now["locked"] == 1)
        assert now["available"] == 2
        await hands.lab.state.release("s")
        await status(hands.lab, lambda now: now["resetting"] == 1)
    assert maintenance.asked == []


async def test_who_writes_a_wish_and_does_it_in_the_next_moment_is_left_to_it(hands: Hands) -> None:
    await hands.settle()
    lab, namespace = hands.lab, hands.lab.settings.namespace
    maintenance = Maintenance(hands)
    standby = asyncio.create_task(StandBy(hands.host, maintenance, hands.start, pause=0.01, patience=30).run())
    await lab.kube.patch(POOLS, "default", {"spec": {"size": 4}}, namespace)
    await status(lab, lambda now: now["observedGeneration"] == 2)
    await lab.state.ensure_cluster(await lab.state.pool(), "cluster4")
    await status(lab, lambda now: now["creating"] == 1)
    standby.cancel()
    await asyncio.wait([standby])
    assert maintenance.asked == []


async def test_several_that_stand_by_ask_once_and_agree(hands: Hands) -> None:
    maintenance = Maintenance(hands)
    async with standing_by(hands, maintenance, number=4):
        await status(hands.lab, lambda now: now["available"] == 3)
    assert len(maintenance.asked) == 1


async def test_while_maintenance_cannot_be_started_the_status_is_written_all_the_same(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pool.work.upkeep.standby.AFTER_FAILURE", 0.1)
    maintenance = Maintenance(hands)
    maintenance.works = False
    async with standing_by(hands, maintenance):
        now = await status(hands.lab, lambda now: now["observedGeneration"] == 1)
        assert now["replicas"] == 0
        maintenance.works = True
        await status(hands.lab, lambda now: now["available"] == 3)


async def test_a_pool_that_says_its_prefix_is_anothers_is_left_to_maintenance(hands: Hands) -> None:
    pool = await hands.lab.state.pool()
    taken = {"type": "Degraded", "status": "True", "reason": "PrefixTaken", "message": "that of Pool a/b"}
    condition = taken | {"lastTransitionTime": "2026-05-04T12:00:00Z"}
    obj = pool.to_object() | {"status": {"conditions": [condition]}}
    await hands.lab.kube.replace(POOLS, obj, subresource="status")
    maintenance = Maintenance(hands)
    async with standing_by(hands, maintenance):
        now = await status(hands.lab, lambda now: now.get("observedGeneration") == 1)
        assert {one["reason"] for one in now["conditions"]} == {"PrefixTaken"}
    assert maintenance.asked == []

"""What is told of a cluster: its events, and whoever listens in this process."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import ApiUnavailable
from pool.kube.client import Object
from pool.kube.resources import EVENTS
from pool.state import PoolState, Transition, events
from tests.pool.builders import golden
from tests.pool.lab import ATTESTED, CountingKube, Lab


async def test_a_clusters_whole_life_is_told_by_its_events(lab: Lab) -> None:
    state = lab.state
    await state.ensure_cluster(await state.pool(), "c1")
    async with state.operation("c1", OperationKind.BOOTSTRAP, "boot-run"):
        pass
    async with state.operation("c1", OperationKind.GOLDEN, "golden-run") as work:
        await work.record_golden(golden(), "both snapshots verified")
        await work.finish(attested=ATTESTED, reason="golden snapshots taken")
    await state.assign("alice")
    await state.release("alice")
    async with state.operation("c1", OperationKind.RESET, "reset-run") as work:
        await work.finish(attested=ATTESTED)
    assert await lab.events("c1") == [
        "creating: joined the pool, epoch 0",
        "creating -> available: golden snapshots taken (run golden-run), epoch 0",
        "available -> locked: assigned, session alice, epoch 1",
        "locked -> resetting: released by its owner, session alice, epoch 1",
        "resetting -> available: reset done (run reset-run), epoch 1",
    ]
    await lab.check()


async def test_whoever_listens_is_told_every_transition(lab: Lab) -> None:
    told: list[Transition] = []

    async def listen(transition: Transition) -> None:
        told.append(transition)

    state = PoolState(lab.kube, lab.settings, now=lab.clock, events=listen)
    await lab.add("c1")
    await state.assign("alice")
    assert [(t.cluster.name, t.before, t.to, t.at) for t in told] == [("c1", "available", "locked", lab.clock())]


async def test_an_event_that_takes_too_long_is_given_up_with_the_connection(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "DRAIN_SECONDS", 0.05)
    told = asyncio.Event()

    async def listen(_transition: Transition) -> None:
        told.set()
        await asyncio.Event().wait()

    await lab.add("c1")
    before = asyncio.all_tasks()
    async with aclosing(PoolState(lab.kube, lab.settings, now=lab.clock, events=listen)) as state:
        await state.assign("alice")
        await told.wait()
    assert {task for task in asyncio.all_tasks() - before if "event" in task.get_name()} == set()
    assert "1 events are not written" in caplog.text


async def test_an_event_that_cannot_be_written_is_logged_and_fails_nothing(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    class NoEvents(CountingKube):
        async def create(self, resource: object, obj: Object, namespace: str | None = None) -> Object:
            if resource is EVENTS:
                raise ApiUnavailable(503, "ServiceUnavailable", "etcd is full")
            return await super().create(resource, obj, namespace)  # type: ignore[arg-type]

    lab.kube.__class__ = NoEvents
    await lab.add("c1")
    with caplog.at_level(logging.WARNING, "pool.state"):
        assert (await lab.state.assign("alice")).phase == "Active"
    assert "no event for c1 available -> locked" in caplog.text

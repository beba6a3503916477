"""What Prefect shows of the pool's work: states, events, artifacts."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import Artifact, State
from prefect.events import Event
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter

from flows.bootstrap import bootstrap_pool
from flows.namespaces import create_namespaces
from flows.reset import reset_cluster
from flows.sessions import assign_session, release_session
from flows.status import pool_status
from pool.core.clusters import OperationKind
from pool.core.lifecycle import ClusterPhase
from pool.work.steps import Host
from tests.flows.ends import completed
from tests.flows.made import made, phases
from tests.flows.started import Started
from tests.flows.test_worker import events_about
from tests.pool.lab import begin

pytestmark = [pytest.mark.prefect]


async def test_the_status_says_how_many_are_where(host: Host) -> None:
    await made(host)
    state = await pool_status(return_state=True)
    assert state.message == "pool default, 1 of 1 clusters: 1 available, 0 locked, 0 resetting, 0 creating, 0 in error"


async def test_a_cluster_that_another_run_makes_is_left_to_it(host: Host) -> None:
    await completed(await create_namespaces(size=2, return_state=True))
    await host.state.ensure_cluster(await host.state.ensure_pool(), "cluster2")
    await begin(host.state, "cluster2", OperationKind.BOOTSTRAP, "another-run")
    done = await bootstrap_pool(size=2, return_state=True)
    assert done.is_completed()
    assert done.message is not None
    assert done.message.startswith("1 clusters made in ")
    assert done.message.endswith(" s: cluster1; left to the runs that make them already: cluster2")
    assert await phases(host) == {"cluster1": ClusterPhase.AVAILABLE, "cluster2": ClusterPhase.CREATING}
    shown = (await artifacts_of(done))["clusters-default"]
    assert states_in(shown) == {"cluster1": "done", "cluster2": "left to another run"}


async def test_every_transition_is_announced_as_a_prefect_event(host: Host) -> None:
    only = EventFilter(event=EventNameFilter(prefix=["cks.cluster."]))
    async with asyncio.timeout(100), get_events_subscriber(filter=only) as feed:
        await completed(await bootstrap_pool(size=1, return_state=True))
        await assign_session("alice")
        uid = (await host.state.cluster("cluster1")).metadata.uid
        announced: list[Event] = []
        while len(announced) < 3:
            event = await anext(feed)
            if event.resource.id == f"cks.cluster.{uid}":
                announced.append(event)
    told = [(event.event, event.payload["from"], event.payload["who"], event.payload["epoch"]) for event in announced]
    assert told == [
        ("cks.cluster.creating", "", "", 0),
        ("cks.cluster.available", "creating", "", 0),
        ("cks.cluster.locked", "available", "session alice", 1),
    ]


async def test_a_clusters_story_is_found_from_its_pool_its_session_and_its_runs(host: Host, resets: Started) -> None:
    await made(host)
    await assign_session("alice")
    session = await host.state.session("alice")
    await completed(await release_session("alice", return_state=True))
    async with get_client() as client:
        (asked,) = await resets.runs()
        assert asked.name == "reset cluster1 after alice"
        state = await reset_cluster("cluster1", return_state=True)
        assert "cluster1 is available, restored from golden generation 1, in " in (state.message or "")
        run = await client.read_flow_run(state.state_details.flow_run_id or UUID(int=0))
        assert run.name == "reset cluster1"
        pool, cluster = await host.state.pool(), await host.state.cluster("cluster1")
        about = partial(events_about, client, prefix="cks.cluster.")
        of_session = await about(f"cks.session.{session.metadata.uid}", least=2)
        assert [event.event for event in of_session] == ["cks.cluster.locked", "cks.cluster.resetting"]
        of_pool = await about(f"cks.pool.{pool.metadata.uid}", least=5)
        phases = [event.event.removeprefix("cks.cluster.") for event in of_pool]
        assert phases == ["creating", "available", "locked", "resetting", "available"]
        assert {event.resource.id for event in of_pool} == {f"cks.cluster.{cluster.metadata.uid}"}
        (of_run,) = await about(f"prefect.flow-run.{run.id}")
        assert (of_run.event, of_run.resource.name) == ("cks.cluster.available", "cluster1")
        roles = {one.role: one.name for one in of_session[-1].related}
        assert roles.items() >= {"pool": "default", "session": "alice", "namespace": "cluster1"}.items()
        only = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        artifacts = {one.key: one for one in await client.read_artifacts(flow_run_filter=only)}
    assert "golden generation" in str(artifacts["attestation-cluster1"].data)
    steps = artifacts["steps-cluster1"]
    assert (steps.description or "").startswith("reset cluster1: done after ")
    assert {row["state"] for row in json.loads(str(steps.data))} == {"done"}


async def test_a_run_on_several_clusters_shows_how_many_it_has_done(host: Host) -> None:
    state = await bootstrap_pool(size=2, return_state=True)
    artifacts = await artifacts_of(state)
    shown = artifacts["clusters-default"]
    assert (shown.description or "").startswith("bootstrap default (2): 2 of 2, done after ")
    assert states_in(shown) == {"cluster1": "done", "cluster2": "done"}
    assert {"steps-cluster1", "steps-cluster2"} <= artifacts.keys(), "each has its own steps beside"


async def artifacts_of(state: State[Any]) -> dict[str | None, Artifact]:
    """Those of the state's run, by key."""
    only = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id or UUID(int=0)]))
    async with get_client() as client:
        return {one.key: one for one in await client.read_artifacts(flow_run_filter=only)}


def states_in(clusters: Artifact) -> dict[str, str]:
    """The clusters that such a table shows."""
    return {row["cluster"]: row["state"] for row in json.loads(str(clusters.data))}

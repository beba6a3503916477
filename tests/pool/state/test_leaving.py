"""Sessions give their clusters back, keep them for longer, and lose them when their time is over.

What releasing does in each state of session and cluster is in the table of `test_leasing`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import NotHolder, UnknownSession
from pool.core.lifecycle import SessionPhase
from pool.core.resource import Metadata
from pool.core.sessions import Session
from pool.kube.resources import SESSIONS
from pool.state.handover import Handover
from tests.pool.lab import Lab


async def test_release_gives_the_cluster_to_its_reset_and_says_so_again_until_that_begins(lab: Lab) -> None:
    await lab.pool(1)
    session = await lab.state.assign("alice")
    released = await lab.state.release("alice", epoch=session.status.epoch)
    assert (released.cluster_id, released.epoch) == ("cluster1", session.status.epoch)
    assert (await lab.state.cluster("cluster1")).phase == "resetting"
    assert await lab.state.release("alice") == released
    await lab.begin("cluster1", OperationKind.RESET, "run")
    assert (await lab.state.release("alice")).cluster_id is None
    await lab.check()


@pytest.mark.parametrize("epoch", [0, 2])
async def test_releasing_with_an_old_epoch_is_refused_and_changes_nothing(lab: Lab, epoch: int) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    before = await lab.state.clusters(), await lab.state.sessions()
    with pytest.raises(NotHolder, match="epoch 1"):
        await lab.state.release("alice", epoch=epoch)
    assert (await lab.state.clusters(), await lab.state.sessions()) == before


async def test_the_wrong_session_neither_releases_nor_extends(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    before = await lab.state.clusters()
    for attempt in (lab.state.release("bob"), lab.state.extend("bob", 60), lab.state.heartbeat_session("bob")):
        with pytest.raises(UnknownSession):
            await attempt
    assert await lab.state.clusters() == before


async def test_a_session_whose_cluster_belongs_to_another_is_cleared_and_that_cluster_left_alone(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    stale = await lab.state.session("alice")
    await lab.state.release("alice")
    await lab.reset("cluster1")
    await lab.state.assign("bob")
    # As a crash between the two writes of a release would have left it.
    await lab.kube.delete(SESSIONS, "alice", "cks-pool")
    again = await lab.state._store.create_session(Session(metadata=Metadata(name="alice", namespace="cks-pool")))
    await lab.state._store.write_session(again.changed(status=stale.status))
    await lab.state.serve_queue()
    alice = await lab.state.session("alice")
    assert (alice.phase, alice.status.assigned_cluster) == ("Released", None)
    assert (await lab.state.release("alice")).cluster_id is None
    assert (await lab.state.cluster("cluster1")).status.assigned_session == "bob"
    await lab.check()


async def test_a_crash_in_a_release_is_finished_by_releasing_again(lab: Lab) -> None:
    await lab.pool(1)
    session = await lab.state.assign("alice")
    await Handover(lab.state._store).take_back(await lab.state.cluster("cluster1"), "released")
    released = await lab.state.release("alice", epoch=session.status.epoch)
    assert released.cluster_id == "cluster1", "its reset was not started by whoever crashed"
    assert (await lab.state.session("alice")).phase == "Released"
    await lab.check()


async def test_releasing_a_pending_session_takes_it_out_of_the_queue(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    waiting = asyncio.create_task(lab.state.assign("alice", wait_seconds=20))
    await lab.watching.until(SESSIONS, "alice", "cks-pool", lambda s: s, timeout=10, what="the claim")
    assert (await lab.state.release("alice")).cluster_id is None
    with pytest.raises(NotHolder, match="ended while it waited"):
        await waiting


@pytest.mark.parametrize("end", ["release", "expire"])
async def test_an_ended_sessions_id_is_used_again_as_a_new_session(lab: Lab, end: str) -> None:
    await lab.pool(2)
    first = await lab.state.assign("alice", ttl_seconds=60)
    lab.clock.forward(60)
    await (lab.state.release("alice") if end == "release" else lab.state.expire("alice"))
    second = await lab.state.assign("alice", ttl_seconds=600)
    assert second.metadata.uid != first.metadata.uid
    assert second.status.assigned_cluster == "cluster2"
    assert second.status.expires_at == lab.clock() + timedelta(seconds=600)
    await lab.check()


async def test_time_to_live_starts_at_the_assignment_and_is_cut_to_the_maximum(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    waiting = asyncio.create_task(lab.state.assign("alice", ttl_seconds=100_000, wait_seconds=20))
    await lab.watching.until(SESSIONS, "alice", "cks-pool", lambda s: s, timeout=10, what="the claim")
    lab.clock.forward(15)
    await lab.reset("c1")
    session = await waiting
    assert session.status.expires_at == lab.clock() + timedelta(seconds=28800)


async def test_an_extension_is_added_to_what_is_agreed(lab: Lab) -> None:
    await lab.pool(1)
    session = await lab.state.assign("alice", ttl_seconds=600)
    assert session.status.expires_at is not None
    extension = await lab.state.extend("alice", 300)
    assert (extension.expires_at, extension.cut) == (session.status.expires_at + timedelta(seconds=300), False)
    assert (await lab.state.session("alice")).status.expires_at == extension.expires_at
    await lab.check()


async def test_an_extension_past_the_maximum_is_cut_and_says_so(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    extension = await lab.state.extend("alice", 100_000)
    assert extension.expires_at == lab.clock() + timedelta(seconds=28800)
    assert extension.cut
    assert "cut to the pool's maximum of 28800 s" in extension.message


async def test_what_is_over_is_not_extended(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice", ttl_seconds=60)
    lab.clock.forward(60)
    with pytest.raises(NotHolder, match="is over"):
        await lab.state.extend("alice", 60)
    await lab.state.release("alice")
    with pytest.raises(NotHolder, match="expected Active, got Released"):
        await lab.state.extend("alice", 60)


async def test_only_what_is_due_expires_and_its_cluster_waits_for_its_reset(lab: Lab) -> None:
    await lab.pool(2)
    await lab.state.assign("short", ttl_seconds=60)
    await lab.state.assign("long", ttl_seconds=6000)
    lab.clock.forward(60)
    assert [released.cluster_id for released in await lab.end_due()] == ["cluster1"]
    assert (await lab.state.session("short")).phase == "Expired"
    assert (await lab.state.session("long")).phase == "Active"
    assert (await lab.state.cluster("cluster1")).phase == "resetting"
    await lab.check()


async def test_an_expiry_that_meets_an_extension_gives_up(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice", ttl_seconds=60)
    seen_before_the_extension = await lab.state.session("alice")
    await lab.state.extend("alice", 600)
    lab.clock.forward(60)
    leases = lab.state._sessions
    assert (await leases.end(seen_before_the_extension, SessionPhase.EXPIRED, "its time was over")).cluster_id is None
    assert (await lab.state.session("alice")).phase == "Active"
    await lab.check()


async def test_an_extension_is_a_heartbeat(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice", heartbeat_timeout_seconds=60)
    lab.clock.forward(61)
    await lab.state.extend("alice", 600)
    assert await lab.end_due() == []
    assert (await lab.state.session("alice")).phase == "Active"


async def test_an_end_for_silence_that_meets_an_extension_gives_up(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice", heartbeat_timeout_seconds=60)
    lab.clock.forward(61)
    silent = await lab.state.session("alice")
    await lab.state.extend("alice", 600)
    assert (await lab.state._sessions.end(silent, SessionPhase.EXPIRED, "silent")).cluster_id is None
    assert (await lab.state.session("alice")).phase == "Active"
    await lab.check()


async def test_heartbeats_are_noted_while_the_session_lives(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice")
    lab.clock.forward(5)
    assert (await lab.state.heartbeat_session("alice")).status.last_heartbeat == lab.clock()
    await lab.state.release("alice")
    with pytest.raises(NotHolder):
        await lab.state.heartbeat_session("alice")


async def test_a_session_that_promised_heartbeats_expires_when_they_stop_and_only_then(lab: Lab) -> None:
    await lab.pool(2)
    await lab.state.assign("alice", heartbeat_timeout_seconds=90)
    await lab.state.assign("bob")
    lab.clock.forward(80)
    await lab.state.heartbeat_session("alice")
    lab.clock.forward(89)
    assert await lab.end_due() == []
    lab.clock.forward(1)
    assert [released.cluster_id for released in await lab.end_due()] == ["cluster1"]
    alice = await lab.state.session("alice")
    assert (alice.phase, alice.status.message) == ("Expired", "no sign of life for 90 s")
    assert (await lab.state.session("bob")).phase == "Active"
    await lab.check()


async def test_an_ended_session_is_removed_as_it_was_read_not_one_in_use_again(lab: Lab) -> None:
    await lab.pool(2)
    await lab.state.assign("alice")
    await lab.state.release("alice")
    ended = await lab.state.session("alice")
    await lab.state.assign("alice")
    assert await lab.state.remove_ended_session(ended) is False
    assert (await lab.state.session("alice")).phase == "Active"
    await lab.state.release("alice")
    assert await lab.state.remove_ended_session(await lab.state.session("alice")) is True

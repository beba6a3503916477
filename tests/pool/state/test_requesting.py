"""Asked for without waiting: served at once, queued, or refused; and what asking again comes to.

the session is      asked without wait    asked with wait          with the key it was made with
(none)              cluster, or refused   cluster, or queued
queued              keeps its place       its wait is prolonged    the same
active              its cluster           its cluster              its cluster
ended               begins anew           begins anew              refused: it has ended
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import InvalidInput, NoClusterAvailable, NotHolder
from pool.core.pools import SessionTimes
from pool.core.queue import Place
from pool.kube.resources import POOLS
from pool.state.handover import Handover
from tests.pool.lab import Lab


async def test_who_finds_a_free_cluster_has_it_at_once_and_again(lab: Lab) -> None:
    await lab.pool(2)
    first, again = await lab.state.request("alice"), await lab.state.request("alice", wait_seconds=30)
    assert (first.had, again.had) == (False, True)
    assert first.session.status.assigned_cluster == again.session.status.assigned_cluster == "cluster1"
    await lab.check()


async def test_who_does_not_wait_is_refused_and_leaves_no_trace(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    with pytest.raises(NoClusterAvailable):
        await lab.state.request("alice")
    assert await lab.state.sessions() == []


@pytest.mark.parametrize("followed", [True, False])
async def test_who_waits_is_queued_and_served_by_whoever_comes_by(lab: Lab, followed: bool) -> None:
    await lab.add("c1", "resetting")
    async with lab.state.following():
        state = lab.state if followed else lab.another()
        asked = [await state.request(name, wait_seconds=30) for name in ("alice", "bob")]
        assert [one.session.phase for one in asked] == ["Pending", "Pending"]
        assert (await state.standing(asked[1].session))[0] == Place(2, 2)
        await lab.reset("c1")
        assert (await lab.state.session("alice")).status.assigned_cluster == "c1"
        assert (await state.standing(asked[1].session))[0] == Place(1, 1)


async def test_a_newcomer_does_not_take_what_is_due_to_who_waits(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    await lab.state.request("alice", wait_seconds=30)
    await lab.add("c2")
    with pytest.raises(NoClusterAvailable):
        await lab.state.request("bob")
    assert await lab.state.serve_queue() == 1
    assert (await lab.state.session("alice")).status.assigned_cluster == "c2"


async def test_asking_again_prolongs_the_wait_and_who_does_not_loses_the_place(lab: Lab) -> None:
    await lab.add("c1", "resetting")
    session = (await lab.state.request("alice", wait_seconds=30)).session
    lab.clock.forward(80)
    assert (await lab.state.request("alice", wait_seconds=30)).session.metadata.uid == session.metadata.uid
    lab.clock.forward(80)
    assert (await lab.state.standing(await lab.state.session("alice")))[0] == Place(1, 1)
    lab.clock.forward(20)
    assert (await lab.state.standing(await lab.state.session("alice")))[0] is None
    await lab.add("c2")
    assert await lab.state.serve_queue() == 0


@pytest.mark.parametrize("followed", [True, False])
async def test_who_waits_already_is_not_refused_when_asked_for_without_a_wait(lab: Lab, followed: bool) -> None:
    await lab.add("c1", "resetting")
    async with lab.state.following():
        state = lab.state if followed else lab.another()
        await lab.state.request("alice", wait_seconds=30)
        if followed:
            assert (await state.request("alice")).session.phase == "Pending"
        assert (await lab.state.session("alice")).spec.wait_seconds == 30


async def test_one_that_waits_keeps_its_place_when_its_caller_is_cut_off(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.pool(1)
    locked = asyncio.Event()

    async def hang(*_: object) -> None:
        locked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Handover, "activate", hang)
    asking = asyncio.create_task(lab.state.request("alice", wait_seconds=30))
    await locked.wait()
    asking.cancel()
    await asyncio.wait([asking])
    monkeypatch.undo()
    asked = await lab.state.request("alice", wait_seconds=30)
    assert (asked.session.status.assigned_cluster, asked.session.status.epoch) == ("cluster1", 1)
    await lab.check()


async def test_the_key_of_a_session_that_has_ended_is_not_served_anew_and_another_is(lab: Lab) -> None:
    await lab.pool(3)
    await lab.state.request("alice", key="one")
    await lab.state.release("alice")
    with pytest.raises(NotHolder, match="another Idempotency-Key"):
        await lab.state.request("alice", key="one", wait_seconds=30)
    assert (await lab.state.request("alice", key="two")).session.status.assigned_cluster == "cluster2"
    await lab.state.release("alice")
    assert (await lab.state.request("alice")).session.status.assigned_cluster == "cluster3"


async def test_a_key_whose_session_lost_its_cluster_or_its_time_is_not_served_anew(lab: Lab) -> None:
    await lab.pool(2)
    await lab.state.request("alice", key="one", ttl_seconds=60)
    lab.clock.forward(61)
    with pytest.raises(NotHolder, match="Expired"):
        await lab.state.request("alice", key="one")
    await lab.state.request("bob", key="one")
    taken = await lab.begin("cluster2", OperationKind.RESET, "by-force", force=True)
    assert taken.cluster.status.assigned_session is None
    with pytest.raises(NotHolder):
        await lab.state.request("bob", key="one")


@pytest.mark.parametrize("ended", [True, False])
async def test_a_session_of_another_pool_is_left_as_it_is_by_who_is_for_one_pool(lab: Lab, ended: bool) -> None:
    await lab.pool(1)
    await lab.add("exam1", pool="exam")
    session = (await lab.state.request("alice", pool="exam")).session
    if ended:
        await lab.state.release("alice")
    with pytest.raises(InvalidInput, match="another pool's") as refused:
        await lab.state.request("alice", of_its_pool=True)
    assert "exam" not in str(refused.value)
    now = await lab.state.session("alice")
    assert (now.metadata.uid, now.phase.ended) == (session.metadata.uid, ended)


async def test_an_extension_with_the_key_of_the_last_one_adds_nothing(lab: Lab) -> None:
    await lab.pool(1)
    session = await lab.state.assign("alice", ttl_seconds=600)
    first = await lab.state.extend("alice", 600, key="one")
    again = await lab.state.extend("alice", 600, key="one")
    assert first.expires_at == again.expires_at == session.status.expires_at + timedelta(seconds=600)
    assert (again.cut, again.message) == (False, first.message)
    assert (await lab.state.extend("alice", 600, key="two")).expires_at == first.expires_at + timedelta(seconds=600)
    assert (await lab.state.session("alice")).status.expires_at == first.expires_at + timedelta(seconds=600)


async def test_an_extension_with_the_key_of_an_earlier_one_adds_nothing_and_a_new_holders_does(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice", ttl_seconds=600)
    await lab.state.extend("alice", 60, key="one")
    others = [await lab.state.extend("alice", 60, key=key) for key in (None, "two", "three")]
    late = await lab.state.extend("alice", 60, key="one")
    assert (late.expires_at, late.cut) == (others[-1].expires_at, False)
    for number in range(9):
        await lab.state.extend("alice", 60, key=f"more-{number}")
    assert len((await lab.state.cluster("cluster1")).status.extension_keys) == 8
    await lab.state.release("alice")
    await lab.reset("cluster1")
    bob = await lab.state.assign("bob", ttl_seconds=600)
    assert (await lab.state.extend("bob", 60, key="more-8")).expires_at != bob.status.expires_at


async def test_an_extension_cut_to_nothing_is_told_again_after_the_pool_allows_more(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice", ttl_seconds=28800)
    cut = await lab.state.extend("alice", 600, key="one")
    assert cut.cut
    pool = await lab.state.pool()
    more = pool.changed(spec=pool.spec.changed(sessions=SessionTimes(max_ttl_seconds=50000)))
    await lab.kube.replace(POOLS, more.to_object())
    assert (await lab.state.extend("alice", 600, key="one")).expires_at == cut.expires_at


async def test_the_next_session_s_extension_may_have_the_same_key(lab: Lab) -> None:
    await lab.pool(1)
    await lab.state.assign("alice", ttl_seconds=600)
    await lab.state.extend("alice", 600, key="one")
    await lab.state.release("alice")
    await lab.reset("cluster1")
    session = await lab.state.assign("bob", ttl_seconds=600)
    extended = await lab.state.extend("bob", 600, key="one")
    assert extended.expires_at == session.status.expires_at + timedelta(seconds=600)

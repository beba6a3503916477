"""What is told of a session as it happens.

it is                               was told last        is told
waiting, at another place           anything             queued
active, its cluster locked          another epoch        assigned
active, its cluster resetting       assigned             resetting
active, ten minutes left            no such end          ending
active, its cluster not (yet) its   anything             nothing
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.sessions.events import ENDING, Told, What, news_of
from pool.core.clusters import OperationKind, PooledCluster
from pool.core.queue import Place
from pool.core.sessions import Session
from tests.gateway.door import Door
from tests.gateway.streams import stream
from tests.gateway.test_sessions import SESSIONS, ask
from tests.pool.builders import active, at, cluster, session
from tests.pool.lab import ATTESTED, Lab

HELD = {"assigned_session": "s", "epoch": 1, "expires_at": at(3600)}


@pytest.mark.parametrize(
    ("one", "on", "place", "now", "told", "expected"),
    [
        (session("s"), None, Place(2, 3), 0, Told(), [What.QUEUED]),
        (session("s"), None, Place(2, 3), 0, Told(What.QUEUED, Place(2, 3)), []),
        (session("s"), None, Place(1, 2), 0, Told(What.QUEUED, Place(2, 3)), [What.QUEUED]),
        (active("s", "c"), cluster("c", "locked", **HELD), None, 0, Told(What.QUEUED), [What.ASSIGNED]),
        (active("s", "c"), cluster("c", "locked", **HELD), None, 0, Told(What.ASSIGNED, epoch=1), []),
        (active("s", "c"), cluster("c", "resetting", **HELD), None, 0, Told(What.ASSIGNED, epoch=1), [What.RESETTING]),
        (active("s", "c"), cluster("c", "locked", **HELD), None, 0, Told(What.RESETTING, epoch=0), [What.ASSIGNED]),
        (active("s", "c"), cluster("c", "locked", **HELD), None, 3000, Told(), [What.ASSIGNED, What.ENDING]),
        (active("s", "c"), cluster("c", "locked", **HELD), None, 3000, Told(What.ASSIGNED, epoch=1), [What.ENDING]),
        (active("s", "c"), cluster("c", "locked", **HELD), None, 9, Told(What.ASSIGNED, epoch=1, warned=at(1)), []),
        (active("s", "c"), cluster("c", "locked", assigned_session="t"), None, 0, Told(), []),
        (active("s", "c"), None, None, 0, Told(), []),
    ],
)
def test_what_is_told_follows_from_how_it_is_and_what_was_told(
    one: Session, on: PooledCluster | None, place: Place | None, now: float, told: Told, expected: list[What]
) -> None:
    events, after = news_of(one, on, place, at(now), told)
    assert events == expected
    assert news_of(one, on, place, at(now), after)[0] == [], "nothing is told twice"


async def test_a_whole_life_is_told_in_order(lab: Lab, served_door: Door) -> None:
    door = served_door
    await lab.add("c1", "resetting")
    for name in ("bob", "alice"):
        assert (await ask(door, name, waitSeconds=600, priority=1 if name == "bob" else 0)).status_code == 202
    async with stream(door.http, f"{SESSIONS}/alice/events") as events:
        assert (await events.next())["place"] == 2
        await door.http.delete(f"{SESSIONS}/bob")
        assert (await events.next("queued"))["place"] == 1
        await lab.reset("c1")
        first = await events.next("assigned")
        assert (first["assignedCluster"], first["epoch"]) == ("c1", 1)
        run = lab.state.operation("c1", OperationKind.RESET, "in-place", session_id="alice", epoch=1)
        async with run as work:
            await events.next("resetting")
            await work.finish(attested=ATTESTED)
        again = await events.next("assigned")
        assert again["epoch"] > 1
        lab.clock.forward(3600 - ENDING.total_seconds() + 1)
        await door.http.patch(f"{SESSIONS}/alice", json={"heartbeat": True})
        assert (await events.next("ending"))["expiresAt"] == again["expiresAt"]
        await door.http.patch(f"{SESSIONS}/alice", json={"extendSeconds": 600})
        lab.clock.forward(600)
        await door.http.patch(f"{SESSIONS}/alice", json={"heartbeat": True})
        assert (await events.next())["expiresAt"] > again["expiresAt"]
        await door.http.delete(f"{SESSIONS}/alice")
        assert [name for name, _ in await events.rest()] == ["ended"], "which is the last"
    async with stream(door.http, f"{SESSIONS}/alice/events") as events:
        assert [(name, data["status"]) for name, data in await events.rest()] == [("ended", "Released")]


async def test_the_end_by_time_is_told(lab: Lab, served_door: Door) -> None:
    await lab.pool(1)
    await ask(served_door, "alice", ttlSeconds=60)
    async with stream(served_door.http, f"{SESSIONS}/alice/events") as events:
        assert (await events.next("assigned"))["epoch"] == 1
        await events.next("ending")
        lab.clock.forward(61)
        await lab.end_due()
        assert (await events.next("ended"))["status"] == "Expired"


async def test_who_lost_the_place_is_told_the_end_once_it_is_forgotten(lab: Lab, served_door: Door) -> None:
    await lab.add("c1", "resetting")
    await ask(served_door, "alice", waitSeconds=30)
    async with stream(served_door.http, f"{SESSIONS}/alice/events") as events:
        await events.next("queued")
        lab.clock.forward(timedelta(minutes=5).total_seconds())
        assert await lab.state.remove_ended_session(await lab.state.session("alice"))
        assert (await events.next("ended"))["status"] == "Released"


async def test_a_gateway_that_stops_tells_who_follows_to_come_back(lab: Lab, served_door: Door) -> None:
    await lab.pool(1)
    await ask(served_door, "alice", ttlSeconds=7200)
    async with stream(served_door.http, f"{SESSIONS}/alice/events") as events:
        await events.next("assigned")
        assert served_door.server is not None
        # As a signal has it.
        served_door.server.should_exit = True
        assert await events.rest() == [("reconnect", {})]

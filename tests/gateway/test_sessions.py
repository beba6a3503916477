"""A session's life over HTTP, as a platform has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx

from pool.core.fields import rfc3339
from tests.gateway.door import Door, inside, of_lab
from tests.pool.lab import Lab

SESSIONS = "/api/v1/sessions"


async def ask(door: Door, session_id: str, key: str = "", **asked: Any) -> httpx.Response:
    """POST a session."""
    headers = {"Idempotency-Key": key} if key else {}
    return await door.http.post(SESSIONS, json={"sessionId": session_id} | asked, headers=headers)


async def until(door: Door, so: Callable[[], bool]) -> None:
    """Wait until the gateway sees it so."""
    async with asyncio.timeout(10):
        with door.view.news() as news:
            while not so():
                news.clear()
                await news.wait()


async def test_a_session_gets_a_cluster_keeps_it_longer_and_gives_it_back(lab: Lab, door: Door) -> None:
    await lab.pool(2)
    made = await ask(door, "alice", ttlSeconds=600)
    assert made.status_code == 201
    assert made.headers["location"] == f"{SESSIONS}/alice"
    assert made.json() == {
        "sessionId": "alice",
        "status": "Active",
        "assignedCluster": "cluster1",
        "clusterLockTime": rfc3339(lab.clock()),
        "expiresAt": rfc3339(lab.clock() + timedelta(seconds=600)),
        "epoch": 1,
        "message": "holds cluster1",
        "pool": "default",
    }
    again = await ask(door, "alice")
    assert (again.status_code, again.json()) == (200, made.json())
    longer = await door.http.patch(f"{SESSIONS}/alice", json={"extendSeconds": 600})
    assert longer.json()["expiresAt"] == rfc3339(lab.clock() + timedelta(seconds=1200))
    assert longer.json()["cut"] is False
    given = await door.http.delete(f"{SESSIONS}/alice", headers={"If-Match": '"1"'})
    assert given.json() == {"sessionId": "alice", "clusterId": "cluster1", "epoch": 1, "removing": False}
    assert (await door.http.delete(f"{SESSIONS}/alice")).json() == given.json()
    assert (await lab.state.cluster("cluster1")).phase == "resetting"
    assert (await door.http.get(f"{SESSIONS}/alice")).json()["status"] == "Released"
    await lab.check()


async def test_an_assignment_costs_three_calls(lab: Lab, door: Door) -> None:
    await lab.pool(3)
    lab.kube.counted()
    assert (await ask(door, "alice")).status_code == 201
    assert lab.kube.counted() == [
        "POST sessions",
        "PUT pooledclusters/cluster1/status",
        "PUT sessions/alice/status",
    ]


async def test_who_waits_is_told_the_place_and_served_when_a_cluster_is_free(lab: Lab, door: Door) -> None:
    started = lab.clock()
    await lab.add("c1", "resetting", last_reset_seconds=90)
    first, second = [await ask(door, name, waitSeconds=60) for name in ("alice", "bob")]
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.headers["location"] == f"{SESSIONS}/bob"
    assert second.headers["retry-after"] == "5"
    told = second.json()
    assert (told["status"], told["place"], told["queueLength"]) == ("Pending", 2, 2)
    assert told["expectedAt"] == rfc3339(started + timedelta(seconds=90))
    assert (await door.http.get(f"{SESSIONS}/bob")).json()["place"] == 2
    await lab.add("c2")
    await until(door, lambda: door.view.sessions["alice"].phase == "Active")
    assert (await ask(door, "alice")).status_code == 200
    assert (await door.http.get(f"{SESSIONS}/bob")).json()["place"] == 1


async def test_without_a_wait_it_is_refused_with_the_reason_and_when_one_is_expected(lab: Lab, door: Door) -> None:
    await lab.add("c1", "resetting", last_reset_seconds=90)
    refused = await ask(door, "alice")
    problem = refused.json()
    assert refused.status_code == problem["status"] == 409
    assert refused.headers["content-type"] == "application/problem+json"
    assert problem["reason"] == "NoClusterAvailable"
    assert problem["counts"] == {"creating": 0, "available": 0, "locked": 0, "resetting": 1, "error": 0}
    assert problem["expectedAt"] == rfc3339(lab.clock() + timedelta(seconds=90))
    assert problem["cure"]
    assert (await door.http.get(f"{SESSIONS}/alice")).status_code == 404


async def test_the_key_of_a_call_makes_it_once(lab: Lab, door: Door) -> None:
    await lab.pool(2)
    first = await ask(door, "alice", key="start", ttlSeconds=600)
    assert (await ask(door, "alice", key="start")).json() == first.json()
    keyed = {"Idempotency-Key": "more"}
    ends = [
        (await door.http.patch(f"{SESSIONS}/alice", json={"extendSeconds": 60}, headers=keyed)).json()["expiresAt"]
        for _ in range(2)
    ]
    assert ends == [rfc3339(lab.clock() + timedelta(seconds=660))] * 2
    await door.http.delete(f"{SESSIONS}/alice")
    late = await ask(door, "alice", key="start")
    assert (late.status_code, late.json()["reason"]) == (409, "NotHolder")
    assert (await ask(door, "alice", key="start-again")).status_code == 201


async def test_an_epoch_that_is_over_gives_nothing_back(lab: Lab, door: Door) -> None:
    await lab.pool(1)
    await ask(door, "alice")
    stale = await door.http.delete(f"{SESSIONS}/alice", headers={"If-Match": "7"})
    assert (stale.status_code, stale.json()["reason"]) == (412, "PreconditionFailed")
    assert (await lab.state.session("alice")).phase == "Active"
    assert (await door.http.delete(f"{SESSIONS}/alice", headers={"If-Match": "*"})).status_code == 200


async def test_a_late_call_about_an_earlier_life_of_a_session_changes_nothing_of_the_next(lab: Lab, door: Door) -> None:
    await lab.pool(2)
    first = await ask(door, "alice", key="one")
    assert (await door.http.get(f"{SESSIONS}/alice")).headers["etag"] == first.headers["etag"]
    meant = {"If-Match": first.headers["etag"], "Idempotency-Key": "end"}
    given = await door.http.delete(f"{SESSIONS}/alice", headers=meant)
    assert (await door.http.delete(f"{SESSIONS}/alice", headers=meant)).json() == given.json()

    second = await ask(door, "alice", key="two")
    assert second.json()["epoch"] == first.json()["epoch"], "of another cluster"
    extend, beat = {"extendSeconds": 60}, {"heartbeat": True}
    for method, body in (("DELETE", None), ("PATCH", extend), ("PATCH", beat)):
        late = await door.http.request(method, f"{SESSIONS}/alice", json=body, headers=meant)
        assert (late.status_code, late.json()["reason"]) == (412, "PreconditionFailed")
    assert (await door.http.get(f"{SESSIONS}/alice")).json() == second.json()

    meant = {"If-Match": f"W/{second.headers['etag']}"}
    longer = await door.http.patch(f"{SESSIONS}/alice", json=extend, headers=meant)
    assert (longer.status_code, longer.headers["etag"]) == (200, second.headers["etag"])
    assert (await door.http.delete(f"{SESSIONS}/alice", headers=meant)).status_code == 200


async def test_who_waits_leaves_the_queue_and_the_cluster_that_came_of_it_by_one_tag(lab: Lab, door: Door) -> None:
    await lab.add("c1", "resetting")
    waits = await ask(door, "alice", waitSeconds=60)
    await lab.add("c2")
    await until(door, lambda: door.view.sessions["alice"].phase == "Active")
    has = await door.http.get(f"{SESSIONS}/alice")
    assert has.headers["etag"] == f'{waits.headers["etag"][:-1]}-1"'
    ended = await door.http.delete(f"{SESSIONS}/alice", headers={"If-Match": waits.headers["etag"]})
    assert ended.json()["clusterId"] == "c2"


async def test_a_heartbeat_is_noted(lab: Lab, door: Door) -> None:
    await lab.pool(1)
    await ask(door, "alice", heartbeatTimeoutSeconds=60)
    lab.clock.forward(30)
    beat = await door.http.patch(f"{SESSIONS}/alice", json={"heartbeat": True})
    assert beat.json()["lastHeartbeat"] == rfc3339(lab.clock())


async def test_sessions_are_listed_in_parts_that_go_on_after_a_name(lab: Lab, door: Door) -> None:
    await lab.pool(1)
    await ask(door, "c")
    for name in ("a", "b", "d"):
        await ask(door, name, waitSeconds=60)
    first = (await door.http.get(SESSIONS, params={"limit": 2})).json()
    assert [one["sessionId"] for one in first["items"]] == ["a", "b"]
    await door.http.delete(f"{SESSIONS}/b")
    rest = (await door.http.get(SESSIONS, params={"limit": 2, "continue": first["continue"]})).json()
    assert [one["sessionId"] for one in rest["items"]] == ["c", "d"]
    assert "continue" not in rest
    active = (await door.http.get(SESSIONS, params={"phase": "Active"})).json()
    assert [one["sessionId"] for one in active["items"]] == ["c"]
    assert (await door.http.get(SESSIONS, params={"continue": "?"})).status_code == 422


IMPOSSIBLE: list[Any] = [
    {},
    {"sessionId": "Not A Name"},
    {"sessionId": "a", "ttlSeconds": 1},
    {"sessionId": "a", "unknown": 1},
    {"sessionId": "a", "waitSeconds": -1},
    [],
]


async def test_what_cannot_be_is_refused_before_anything_is_called(lab: Lab, door: Door) -> None:
    lab.kube.counted()
    for body in IMPOSSIBLE:
        refused = await door.http.post(SESSIONS, json=body)
        assert (refused.status_code, refused.json()["reason"]) == (422, "InvalidInput"), body
        assert refused.json()["errors"]
    assert lab.kube.counted() == []


REFUSED = [
    ("GET", "ghost", None, 404, "UnknownSession"),
    ("DELETE", "ghost", None, 404, "UnknownSession"),
    ("PATCH", "ghost", {"heartbeat": True}, 404, "UnknownSession"),
    ("PATCH", "over", {"extendSeconds": 60}, 409, "NotHolder"),
    ("PATCH", "over", {"heartbeat": False}, 422, "InvalidInput"),
    ("GET", "over/kubeconfig", None, 409, "NotHolder"),
    ("POST", "over/reset", None, 409, "NotHolder"),
    ("GET", "ghost/events", None, 404, "UnknownSession"),
]


async def test_each_refusal_has_its_status_and_reason(lab: Lab, door: Door) -> None:
    await lab.pool(1)
    await ask(door, "over")
    await door.http.delete(f"{SESSIONS}/over")
    for method, path, body, status, reason in REFUSED:
        refused = await door.http.request(method, f"{SESSIONS}/{path}", json=body)
        assert (refused.status_code, refused.json()["reason"]) == (status, reason), f"{method} {path}"


async def test_a_cluster_without_its_ca_has_no_kubeconfig(lab: Lab, door: Door) -> None:
    await lab.pool(1)
    await ask(door, "alice")
    refused = await door.http.get(f"{SESSIONS}/alice/kubeconfig")
    assert (refused.status_code, refused.json()["reason"]) == (409, "GuestUnhealthy")
    assert refused.json()["cure"] == "rebuild the cluster"


async def test_a_session_of_another_pool_or_of_none_is_refused(lab: Lab, door: Door) -> None:
    await lab.pool(1)
    assert (await ask(door, "alice", pool="nowhere")).json()["reason"] == "UnknownPool"
    await lab.state.ensure_pool("exam")
    await ask(door, "alice")
    assert (await ask(door, "alice", pool="exam", waitSeconds=1)).status_code == 422


async def test_asked_for_while_it_is_given_back_it_has_one_cluster_or_begins_anew(lab: Lab, door: Door) -> None:
    await lab.pool(8)
    for _ in range(4):
        await ask(door, "alice")
        given, asked = await asyncio.gather(door.http.delete(f"{SESSIONS}/alice"), ask(door, "alice"))
        assert (given.status_code, asked.status_code) in {(200, 200), (200, 201)}
        await lab.check()
        await door.http.delete(f"{SESSIONS}/alice")
    await lab.check()


async def test_a_client_that_left_before_its_answer_finds_its_cluster(lab: Lab, served_door: Door) -> None:
    await lab.pool(2)
    url = served_door.http.base_url
    body = b'{"sessionId": "alice"}'
    head = f"POST {SESSIONS} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nContent-Type: application/json\r\n"
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    writer.transport.abort()
    await until(served_door, lambda: "alice" in served_door.view.sessions)
    again = await ask(served_door, "alice")
    assert (again.status_code in (200, 201), again.json()["epoch"]) == (True, 1)
    assert len([one for one in await lab.state.clusters() if one.phase == "locked"]) == 1
    await lab.check()


async def test_a_hundred_at_once_for_fifty_clusters_fifty_have_one_and_the_others_are_told_so(
    lab: Lab, door: Door
) -> None:
    await lab.pool(50)
    lab.kube.counted()
    answers = await asyncio.gather(*(ask(door, f"s{number}") for number in range(100)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(201), statuses.count(409)) == (50, 50)
    calls = [call for call in lab.kube.counted() if not call.startswith("GET")]
    assert len([call for call in calls if call.startswith("PUT")]) == 2 * 50, "no race was lost"
    assert len(calls) <= 3 * 50 + 2 * 50
    assert len(await lab.state.sessions()) == 50
    await lab.check()


async def test_two_gateways_answer_alike_and_share_the_pool(lab: Lab, door: Door) -> None:
    await lab.pool(6)
    async with inside(of_lab(lab)) as other:
        both = (door, other)
        answers = await asyncio.gather(*(ask(both[number % 2], f"s{number // 2}") for number in range(20)))
        clusters = {}
        for answer in answers:
            if answer.status_code != 409:
                told = answer.json()
                assert clusters.setdefault(told["sessionId"], told["assignedCluster"]) == told["assignedCluster"]
        assert len(set(clusters.values())) == len(clusters) == 6
    await lab.check()

"""Events are kept for an hour of the simulated calendar, or for as long as `--event-ttl` says."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from simulator.__main__ import arguments
from simulator.app import Simulator
from tests.http_api import Api
from tests.lab import Lab, core

EVENTS = core("default", "events")


def event(name: str) -> dict[str, Any]:
    about = {"kind": "Pod", "name": "p", "namespace": "default"}
    return {"metadata": {"name": name}, "involvedObject": about, "reason": "Why", "type": "Normal", "message": "so"}


async def test_an_event_goes_an_hour_after_its_last_write(api_server: Simulator, bare: Api) -> None:
    for name in ("quiet", "repeated"):
        await bare.create(EVENTS, event(name))
    api_server.clock.advance(seconds=3000)
    await bare.merge(f"{EVENTS}/repeated", {"count": 2})
    api_server.clock.advance(seconds=580)
    assert len(await bare.items(EVENTS)) == 2
    api_server.clock.advance(seconds=20)
    await bare.until(f"{EVENTS}/quiet", lambda one: one is None, timeout=5)
    assert [one["metadata"]["name"] for one in await bare.items(EVENTS)] == ["repeated"]
    api_server.clock.advance(seconds=3000)
    await bare.until(f"{EVENTS}/repeated", lambda one: one is None, timeout=5)


async def test_nothing_but_events_ends(api_server: Simulator, bare: Api) -> None:
    await bare.create(core("default", "configmaps"), {"metadata": {"name": "x"}})
    await bare.create(EVENTS, event("x"))
    api_server.clock.advance(days=400)
    await bare.until(f"{EVENTS}/x", lambda one: one is None, timeout=5)
    assert await bare.find(core("default", "configmaps", "x")) is not None


async def test_a_watch_sees_an_event_go_and_the_same_name_may_come_again(api_server: Simulator, bare: Api) -> None:
    await bare.create(EVENTS, {**event("x"), "metadata": {"name": "x", "finalizers": ["example.com/held"]}})
    changes = bare.events(EVENTS)
    assert (await anext(changes))[0] == "ADDED"
    api_server.clock.advance(hours=2)
    assert (await asyncio.wait_for(anext(changes), 5))[0] == "DELETED"
    await bare.create(EVENTS, event("x"))
    assert (await asyncio.wait_for(anext(changes), 5))[0] == "ADDED"


async def test_events_in_the_new_group_and_in_guests_go_as_well(simulator: Simulator, lab: Lab) -> None:
    await lab.create()
    async with lab.guest() as guest:
        await guest.answers()
        await guest.create(EVENTS, event("inside"))
        host = f"/apis/events.k8s.io/v1/namespaces/{lab.namespace}/events"
        before = {one["metadata"]["name"] for one in await lab.api.items(host)}
        oldest = next(iter(before))
        simulator.clock.advance(hours=2)
        await guest.until(f"{EVENTS}/inside", lambda one: one is None, timeout=5)
        await lab.api.until(f"{host}/{oldest}", lambda one: one is None, timeout=5)
        assert before.isdisjoint({one["metadata"]["name"] for one in await lab.api.items(host)})


async def test_events_found_by_a_restarted_server_have_their_hour_again(tmp_path: Path) -> None:
    async with Simulator(controllers=False, data_dir=tmp_path, kubeconfig=tmp_path / "kubeconfig") as first:
        async with Api.connect(tmp_path / "kubeconfig") as api:
            await api.create(EVENTS, event("x"))
        first.clock.advance(seconds=3000)
    async with (
        Simulator(controllers=False, data_dir=tmp_path, kubeconfig=tmp_path / "kubeconfig") as second,
        Api.connect(tmp_path / "kubeconfig") as api,
    ):
        second.clock.advance(seconds=3000)
        assert len(await api.items(EVENTS)) == 1
        second.clock.advance(seconds=600)
        await api.until(f"{EVENTS}/x", lambda one: one is None, timeout=5)


@pytest.mark.parametrize(
    ("flags", "ttl"),
    [
        ((), timedelta(hours=1)),
        (("--event-ttl", "1h30m0s"), timedelta(minutes=90)),
        (("--event-ttl=300ms",), timedelta(milliseconds=300)),
        (("--event-ttl=0",), timedelta()),
    ],
)
def test_the_time_of_events_is_a_flag_in_gos_units(flags: tuple[str, ...], ttl: timedelta) -> None:
    assert arguments(["--kubeconfig", "x", *flags]).event_ttl == ttl


async def test_events_are_kept_for_as_long_as_asked(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    ttl = timedelta(minutes=5)
    async with (
        Simulator(controllers=False, kubeconfig=kubeconfig, event_ttl=ttl) as simulator,
        Api.connect(kubeconfig) as api,
    ):
        await api.create(EVENTS, event("x"))
        simulator.clock.advance(seconds=290)
        assert len(await api.items(EVENTS)) == 1
        simulator.clock.advance(seconds=10)
        await api.until(f"{EVENTS}/x", lambda one: one is None, timeout=5)


async def test_events_without_an_end_stay(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    async with (
        Simulator(controllers=False, kubeconfig=kubeconfig, event_ttl=timedelta()) as simulator,
        Api.connect(kubeconfig) as api,
    ):
        await api.create(EVENTS, event("x"))
        simulator.clock.advance(days=400)
        assert len(await api.items(EVENTS)) == 1

"""The simulated calendar, and what ends by it in a guest: certificates, bootstrap tokens."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from simulator.app import Simulator
from simulator.timing.clock import Clock, duration
from simulator.timing.delays import Delays
from tests.http_api import Api, Obj
from tests.lab import Lab
from tests.test_guest_faults import told

YEAR = 366
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


async def first(count: int, events: AsyncIterator[tuple[str, Obj]]) -> None:
    for _ in range(count):
        await anext(events)


async def test_waiting_for_a_date_ends_when_the_clock_is_moved_past_it() -> None:
    clock = Clock()
    waiting = asyncio.create_task(clock.until(clock.now() + timedelta(days=2)))
    await asyncio.sleep(0)
    clock.advance(days=1)
    done, _ = await asyncio.wait([waiting], timeout=0.01)
    assert not done
    clock.advance(days=1, seconds=1)
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize(
    ("text", "days"), [("400d", 400), ("12h", 0.5), ("90m", 0.0625), ("864s", 0.01), ("1.5w", 10.5)]
)
def test_a_duration_has_a_unit(text: str, days: float) -> None:
    assert duration(text) == timedelta(days=days)


def test_a_clock_never_goes_back() -> None:
    with pytest.raises(ValueError, match="moves forward"):
        Clock().advance(days=-1)


async def test_a_running_control_plane_is_refused_by_clients_once_its_year_is_over(
    simulator: Simulator, lab: Lab
) -> None:
    await lab.create()
    async with lab.guest() as guest:
        await guest.ready("cp")
        simulator.clock.advance(days=YEAR - 10)
        assert (await guest.call("GET", "/readyz"))[0] == 200
        simulator.clock.advance(days=10)
        with pytest.raises(aiohttp.ClientConnectorCertificateError) as refused:
            await guest.call("GET", "/readyz")
    assert isinstance(refused.value.certificate_error, ssl.SSLCertVerificationError)
    assert "certificate has expired" in str(refused.value)
    await told(lab, "cp", "kubelet: unable to update node lease: x509: certificate has expired")


async def test_a_lease_is_renewed_no_more_after_the_end_of_the_certificates(tmp_path: Path) -> None:
    # A tenth of a second between renewals.
    often = Delays(lease_floor=0.01)
    async with (
        Simulator(speed=100, kubeconfig=tmp_path / "kubeconfig", delays=often) as simulator,
        Api.connect(tmp_path / "kubeconfig") as api,
    ):
        lab = Lab(api, tmp_path)
        await lab.prepare()
        await lab.create()
        async with lab.guest() as guest:
            await guest.ready("cp", "wk")
            renewals = guest.events(LEASES)
            await asyncio.wait_for(first(6, renewals), 5)
            simulator.clock.advance(days=YEAR)
            for vm in ("cp", "wk"):
                await told(lab, vm, "kubelet: unable to update node lease")
            # What was connected before the end stays so, and sees the last renewals, then nothing.
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(first(6, renewals), 1)


async def test_a_control_plane_started_after_the_end_of_its_certificates_never_serves(
    simulator: Simulator, lab: Lab
) -> None:
    await lab.create(strategy="Manual")
    await lab.start()
    async with lab.guest() as guest:
        await guest.ready("cp")
    await lab.stop()
    simulator.clock.advance(days=YEAR)
    await lab.power("cp", "start")
    await told(lab, "cp", "kube-apiserver: context deadline exceeded connecting to etcd")
    async with lab.guest() as guest:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await guest.call("GET", "/readyz")


async def test_a_cluster_made_after_the_clock_was_moved_is_whole_for_a_year_from_then(
    tmp_path: Path,
) -> None:
    async with (
        Simulator(speed=100, kubeconfig=tmp_path / "kubeconfig", clock=Clock(timedelta(days=400))) as simulator,
        Api.connect(tmp_path / "kubeconfig") as api,
    ):
        lab = Lab(api, tmp_path)
        await lab.prepare()
        await lab.create()
        async with lab.guest() as guest:
            await guest.ready("cp", "wk")
            simulator.clock.advance(days=YEAR)
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await guest.call("GET", "/readyz")


async def test_a_worker_that_comes_a_day_late_has_no_token_to_join_with(simulator: Simulator, lab: Lab) -> None:
    await lab.create(strategy="Manual")
    await lab.power("cp", "start")
    async with lab.guest() as guest:
        await guest.ready("cp")
    simulator.clock.advance(hours=25)
    await lab.power("wk", "start")
    await told(lab, "wk", "the bootstrap token abcdef has expired")


async def test_the_calendar_is_kept_with_the_data(tmp_path: Path) -> None:
    async with Simulator(controllers=False, data_dir=tmp_path, clock=Clock(timedelta(days=3))) as first:
        first.clock.advance(days=4)
    async with Simulator(controllers=False, data_dir=tmp_path) as second:
        assert second.clock.offset == timedelta(days=7)


async def test_the_clock_is_read_and_moved_over_http_when_that_is_asked_for(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    async with (
        Simulator(controllers=False, kubeconfig=kubeconfig, clock_admin=True) as simulator,
        Api.connect(kubeconfig) as api,
    ):
        assert (await api.create("/simulator/clock", {"advance": "2d"}))["offsetSeconds"] == 172800
        assert simulator.clock.offset == timedelta(days=2)
        assert (await api.get("/simulator/clock"))["offsetSeconds"] == 172800
        for body in ({"advance": "2"}, {"advance": 2}, [], {"advance": "9999w"}):
            assert (await api.call("POST", "/simulator/clock", body))[0] == 400
        assert (await api.call("DELETE", "/simulator/clock"))[0] == 405
        assert simulator.clock.offset == timedelta(days=2)


async def test_nobody_moves_the_clock_over_http_unasked(bare: Api) -> None:
    assert (await bare.call("POST", "/simulator/clock", {"advance": "2d"}))[0] == 404


async def test_objects_are_stamped_and_answers_dated_by_the_calendar(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    async with (
        Simulator(controllers=False, kubeconfig=kubeconfig, clock=Clock(timedelta(days=3))) as simulator,
        Api.connect(kubeconfig) as api,
    ):
        simulator.clock.advance(days=4)
        made = await api.create("/api/v1/namespaces", {"metadata": {"name": "made"}})
        stamp = datetime.fromisoformat(made["metadata"]["creationTimestamp"])
        for told in (await api.dated("/version"), stamp):
            assert abs(told - simulator.clock.now()) < timedelta(seconds=5)
            assert told - datetime.now(UTC) > timedelta(days=6)

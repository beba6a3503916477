"""Faults over HTTP: each does what its name says, to the requests it is meant for, as often as it should."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulator.api.faults import Fault, FaultKind, parse
from simulator.api.requests import Request, Target
from simulator.app import Simulator
from simulator.client import GVR
from tests.http_api import Api

Obj = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
CONFIG_MAPS = GVR("", "v1", "configmaps")


def config(name: str, **data: str) -> Obj:
    return {"metadata": {"name": name}, "data": data}


async def test_throttled_request_says_when_to_come_again(bare: Api, api_server: Simulator) -> None:
    api_server.faults.add(Fault(FaultKind.THROTTLE, resource="configmaps", count=1, seconds=2))
    code, answer = await bare.call("GET", MAPS)
    assert (code, answer["reason"], answer["details"]["retryAfterSeconds"]) == (429, "TooManyRequests", 2)
    assert (await bare.call("GET", MAPS))[0] == 200


@pytest.mark.parametrize("code", [500, 503, 504])
@pytest.mark.parametrize("after", [False, True])
async def test_error_comes_before_or_after_the_write(bare: Api, api_server: Simulator, code: int, after: bool) -> None:
    api_server.faults.add(Fault(FaultKind.ERROR, verbs=("create",), count=1, code=code, after=after))
    assert (await bare.call("POST", MAPS, config("x")))[0] == code
    assert (await bare.find(f"{MAPS}/x") is not None) is after


@pytest.mark.parametrize("after", [False, True])
async def test_connection_breaks_before_or_after_the_write(bare: Api, api_server: Simulator, after: bool) -> None:
    api_server.faults.add(Fault(FaultKind.RESET, verbs=("create",), count=1, after=after))
    with pytest.raises(aiohttp.ClientConnectionError):
        await bare.call("POST", MAPS, config("x"))
    assert (await bare.find(f"{MAPS}/x") is not None) is after


async def test_first_compare_and_swap_of_every_object_conflicts(bare: Api, api_server: Simulator) -> None:
    api_server.faults.add(Fault(FaultKind.CONFLICT, count=1, per_object=True))
    for name in "ab":
        made = await bare.create(MAPS, config(name))
        made["data"] = {"k": "v"}
        assert (await bare.call("PUT", f"{MAPS}/{name}", made))[0] == 409
        # The very same write fails again: somebody did write. Read anew, it goes through.
        assert (await bare.call("PUT", f"{MAPS}/{name}", made))[0] == 409
        fresh = await bare.get(f"{MAPS}/{name}")
        assert (await bare.call("PUT", f"{MAPS}/{name}", {**fresh, "data": {"k": "v"}}))[0] == 200


async def test_lagging_list_is_of_then_and_says_so(bare: Api, api_server: Simulator) -> None:
    await bare.create(MAPS, config("y"))
    api_server.faults.add(Fault(FaultKind.LAG, resource="configmaps", seconds=3600))
    listed = await bare.get(f"{MAPS}?fieldSelector=metadata.name%3Dy")
    assert listed["items"] == []
    version = listed["metadata"]["resourceVersion"]
    async with asyncio.timeout(5):
        async for type_, obj in bare.events(f"{MAPS}?fieldSelector=metadata.name%3Dy", version=version):
            assert (type_, obj["metadata"]["name"]) == ("ADDED", "y")
            break


async def test_watch_is_dropped_after_its_time(bare: Api, api_server: Simulator) -> None:
    api_server.faults.add(Fault(FaultKind.DROP_WATCH, seconds=0.05))
    async with asyncio.timeout(5):
        assert [type_ async for type_, _ in bare.events(f"{MAPS}?labelSelector=none")] == []


@pytest.mark.parametrize("after", [False, True])
async def test_server_refuses_connections_for_a_while_then_is_there_again(
    bare: Api, api_server: Simulator, after: bool
) -> None:
    fault = Fault(FaultKind.REFUSE, verbs=("create",), count=1, seconds=0.3, after=after)
    api_server.faults.add(fault)
    with pytest.raises(aiohttp.ClientConnectionError):
        await bare.call("POST", MAPS, config("x"))
    await gone(bare)
    await back(bare)
    assert (await bare.find(f"{MAPS}/x") is not None) is after


async def test_refusing_server_breaks_watches_and_keeps_its_port_until_it_is_told_to_accept(
    bare: Api, api_server: Simulator
) -> None:
    opened = asyncio.Event()
    watching = asyncio.create_task(anext(bare.events(f"{MAPS}?labelSelector=none", opened)))
    await opened.wait()
    await api_server.refuse()
    with pytest.raises((aiohttp.ClientError, StopAsyncIteration)):
        await asyncio.wait_for(watching, 5)
    await gone(bare)
    port = int(api_server.url.rpartition(":")[2])
    with socket.socket() as thief, pytest.raises(OSError, match="in use"):
        thief.bind(("127.0.0.1", port))
    await api_server.refuse()
    await api_server.accept()
    await api_server.accept()
    assert (await bare.call("GET", MAPS))[0] == 200


async def test_refusing_server_answers_nothing_that_is_under_way(bare: Api, api_server: Simulator) -> None:
    begun = asyncio.Event()

    async def tell(_: Request, __: Target, inner: Callable[[], Any]) -> Any:
        begun.set()
        return await inner()

    api_server.api.middlewares.insert(0, tell)
    api_server.faults.add(Fault(FaultKind.LATENCY, seconds=0.05))
    asking = asyncio.create_task(bare.call("GET", MAPS))
    await begun.wait()
    await api_server.refuse()
    with pytest.raises(aiohttp.ClientConnectionError):
        await asking


async def test_server_may_end_while_it_refuses(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    async with Simulator(controllers=False, kubeconfig=path) as simulator, Api.connect(path) as api:
        simulator.faults.add(Fault(FaultKind.REFUSE, seconds=3600))
        with pytest.raises(aiohttp.ClientConnectionError):
            await api.call("GET", MAPS)
        await gone(api)


async def gone(api: Api) -> None:
    """The next connection is refused. An open one may have to find out first."""
    async with asyncio.timeout(5):
        while True:
            try:
                await api.call("GET", "/version")
            except aiohttp.ClientConnectorError:
                return
            except aiohttp.ClientConnectionError:
                continue


async def back(api: Api) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                await api.call("GET", "/version")
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.01)
            else:
                return


async def test_latency_delays_the_answer(bare: Api, api_server: Simulator) -> None:
    api_server.faults.add(Fault(FaultKind.LATENCY, seconds=0.2, count=1))
    begun = time.monotonic()
    await bare.get(MAPS)
    assert time.monotonic() - begun >= 0.2


async def test_controllers_of_the_simulator_are_spared(api_server: Simulator) -> None:
    api_server.faults.add(Fault(FaultKind.ERROR))
    assert await api_server.client.list(CONFIG_MAPS, "default")


@pytest.mark.parametrize(
    ("fault", "hits"),
    [
        (Fault(FaultKind.ERROR), True),
        (Fault(FaultKind.ERROR, resource="sessions"), True),
        (Fault(FaultKind.ERROR, resource="sessions.cks.io"), True),
        (Fault(FaultKind.ERROR, resource="pods"), False),
        (Fault(FaultKind.ERROR, verbs=("get", "update")), True),
        (Fault(FaultKind.ERROR, verbs=("get",)), False),
        (Fault(FaultKind.ERROR, namespace="other"), False),
        (Fault(FaultKind.ERROR, name="x"), True),
        (Fault(FaultKind.ERROR, probability=0.0), False),
        (Fault(FaultKind.ERROR, count=0), False),
        (Fault(FaultKind.LAG), False),
        (Fault(FaultKind.DROP_WATCH), False),
        (Fault(FaultKind.CONFLICT), True),
    ],
)
def test_fault_strikes_what_it_is_meant_for(fault: Fault, hits: bool) -> None:
    target = Target("update", "cks.io", "v1alpha1", "sessions", "cks-pool", "x")
    assert fault.strikes(target, lambda: 0.5) is hits


def test_fault_is_written_in_a_line() -> None:
    fault = parse("error,code=500,resource=sessions,verbs=update+patch,probability=0.5,count=3,per-object=true")
    wanted = Fault(
        FaultKind.ERROR, ("update", "patch"), "sessions", probability=0.5, count=3, per_object=True, code=500
    )
    assert fault == wanted


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "there is no fault 'nonsense'; there are latency, throttle"),
        ("error,colour=red", "there is no option colour"),
        ("error,code", "'code' is no option=value"),
        ("error,probability=2", "probability is from 0 to 1"),
    ],
)
def test_fault_that_cannot_be_says_why(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(line)


async def test_admin_page_is_off_unless_asked_for(bare: Api) -> None:
    assert (await bare.call("GET", "/simulator/faults"))[0] == 404


async def test_admin_page_adds_shows_and_clears(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    async with (
        Simulator(controllers=False, kubeconfig=path, fault_admin=True) as simulator,
        Api.connect(path) as api,
    ):
        code, answer = await api.call("POST", "/simulator/faults", {"kind": "error", "code": 500, "verbs": ["list"]})
        assert (code, answer["faults"][0]["struck"]) == (200, 0)
        assert (await api.call("GET", MAPS))[0] == 500
        assert (await api.get("/simulator/faults"))["faults"][0]["struck"] == 1
        assert (await api.call("POST", "/simulator/faults", {"kind": "nonsense"}))[0] == 400
        await api.delete("/simulator/faults")
        assert (await api.call("GET", MAPS))[0] == 200
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as nobody:
            assert (await nobody.get(f"{simulator.url}/simulator/faults")).status == 403

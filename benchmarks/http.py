"""A session gets a cluster over HTTP, against the same calls made by hand and against flow runs; crowds; streams."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from rich.table import Table

from benchmarks.assign import CountingKube, bare_calls, give_back, pool_of
from benchmarks.parts import a_folder, a_prefect
from benchmarks.usage import connections
from demo.processes import Child, answers, free_port, ready_or_stopped, start
from demo.stack import start_worker
from flows.setup import Setup
from pool.kube.gather import gather
from pool.state import PoolState

CLUSTERS, ROUNDS, STREAMS, FLOW_RUNS = 100, 200, 500, 5
QUICK = 10
PROCESSES = "processes"
"""A work pool of Prefect's own process workers."""

_numbers = itertools.count()


async def measure(*, quick: bool) -> Table:
    """One table, a row each way. Raises ChildFailed, RunFailed."""
    table = Table(title="a session gets a cluster")
    for column in ("way", "median", "longest", "ratio to HTTP", "beside"):
        table.add_column(column, justify="left" if column in ("way", "beside") else "right")
    size = QUICK if quick else CLUSTERS
    async with pool_of(size) as (kube, state, kubeconfig):
        with a_folder("http") as folder:
            async with a_gateway(folder, kubeconfig) as (door, child):
                by_http, by_hand = await _in_turn(kube, state, kubeconfig, door, QUICK if quick else ROUNDS)
                base = statistics.median(by_http)
                _row(
                    table,
                    "POST /api/v1/sessions",
                    by_http,
                    base,
                    f"{base - statistics.median(by_hand):+.1f} ms to by hand",
                )
                _row(table, "the same calls by hand", by_hand, base)
                at_once, answered = await _at_once(kube, state, door, size)
                _row(table, f"{size} at once, each", at_once, base, f"all answered in {answered:.2f} s")
                table.add_row(*await _streams(kube, state, door, child, QUICK if quick else STREAMS))
                if not quick:
                    for way, took in (await _as_flow_runs(folder, kubeconfig, kube, state)).items():
                        _row(table, way, took, base)
    return table


@asynccontextmanager
async def a_gateway(
    folder: Path, kubeconfig: Path, *, name: str = "gateway", prefect: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, Child]]:
    """A gateway in a process of its own, on loopback, without tokens; and a client of it."""
    port = free_port()
    environment = {
        **(prefect or {}),
        "CKS_POOL_KUBECONFIG": str(kubeconfig),
        "CKS_GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "CKS_GATEWAY_RATE": "1000000",
    }
    command = [sys.executable, "-m", "cks_pool", "serve"]
    child = await start(name, command, log=folder / f"{name}.log", env=environment)
    url = f"http://127.0.0.1:{port}"
    limits = httpx.Limits(max_connections=None)
    try:
        await ready_or_stopped(child, lambda: answers(f"{url}/readyz"), timeout=60)
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60, limits=limits) as door:
            yield door, child
    finally:
        await child.stop()


async def _in_turn(
    kube: CountingKube, state: PoolState, kubeconfig: Path, door: httpx.AsyncClient, rounds: int
) -> tuple[list[float], list[float]]:
    """Milliseconds of each, in turn, so that both meet the same load."""
    by_http, by_hand = [], []
    async with bare_calls(kubeconfig, state.settings.namespace) as bare:
        for _ in range(rounds):
            begun = time.perf_counter()
            cluster = await _asked(door)
            by_http.append((time.perf_counter() - begun) * 1e3)
            await give_back(kube, state, cluster)
            by_hand.append(await bare() * 1e3)
    return by_http, by_hand


async def _asked(door: httpx.AsyncClient) -> str:
    answer = await door.post("/api/v1/sessions", json={"sessionId": f"http-{next(_numbers)}"})
    answer.raise_for_status()
    return str(answer.json()["assignedCluster"])


async def _at_once(
    kube: CountingKube, state: PoolState, door: httpx.AsyncClient, size: int
) -> tuple[list[float], float]:
    """As many sessions as clusters at the same moment: milliseconds of each, seconds until all are answered."""

    async def one() -> tuple[str, float]:
        begun = time.perf_counter()
        return await _asked(door), (time.perf_counter() - begun) * 1e3

    begun = time.perf_counter()
    served = await gather(one() for _ in range(size))
    took = time.perf_counter() - begun
    for cluster, _ in served:
        await give_back(kube, state, cluster)
    return [each for _, each in served], took


async def _streams(
    kube: CountingKube, state: PoolState, door: httpx.AsyncClient, child: Child, number: int
) -> tuple[str, str, str, str, str]:
    """So many followers of one session: what they cost, and how long until the last one knows that it has ended."""
    gateway = psutil.Process(child.process.pid)
    session = f"followed-{next(_numbers)}"
    answer = await door.post("/api/v1/sessions", json={"sessionId": session})
    cluster = answer.json()["assignedCluster"]
    host = int(kube.server.rpartition(":")[2])
    before, memory = connections(gateway.pid, host), gateway.memory_info().rss
    listening = asyncio.Semaphore(0)
    told: list[float] = []

    async def follow() -> None:
        async with door.stream("GET", f"/api/v1/sessions/{session}/events", timeout=None) as stream:
            async for line in stream.aiter_lines():
                if line == "event: assigned":
                    listening.release()
                if line == "event: ended":
                    told.append(time.perf_counter())
                    return

    async with asyncio.TaskGroup() as followers:
        for _ in range(number):
            followers.create_task(follow())
        for _ in range(number):
            await listening.acquire()
        more, grown = connections(gateway.pid, host) - before, (gateway.memory_info().rss - memory) / number / 1024
        begun = time.perf_counter()
        (await door.delete(f"/api/v1/sessions/{session}")).raise_for_status()
    await give_back(kube, state, cluster)
    took = [(one - begun) * 1e3 for one in told]
    beside = f"{more:+d} connections to the host, {grown:.0f} KiB each"
    return (f"{number} streams told", f"{statistics.median(took):.1f} ms", f"{max(took):.1f} ms", "", beside)


async def _as_flow_runs(folder: Path, kubeconfig: Path, kube: CountingKube, state: PoolState) -> dict[str, list[float]]:
    """Milliseconds from the call that starts the run to its end, on the warm worker and on a process worker."""
    async with AsyncExitStack() as stack:
        prefect = await stack.enter_async_context(a_prefect(folder))
        environment = prefect.environment | {"CKS_POOL_KUBECONFIG": str(kubeconfig)}
        warm = await start_worker(environment, log=folder / "worker.log")
        stack.push_async_callback(warm.stop)
        async with PrefectClient(environment["PREFECT_API_URL"]) as client:
            await _deploy_to_processes(client)
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", PROCESSES, "--type", "process"]
        processes = await start("process worker", command, log=folder / "processes.log", env=environment)
        stack.push_async_callback(processes.stop)
        runs = prefect.runs

        async def timed(run: Callable[[str], Awaitable[Any]]) -> list[float]:
            took = []
            for _ in range(FLOW_RUNS):
                session, begun = f"flow-{next(_numbers)}", time.perf_counter()
                await run(session)
                took.append((time.perf_counter() - begun) * 1e3)
                held = await state.session(session)
                await give_back(kube, state, held.status.assigned_cluster or "")
            return took

        return {
            "a flow run on the warm worker": await timed(lambda one: runs.run("assign-session", session_id=one)),
            "a flow run on a process worker": await timed(lambda one: runs.run(PROCESSES, session_id=one)),
        }


async def _deploy_to_processes(client: PrefectClient) -> None:
    setup = await asyncio.to_thread(Setup.load)
    await client.create_work_pool(WorkPoolCreate(name=PROCESSES, type="process"))
    (assign,) = (one for one in setup.deployments if one.flow.name == "assign-session")
    # Named as its flow is, so that it is started like the others.
    await client.create_deployment(
        await client.create_flow_from_name(PROCESSES),
        PROCESSES,
        entrypoint=assign.entry["entrypoint"],
        work_pool_name=PROCESSES,
        pull_steps=[],
        job_variables={"working_dir": os.getcwd()},
    )


def _row(table: Table, way: str, took: list[float], base: float, beside: str = "") -> None:
    median = statistics.median(took)
    table.add_row(way, f"{median:.1f} ms", f"{max(took):.1f} ms", f"{median / base:.2f}", beside)

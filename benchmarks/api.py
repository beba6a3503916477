"""The simulator's API server against its targets, and against a bare asyncio server that sends the same bytes."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from kubernetes.aio import client as kube
from kubernetes.aio import config
from rich.table import Table

from benchmarks.servers import Access, running
from pool.core.crds import definitions
from pool.core.pools import Pool
from pool.core.resource import Metadata
from pool.core.settings import Settings
from pool.kube.resources import CRDS, NAMESPACES, POOLED_CLUSTERS, VMS
from pool.kubevirt.cluster import Cluster
from pool.kubevirt.manifests import virtual_machine, wanted_image

NAMESPACE = "bench"
LISTS = {"PooledClusters": POOLED_CLUSTERS, "VirtualMachines": VMS}
LIST_TARGET, CAS_TARGET, RATE = 150.0, 3.0, 200.0
"""Milliseconds, milliseconds, writes a second."""
Work = Callable[[], Awaitable[Any]]


async def measure(*, quick: bool) -> Table:
    """Medians of lists and of a compare-and-swap, and how many writes a second a crowd of watches keeps up with."""
    clusters, rounds, crowd, writes = (10, 3, 5, 20) if quick else (1000, 20, 500, 1000)
    table = Table(title=f"API server: {clusters} PooledClusters, {2 * clusters} VirtualMachines, {crowd} watches")
    for column in ("what", "target", "measured", "bare server", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    async with _servers() as (simulator, bare), Access.read(simulator).client() as http:
        await _fill(http, clusters)
        async with Access.read(bare).client() as plain:
            for row in [*await _lists(simulator, bare, http, plain, rounds), await _cas(http, plain, rounds * 10)]:
                table.add_row(*row)
            for row in await _watches(simulator, bare, http, plain, crowd, writes):
                table.add_row(*row)
    return table


@asynccontextmanager
async def _servers() -> AsyncIterator[tuple[Path, Path]]:
    """Kubeconfigs of both servers, each in a process of its own."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        paths = folder / "simulator", folder / "bare"
        for module, path in zip(("benchmarks.server", "benchmarks.bare"), paths, strict=True):
            await stack.enter_async_context(running(module, str(path)))
        yield paths


async def _fill(http: httpx.AsyncClient, clusters: int) -> None:
    await _post(http, NAMESPACES.path(), NAMESPACES.manifest(NAMESPACE))
    for crd in definitions():
        await _post(http, CRDS.path(), crd)
    settings, pool = Settings(), Pool(metadata=Metadata(name="default", uid="uid-default"))
    for number in range(clusters):
        name = f"cluster{number:04}"
        made = POOLED_CLUSTERS.manifest(name, NAMESPACE, spec={"namespace": name})
        await _post(http, POOLED_CLUSTERS.path(NAMESPACE), made)
        for machine in Cluster(name, NAMESPACE, f"uid-{name}", pool.name, pool.metadata.uid).machines:
            vm = virtual_machine(machine, pool, wanted_image(pool), settings)
            vm["metadata"]["name"] = f"{name}-{machine.role.short}"
            await _post(http, VMS.path(NAMESPACE), vm)


async def _post(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    (await http.post(path, json=body)).raise_for_status()


async def _median(rounds: int, work: Work) -> float:
    """Milliseconds; the first call, which opens the connection, is not counted."""
    await work()
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e3


def _row(what: str, target: float, measured: float, bare: float) -> tuple[str, ...]:
    return what, f"< {target:g} ms", f"{measured:.2f} ms", f"{bare:.2f} ms", f"{measured / bare:.2f}"


async def _lists(
    simulator: Path, bare: Path, http: httpx.AsyncClient, plain: httpx.AsyncClient, rounds: int
) -> list[tuple[str, ...]]:
    rows = []
    for name, resource in LISTS.items():
        path = resource.path(NAMESPACE)
        content = (await http.get(path)).raise_for_status().content
        (await plain.put(path, content=content)).raise_for_status()
        title = f"list {len(json.loads(content)['items'])} {name} ({len(content) / 1e6:.1f} MB)"
        for how, times in (
            ("httpx, bytes", [await _median(rounds, partial(_got, one, path)) for one in (http, plain)]),
            ("httpx, decoded", [await _median(rounds, partial(_decoded, one, path)) for one in (http, plain)]),
            ("kubernetes.aio", [await _by_client(one, resource, rounds) for one in (simulator, bare)]),
        ):
            rows.append(_row(f"{title}, {how}", LIST_TARGET, *times))
    return rows


async def _got(http: httpx.AsyncClient, path: str) -> bytes:
    return (await http.get(path)).raise_for_status().content


async def _decoded(http: httpx.AsyncClient, path: str) -> Any:
    return json.loads(await _got(http, path))


async def _by_client(kubeconfig: Path, resource: Any, rounds: int) -> float:
    configuration = kube.Configuration()
    await config.load_kube_config(str(kubeconfig), None, configuration, persist_config=False)
    configuration.client_session_kwargs = {"trust_env": False}
    async with kube.ApiClient(configuration) as client:
        custom = kube.CustomObjectsApi(client)
        where = (resource.group, resource.version, NAMESPACE, resource.plural)
        return await _median(rounds, lambda: custom.list_namespaced_custom_object(*where))


async def _cas(http: httpx.AsyncClient, plain: httpx.AsyncClient, rounds: int) -> tuple[str, ...]:
    times = [await _median(rounds, await _writer(one, http)) for one in (http, plain)]
    return _row("status compare-and-swap", CAS_TARGET, *times)


async def _writer(to: httpx.AsyncClient, http: httpx.AsyncClient) -> Work:
    """Writes one cluster's status again and again, each time at the version that the last answer had."""
    path = f"{POOLED_CLUSTERS.path(NAMESPACE)}/cluster0000"
    found = (await http.get(path)).raise_for_status().json()
    found.setdefault("status", {"phase": "creating", "epoch": 0})

    async def write() -> None:
        nonlocal found
        found["status"]["epoch"] += 1
        found = (await to.put(f"{path}/status", json=found)).raise_for_status().json()

    return write


async def _watches(
    simulator: Path, bare: Path, http: httpx.AsyncClient, plain: httpx.AsyncClient, crowd: int, writes: int
) -> list[tuple[str, ...]]:
    servers = (simulator, http), (bare, plain)
    paced = [await _crowded(path, await _writer(to, http), crowd, writes, pace=RATE) for path, to in servers]
    flat_out = [await _crowded(path, await _writer(to, http), crowd, writes, pace=0) for path, to in servers]
    rates = [writes / writing for writing, _ in paced]
    lags = [lag * 1e3 for _, lag in paced]
    most = [writes / (writing + lag) for writing, lag in flat_out]
    return [
        _rates(f"{crowd} watches, writes a second when {RATE:g} are asked for", rates),
        (
            f"{crowd} watches, all of it seen by all of them after",
            "",
            *(f"{one:.0f} ms" for one in lags),
            f"{lags[0] / lags[1]:.2f}",
        ),
        _rates(f"{crowd} watches, most writes a second, seen by all", most),
    ]


def _rates(what: str, rates: list[float]) -> tuple[str, ...]:
    return what, f"{RATE:g}/s", *(f"{one:.0f}/s" for one in rates), f"{rates[0] / rates[1]:.2f}"


async def _crowded(kubeconfig: Path, write: Work, crowd: int, writes: int, *, pace: float) -> tuple[float, float]:
    """Seconds that the writes took, and seconds from the last one's answer until every watch had seen every event."""
    now = await _version(kubeconfig) if kubeconfig.name == "simulator" else ""
    path = f"{POOLED_CLUSTERS.path(NAMESPACE)}?watch=1{now}"
    async with running("benchmarks.watchers", str(kubeconfig), path, str(crowd), str(writes)) as watchers:
        begun = time.monotonic()
        for number in range(writes):
            if pace:
                await asyncio.sleep(begun + number / pace - time.monotonic())
            await write()
        written = time.monotonic()
        assert watchers.stdout is not None
        seen = float(await asyncio.wait_for(watchers.stdout.readline(), timeout=120))
    # Events may arrive before the write's own answer.
    return written - begun, max(1e-4, seen - written)


async def _version(kubeconfig: Path) -> str:
    async with Access.read(kubeconfig).client() as http:
        listed = (await http.get(f"{POOLED_CLUSTERS.path(NAMESPACE)}?limit=1")).raise_for_status().json()
    return f"&resourceVersion={listed['metadata']['resourceVersion']}"

"""An assignment against the same bare calls made by hand with httpx, to one server in a process of its own."""

from __future__ import annotations

import base64
import itertools
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml
from rich.table import Table

from pool.core.clusters import Golden, GoldenSnapshot
from pool.core.crds import definitions
from pool.core.settings import Settings
from pool.kube.client import Kube
from pool.kube.resources import CRDS, NAMESPACES, POOLED_CLUSTERS, SESSIONS
from pool.kube.watching import Watching
from pool.state import PoolState

NOW = datetime.now(UTC).isoformat()
OPERATION = {"kind": "reset", "runId": "bench", "startedAt": NOW, "heartbeatAt": NOW}
"""The rules let a cluster become clean only where somebody worked on it."""


async def measure(*, quick: bool) -> Table:
    """Calls an assignment makes, and its median time against the bare calls, for several sizes of the pool."""
    rounds, sizes = (10, (3, 20)) if quick else (500, (3, 100, 1000))
    table = Table(title=f"assign-session's core: {rounds} assignments a size, one after the other")
    for column in ("clusters", "sees the pool by", "calls each", "median", "bare calls", "ratio", "to the smallest"):
        table.add_column(column, justify="right")
    smallest: dict[str, float] = {}
    for size in sizes:
        async with pool_of(size) as (kube, state, kubeconfig), bare_calls(kubeconfig, state.settings.namespace) as bare:
            for way in ("list", "watch"):
                async with state.following() if way == "watch" else nullcontext():
                    calls, times, by_hand = await _side_by_side(kube, state, bare, rounds)
                median, plain = statistics.median(times) * 1e3, statistics.median(by_hand) * 1e3
                flat = median / smallest.setdefault(way, median)
                figures = (
                    f"{calls:.1f}",
                    f"{median:.1f} ms",
                    f"{plain:.1f} ms",
                    f"{median / plain:.2f}",
                    f"{flat:.2f}",
                )
                table.add_row(str(size), way, *figures)
    return table


@asynccontextmanager
async def pool_of(size: int) -> AsyncIterator[tuple[CountingKube, PoolState, Path]]:
    """A pool of `size` available clusters on a bare API server (no controllers) in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        command = [sys.executable, "-m", "benchmarks.server", str(kubeconfig)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            server.stdout.readline()
            try:
                async with CountingKube.connect(kubeconfig) as kube, Watching(kube) as watching:
                    assert isinstance(kube, CountingKube)
                    settings = Settings(kubeconfig=kubeconfig)
                    state = PoolState(kube, settings, now=kube.now, watching=watching)
                    await _fill(kube, watching, settings, size)
                    await state.ensure_pool()
                    yield kube, state, kubeconfig
            finally:
                server.terminate()


class CountingKube(Kube):
    """The real client, its calls counted by method; history's events, written beside the work, on their own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: Counter[str] = Counter()
        self.events = 0

    async def request(self, method: str, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if "/events" in path:
            self.events += 1
        else:
            self.calls[method] += 1
        return await super().request(method, path, *args, **kwargs)


async def _fill(kube: Kube, watching: Watching, settings: Settings, size: int) -> None:
    for crd in definitions():
        await kube.apply(CRDS, crd, force=True)
        name = crd["metadata"]["name"]
        await watching.until(CRDS, name, None, _established, timeout=10, what=f"{name} to be served")
    await kube.create(NAMESPACES, NAMESPACES.manifest(settings.namespace))
    half = GoldenSnapshot(name="snap", uid="uid")
    golden = Golden(generation=1, control_plane=half, worker=half, taken_at=datetime.now(UTC))
    for number in range(1, size + 1):
        name = f"cluster{number}"
        made = await kube.create(
            POOLED_CLUSTERS, POOLED_CLUSTERS.manifest(name, settings.namespace, spec={"namespace": name})
        )
        # A cluster begins as creating; the rules let it become available at the end of an operation.
        made["status"] = {
            "phase": "creating",
            "operation": OPERATION,
            "golden": golden.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        made = await kube.replace(POOLED_CLUSTERS, made, subresource="status")
        del made["status"]["operation"]
        made["status"] |= {"phase": "available", "clean": True}
        await kube.replace(POOLED_CLUSTERS, made, subresource="status")


def _established(crd: dict[str, Any] | None) -> bool | None:
    conditions = ((crd or {}).get("status") or {}).get("conditions") or []
    return True if any(one["type"] == "Established" and one["status"] == "True" for one in conditions) else None


async def _side_by_side(
    kube: CountingKube, state: PoolState, bare: Callable[[], Awaitable[float]], rounds: int
) -> tuple[float, list[float], list[float]]:
    """Calls an assignment, the seconds of each, and of the bare calls: in turn, so that both meet the same load."""
    times, by_hand, calls = [], [], 0
    for _ in range(rounds):
        kube.calls.clear()
        begun = time.perf_counter()
        session = await state.assign(f"session-{next(_numbers)}")
        times.append(time.perf_counter() - begun)
        calls += kube.calls.total()
        await give_back(kube, state, session.status.assigned_cluster or "")
        by_hand.append(await bare())
    return calls / rounds, times, by_hand


async def give_back(kube: Kube, state: PoolState, cluster: str) -> None:
    """Put the cluster back by hand, outside the measurement."""
    found = await kube.get(POOLED_CLUSTERS, cluster, state.settings.namespace)
    for key in ("assignedSession", "assignedSessionUID", "lockTime", "expiresAt"):
        found["status"].pop(key, None)
    found["status"] |= {"phase": "resetting", "operation": OPERATION}
    found = await kube.replace(POOLED_CLUSTERS, found, subresource="status")
    del found["status"]["operation"]
    found["status"] |= {"phase": "available", "clean": True}
    await kube.replace(POOLED_CLUSTERS, found, subresource="status")


@asynccontextmanager
async def bare_calls(kubeconfig: Path, namespace: str) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    """The least that any assignment has to call: list, create the session, lock a cluster, mark the session.

    Yields what does them once and returns the seconds they took.
    """
    content = yaml.safe_load(kubeconfig.read_text())
    host, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(host["certificate-authority-data"]).decode())
    headers = {"Authorization": f"Bearer {user['token']}"}
    clusters, sessions = POOLED_CLUSTERS.path(namespace), SESSIONS.path(namespace)
    async with httpx.AsyncClient(base_url=host["server"], verify=context, headers=headers, trust_env=False) as client:

        async def once() -> float:
            name = f"bare-{next(_numbers)}"
            begun = time.perf_counter()
            free = (await client.get(clusters)).json()["items"][0]
            # Of no Pool's queue, so that nobody who comes by serves it before it has ended.
            body = {
                "apiVersion": "cks.io/v1alpha1",
                "kind": "Session",
                "metadata": {"name": name},
                "spec": {"pool": "bare"},
            }
            session = (await client.post(sessions, json=body)).json()
            free["status"]["lastHealthCheck"] = datetime.now(UTC).isoformat()
            path = f"{clusters}/{free['metadata']['name']}/status"
            (await client.put(path, json=free)).raise_for_status()
            session["status"] = {"phase": "Released", "message": "measured"}
            (await client.put(f"{sessions}/{name}/status", json=session)).raise_for_status()
            return time.perf_counter() - begun

        yield once


_numbers = itertools.count()

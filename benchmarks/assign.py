"""An assignment against the same bare calls made by hand with httpx, to one server in a process of its own."""

from __future__ import annotations

import base64
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml
from rich.table import Table

from pool.crds import definitions
from pool.kube.client import Kube
from pool.kube.resources import CRDS, NAMESPACES, POOLED_CLUSTERS, SESSIONS
from pool.kube.watching import Watching
from pool.models import Golden, GoldenSnapshot
from pool.settings import Settings
from pool.state import PoolState


async def measure(*, quick: bool) -> Table:
    """Calls an assignment makes, and its median time against the bare calls, for several sizes of the pool."""
    rounds, sizes = (10, (3, 20)) if quick else (200, (3, 100, 1000))
    table = Table(title=f"assign-session's core: {rounds} assignments a size, one after the other")
    for column in ("clusters", "calls each", "median", "bare calls", "ratio"):
        table.add_column(column, justify="right")
    for size in sizes:
        async with pool_of(size) as (kube, state, kubeconfig):
            calls, times = await _assignments(kube, state, rounds)
            bare = await _bare(kubeconfig, state.settings.namespace, rounds)
        median, by_hand = statistics.median(times) * 1e3, statistics.median(bare) * 1e3
        ratio = f"{median / by_hand:.2f}"
        table.add_row(str(size), f"{calls:.1f}", f"{median:.1f} ms", f"{by_hand:.1f} ms", ratio)
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
                    state = PoolState(kube, settings, now=lambda: datetime.now(UTC), watching=watching)
                    await _fill(kube, watching, settings, size)
                    yield kube, state, kubeconfig
            finally:
                server.terminate()


class CountingKube(Kube):
    """The real client, its calls counted by method; history's events are written beside the assignment."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: Counter[str] = Counter()

    async def request(self, method: str, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if "/events" not in path:
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
        # A cluster begins as creating; the rules let it become available once it has a golden generation.
        made["status"] = {
            "phase": "creating",
            "golden": golden.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        made = await kube.replace(POOLED_CLUSTERS, made, subresource="status")
        made["status"]["phase"] = "available"
        await kube.replace(POOLED_CLUSTERS, made, subresource="status")


def _established(crd: dict[str, Any] | None) -> bool | None:
    conditions = ((crd or {}).get("status") or {}).get("conditions") or []
    return True if any(one["type"] == "Established" and one["status"] == "True" for one in conditions) else None


async def _assignments(kube: CountingKube, state: PoolState, rounds: int) -> tuple[float, list[float]]:
    """Assign, then put the cluster back by hand outside the measurement."""
    times, calls = [], 0
    for number in range(rounds):
        kube.calls.clear()
        begun = time.perf_counter()
        session = await state.assign(f"session-{number}")
        times.append(time.perf_counter() - begun)
        calls += kube.calls.total()
        await _give_back(kube, state, session.status.assigned_cluster or "")
    return calls / rounds, times


async def _give_back(kube: Kube, state: PoolState, cluster: str) -> None:
    found = await kube.get(POOLED_CLUSTERS, cluster, state.settings.namespace)
    for key in ("assignedSession", "assignedSessionUID", "lockTime", "expiresAt"):
        found["status"].pop(key, None)
    found["status"]["phase"] = "available"
    await kube.replace(POOLED_CLUSTERS, found, subresource="status")


async def _bare(kubeconfig: Path, namespace: str, rounds: int) -> list[float]:
    """The least that any assignment has to call: list, create the session, lock a cluster, mark the session."""
    content = yaml.safe_load(kubeconfig.read_text())
    host, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(host["certificate-authority-data"]).decode())
    headers = {"Authorization": f"Bearer {user['token']}"}
    clusters, sessions = POOLED_CLUSTERS.path(namespace), SESSIONS.path(namespace)
    times = []
    async with httpx.AsyncClient(base_url=host["server"], verify=context, headers=headers, trust_env=False) as client:
        for number in range(rounds):
            begun = time.perf_counter()
            free = (await client.get(clusters)).json()["items"][number % 3]
            body = {"apiVersion": "cks.io/v1alpha1", "kind": "Session", "metadata": {"name": f"bare-{number}"}}
            session = (await client.post(sessions, json=body)).json()
            free["status"]["lastHealthCheck"] = datetime.now(UTC).isoformat()
            path = f"{clusters}/{free['metadata']['name']}/status"
            (await client.put(path, json=free)).raise_for_status()
            session["status"] = {"phase": "Pending", "message": "measured"}
            (await client.put(f"{sessions}/bare-{number}/status", json=session)).raise_for_status()
            times.append(time.perf_counter() - begun)
    return times

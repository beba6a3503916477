"""A simulated host in a process of its own, with all that a pool needs before its first cluster."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from pool.core.pools import PoolSpec
from pool.core.settings import Settings
from pool.kube.client import Kube
from pool.kube.watching import Watching
from pool.state import PoolState
from pool.work import images, namespaces
from pool.work.bootstrap import bootstrap
from pool.work.golden import take
from pool.work.steps import Host


class CountingKube(Kube):
    """The real client, counting its calls."""

    calls = 0

    async def request(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self.calls += 1
        return await super().request(*args, **kwargs)


@asynccontextmanager
async def a_host(speed: float) -> AsyncIterator[Host]:
    """The kinds installed, the golden image imported; all delays divided by `speed`."""
    with tempfile.TemporaryDirectory() as folder, simulator(Path(folder) / "kubeconfig", speed) as kubeconfig:
        async with prepared(kubeconfig, PoolSpec()) as host:
            yield host


@asynccontextmanager
async def prepared(kubeconfig: Path, spec: PoolSpec) -> AsyncIterator[Host]:
    """The host of the kubeconfig, with the kinds, the Pool `default` of that spec, and its golden image."""
    settings = Settings(kubeconfig=kubeconfig)
    async with (
        CountingKube.connect(kubeconfig) as kube,
        Watching(kube) as watching,
        aclosing(PoolState(kube, settings, now=kube.now, watching=watching)) as state,
    ):
        await namespaces.ensure_pool_namespace(kube, settings)
        await namespaces.ensure_crds(kube, watching)
        await namespaces.ensure_templates_namespace(kube, settings)
        pool = await state.ensure_pool(spec=spec)
        await images.ensure_image(kube, watching, pool, settings)
        yield Host(settings, kube, watching, state)


async def make(host: Host, name: str) -> None:
    """A cluster of that name, with its golden snapshots."""
    await host.state.ensure_cluster(await host.state.ensure_pool(), name)
    await bootstrap(host, name, run_id="made")
    await take(host, name, run_id="snapshotted")


def names(count: int) -> list[str]:
    """What so many clusters are called."""
    return [f"cluster{number}" for number in range(1, count + 1)]


@contextmanager
def simulator(kubeconfig: Path, speed: float) -> Iterator[Path]:
    """A simulator with controllers and guests as `python -m simulator` starts it, until it answers."""
    command = [sys.executable, "-m", "simulator", "--kubeconfig", str(kubeconfig), "--speed", f"{speed:g}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield kubeconfig
        finally:
            process.terminate()

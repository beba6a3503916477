"""From `kubectl apply -k` to three available clusters, at the simulator's own pace, beside the sum of its delays.

The overlay is applied by kubectl; what its pods would run runs from the wheel, under the shipped ServiceAccounts.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from benchmarks.hosts import simulator
from benchmarks.parts import a_folder
from cks_pool.secrets import PREFECT
from demo.database import start_database
from demo.processes import Child, ChildFailed, free_port, ready_or_stopped
from demo.stack import start_server
from pool.core.pools import Pool
from pool.guest.node_files import steps
from pool.kube.client import Kube, Object
from pool.kube.gather import gather
from pool.kube.resources import POOLS
from pool.kube.watching import Watching
from simulator.timing.delays import Delays
from tests.deployments.installed import HOME, Installation, unpacked
from tests.deployments.overlays import OVERLAYS
from tests.pool.kubectl import Kubectl

SPEED, QUICK_SPEED = 1.0, 50.0
SIZE = 3
"""Of deployments/pool.yaml."""


def critical_path(delays: Delays) -> dict[str, float]:
    """Seconds that a first cluster cannot do without, by what they are for: one after the other on the simulator."""
    start = delays.pod_schedule + delays.pod_start + delays.domain_start
    # Both nodes set themselves up at once; the worker's own steps after it has joined come on top.
    of_both = steps(Pool.model_validate({"metadata": {"name": "default"}}), [])
    return {
        "the image is imported": delays.image_import,
        "the storage is proved": delays.provision + delays.snapshot_create + delays.snapshot_ready + delays.restore_pvc,
        "two disks are cloned": delays.snapshot_create + delays.clone,
        "two VMs start and boot": start + delays.boot,
        "the nodes' steps": delays.step * len(of_both),
        "kubeadm init, and join": delays.kubeadm_init + delays.kubeadm_join,
        "both shut down": delays.shutdown,
        "their snapshots": delays.snapshot_create + max(delays.snapshot_ready, delays.snapshot_unlock),
        "they start and boot again": start + delays.boot + delays.api_start + delays.reboot_ready,
    }


@dataclass
class Story:
    """When something was reached, in seconds after the beginning."""

    begun: float = field(default_factory=time.monotonic)
    reached: dict[str, float] = field(default_factory=dict)

    def note(self, what: str) -> None:
        """It is reached now."""
        self.reached[what] = time.monotonic() - self.begun
        print(f"  {what}: {self.reached[what]:.1f} s", flush=True)


async def measure(*, quick: bool) -> Table:
    """What was reached when, and the sum of the simulator's delays. Raises ChildFailed."""
    speed = QUICK_SPEED if quick else SPEED
    with a_folder("install") as folder, simulator(folder / "kubeconfig", speed) as kubeconfig:
        async with _installation(folder, kubeconfig) as (installation, story):
            await installation.kubectl("apply", "-f", str(OVERLAYS.parent / "pool.yaml"))
            story.note("the Pool is applied")
            for wanted in (1, SIZE):
                await _available(installation, wanted)
                story.note(f"{wanted} available")
    return _table(story.reached, critical_path(Delays().scaled(speed)))


def _table(reached: dict[str, float], path: dict[str, float]) -> Table:
    total = sum(path.values())
    asked, ended = reached["the Pool is applied"], reached[f"{SIZE} available"]
    took = ended - asked
    ratio = f"from the Pool on {took:.1f} s, {took - total:.1f} s more, ratio {took / total:.2f}"
    table = Table(title=f"installed, and {SIZE} clusters", caption=f"sum of delays {total:.1f} s; {ratio}")
    for column in ("reached", "after", "delays on the way", "each"):
        table.add_column(column, justify="right")
    left, right = list(reached.items()), list(path.items())
    for row in range(max(len(left), len(right))):
        what, when = left[row] if row < len(left) else ("", None)
        why, each = right[row] if row < len(right) else ("", None)
        table.add_row(what, "" if when is None else f"{when:.1f} s", why, "" if each is None else f"{each:.1f} s")
    return table


@asynccontextmanager
async def _installation(folder: Path, kubeconfig: Path) -> AsyncIterator[tuple[Installation, Story]]:
    """Applied, and at work: Prefect's server, a worker and a gateway, started as soon as they could be."""
    kubectl, packages, port = Kubectl(kubeconfig, "", folder), unpacked(folder), free_port()
    prefect = f"http://127.0.0.1:{port}/api"
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(Kube.connect(kubeconfig))
        watching = await stack.enter_async_context(Watching(admin))
        story = Story()
        await kubectl("apply", "-k", str(OVERLAYS / "complete"))
        story.note("applied")
        installation = Installation(kubectl, admin, watching, kubeconfig, folder, prefect, packages)
        # No pod starts without them.
        await _done(await installation.run(SETUP, "secrets"))
        story.note("there are Secrets")
        auth = (await installation.secret(PREFECT))["PREFECT_API_AUTH_STRING"]

        async def server() -> None:
            database = await start_database(folder / "database", log=folder / "database.log", say=print)
            stack.push_async_callback(database.stop)
            log = folder / "server.log"
            child = await start_server(folder / "prefect", port, database_url=database.url, log=log, auth=auth)
            stack.push_async_callback(child.stop)
            story.note("Prefect answers")
            await _done(await installation.run(SETUP, "prefect"))
            story.note("Prefect is set up")

        async def gateway() -> None:
            await stack.enter_async_context(installation.gateway())
            story.note("the gateway is ready")

        async def worker() -> None:
            child, ready = await installation.worker()
            stack.push_async_callback(child.stop)
            await ready_or_stopped(child, ready, timeout=300)
            story.note("the worker polls")

        await gather(part() for part in (server, gateway, worker))
        yield installation, story


SETUP = "cks-pool-setup-0-1-0"


async def _done(child: Child) -> None:
    status = await child.process.wait()
    await child.stop()
    if status:
        raise ChildFailed(f"{child.name} ended with status {status}; its log says:\n{child.tail(20)}")


async def _available(installation: Installation, wanted: int) -> None:
    def check(pool: Object | None) -> bool | None:
        return True if ((pool or {}).get("status") or {}).get("available", 0) >= wanted else None

    what = f"{wanted} available clusters"
    await installation.watching.until(POOLS, "default", HOME, check, timeout=3600, what=what)

"""The story `make demo` tells: a pool is made, two sessions break their clusters, and get nothing back of it.

Every step is checked; the first that does not hold ends the story with its name.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import httpx

from demo.damage import Damage
from demo.runs import Runs, prefect_api
from demo.screen import Screen, StepFailed
from demo.stack import Stack
from flows.tables import console_table
from pool.core.clusters import PooledCluster
from pool.core.errors import UnknownPool
from pool.core.lifecycle import ClusterPhase
from pool.core.settings import Settings, settings_from_environment
from pool.kube.client import Kube
from pool.kube.resources import NAMESPACES, POOLED_CLUSTERS, VM_SNAPSHOTS, VMS
from pool.kube.watching import Watching
from pool.kubevirt.cluster import Cluster
from pool.state import PoolState

T = TypeVar("T")

BY_HTTP, BY_FLOW_RUN = "alice", "bob"
"""The sessions: one comes as a platform's backend does, the other by flow runs, as from Prefect's UI."""
RESET_STARTS = 20
"""Seconds until a reset is started of what was given back."""


async def tell(screen: Screen, stack: Stack) -> None:
    """Tell the story on a running stack, and show what it left."""
    # The settings of the pool come from the environment, as they do for the worker.
    os.environ.update({key: value for key, value in stack.environment.items() if key.startswith("CKS_POOL_")})
    settings = settings_from_environment()
    async with (
        prefect_api(stack.api_url) as client,
        httpx.AsyncClient(base_url=f"{stack.page_url}/api/v1", timeout=30.0, trust_env=False) as gateway,
        Kube.connect(settings.kubeconfig) as kube,
        Watching(kube) as watching,
    ):
        runs = Runs(client, stack.ui_url)
        story = Story(screen, runs, gateway, kube, watching, settings)
        await story.tell()
        screen.line()
        console_table(await story.state.clusters(), await story.state.stats(), screen.console)
        screen.line(f"\nWhat was run, in the Prefect UI: {stack.ui_url}/runs")
        for name, url in runs.urls:
            screen.line(f"  {name:26} {url}")


class Story:
    """Asks for things as users do, of the gateway and of Prefect, and looks at what came of it on the host."""

    def __init__(
        self, screen: Screen, runs: Runs, gateway: httpx.AsyncClient, kube: Kube, watching: Watching, settings: Settings
    ) -> None:
        self.screen = screen
        self.runs = runs
        self.gateway = gateway
        self.kube = kube
        self.watching = watching
        self.settings = settings
        self.state = PoolState(kube, settings, now=kube.now, watching=watching)

    async def tell(self) -> None:
        """All of it. Raises StepFailed at the first step that does not hold."""
        await self._make_the_pool()
        damages = {
            BY_HTTP: await self._session_breaks_its_cluster(BY_HTTP, f"POST /api/v1/sessions {BY_HTTP}", self._post),
            BY_FLOW_RUN: await self._session_breaks_its_cluster(
                BY_FLOW_RUN, f"assign-session {BY_FLOW_RUN}, a flow run", self._assign
            ),
        }
        await self._sessions_give_them_back(damages)
        await self._every_cluster_is_available()
        await self._maintenance_is_scheduled()

    async def _maintenance_is_scheduled(self) -> None:
        with self.screen.step("pool-maintenance is scheduled"):
            coming = await self.runs.scheduled("pool-maintenance")
        self.screen.note(f"next at {coming:%H:%M:%S} UTC, and every five minutes")

    async def _make_the_pool(self) -> None:
        with self.screen.step("create-namespaces"):
            await self._flow("create-namespaces")
            pool = await self.state.pool()
            size = pool.spec.size
            labelled = await self.kube.list(NAMESPACES, labels="cks.io/pool=default")
            self._expect(len(labelled) == size, f"{len(labelled)} namespaces are labelled, expected {size}")
        with self.screen.step(f"bootstrap-pool: {size} clusters, in parallel"):
            await self._flow("bootstrap-pool", golden_snapshots=False)
            vms = await self.kube.list(VMS)
            ready = [vm["metadata"]["name"] for vm in vms if vm.get("status", {}).get("ready")]
            self._expect(len(ready) == 2 * size, f"{len(ready)} of {2 * size} VMs are ready")
        with self.screen.step("create-golden-snapshots"):
            await self._flow("create-golden-snapshots")
            snapshots = await self.kube.list(VM_SNAPSHOTS)
            usable = [one for one in snapshots if one.get("status", {}).get("readyToUse")]
            self._expect(len(usable) == 2 * size, f"{len(usable)} of {2 * size} golden snapshots are ready to use")
            for number in range(1, size + 1):
                # Maintenance, on its schedule, may have come first with one of them.
                await self._phase(pool.cluster_name(number), ClusterPhase.AVAILABLE)
        await self._every_cluster_is_available()

    async def _post(self, session: str) -> None:
        await self._ask("POST", "/sessions", json={"sessionId": session, "ttlSeconds": 1800})

    async def _assign(self, session: str) -> None:
        await self.runs.run("assign-session", session_id=session, ttl_seconds=1800)

    async def _session_breaks_its_cluster(
        self, session: str, title: str, get: Callable[[str], Awaitable[None]]
    ) -> Damage:
        with self.screen.step(title):
            await get(session)
            held = await self.state.session(session)
            cluster_id = held.status.assigned_cluster
            self._expect(cluster_id is not None, f"session {session} is {held.status.phase}, without a cluster")
        assert cluster_id is not None
        cluster = await self.state.cluster(cluster_id)
        damage = Damage(self.kube, Cluster.of(cluster))
        with self.screen.step(f"{session} breaks {cluster_id} from the inside"):
            await damage.inflict()
            self._expect(
                len(await damage.remains()) == 3, "not all of it is to be seen, so its absence would prove nothing"
            )
        self.screen.note(damage.description)
        return damage

    async def _sessions_give_them_back(self, damages: dict[str, Damage]) -> None:
        clusters = ", ".join(damage.cluster.id for damage in damages.values())
        title = (
            f"DELETE /api/v1/sessions/{BY_HTTP}, release-session {BY_FLOW_RUN}; reset-cluster {clusters}, in parallel"
        )
        with self.screen.step(title):
            returns = (self._give_back(session, damage.cluster.id) for session, damage in damages.items())
            await self._follow(asyncio.gather(*returns))
        for damage in damages.values():
            with self.screen.step(f"{damage.cluster.id} is clean"):
                left = await damage.remains()
                self._expect(not left, f"still there after the reset: {', '.join(left)}")

    async def _give_back(self, session: str, cluster_id: str) -> None:
        if session == BY_HTTP:
            await self._ask("DELETE", f"/sessions/{session}")
        else:
            await self.runs.run("release-session", session_id=session)
        await self._reset_of(cluster_id)
        await self._phase(cluster_id, ClusterPhase.AVAILABLE)

    async def _ask(self, method: str, path: str, **content: Any) -> None:
        """Call the gateway. Raises AssertionError with what it says if it does not do it."""
        answer = await self.gateway.request(method, path, **content)
        self._expect(answer.is_success, f"the gateway answered {answer.status_code}: {answer.text[:300]}")

    async def _reset_of(self, cluster_id: str) -> None:
        """Wait for the reset that the release has started, or that the worker starts for it."""
        for _ in range(RESET_STARTS * 5):
            for run in await self.runs.of_deployment("reset-cluster"):
                if run["parameters"].get("cluster_id") == cluster_id:
                    self.runs.remember("reset-cluster", run)
                    await self.runs.finished(run["id"])
                    return
            await asyncio.sleep(0.2)
        raise StepFailed("reset-cluster", f"no reset of {cluster_id} was started within {RESET_STARTS} s")

    async def _phase(self, cluster_id: str, phase: ClusterPhase) -> None:
        def check(found: dict[str, Any] | None) -> bool | None:
            return True if found and found.get("status", {}).get("phase") == phase else None

        namespace = self.settings.namespace
        what = f"{cluster_id} to be {phase}"
        await self.watching.until(POOLED_CLUSTERS, cluster_id, namespace, check, timeout=60, what=what)

    async def _every_cluster_is_available(self) -> None:
        clusters = await self.state.clusters()
        phases = {cluster.name: str(cluster.status.phase) for cluster in clusters}
        wrong = {name: phase for name, phase in phases.items() if phase != ClusterPhase.AVAILABLE}
        expected = (await self.state.pool()).spec.size
        self._expect(not wrong and len(phases) == expected, f"expected {expected} available clusters, found {phases}")

    async def _flow(self, deployment: str, **parameters: Any) -> None:
        await self._follow(asyncio.ensure_future(self.runs.run(deployment, **parameters)))

    async def _follow(self, work: asyncio.Future[T]) -> T:
        """Await `work`, showing the clusters' phases beside the step's title meanwhile."""
        try:
            while not (await asyncio.wait([work], timeout=0.5))[0]:
                self.screen.detail(_phases(await self._pool_if_any()))
            return await work
        finally:
            work.cancel()

    async def _pool_if_any(self) -> Sequence[PooledCluster]:
        try:
            return await self.state.clusters()
        except UnknownPool:
            # The first flow is about to make it.
            return []

    @staticmethod
    def _expect(holds: bool, otherwise: str) -> None:
        if not holds:
            raise AssertionError(otherwise)


def _phases(clusters: Sequence[PooledCluster]) -> str:
    return "  ".join(f"{cluster.name} {cluster.status.phase}" for cluster in clusters)

"""Any order of assignments, releases, crashes, takeovers and clock jumps, over HTTP; after every step nothing is wrong.

never        two sessions with the same cluster at the same epoch
never        a cluster available, or handed out, that was used since it was last attested
never        an epoch that goes back
never        a stale run that changes anything
never        a locked cluster reset by anybody but its session, its clock, or force
in the end   maintenance brings every cluster and session to rest, both sides agreeing
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pool.core.clusters import OperationKind, PooledCluster
from pool.core.errors import (
    IllegalTransition,
    NoClusterAvailable,
    NotHolder,
    OperationInProgress,
    StaleOperation,
    UnknownCluster,
    UnknownPool,
    UnknownSession,
)
from pool.core.planner import Observed, PlanConfig, plan
from pool.core.planner.actions import CreateMissing, RemoveSurplus
from pool.core.sessions import Session
from pool.core.settings import Settings
from pool.kube.client import Object
from pool.kube.resources import NAMESPACES, POOLED_CLUSTERS, SESSIONS
from pool.state import OperationHandle
from simulator.app import Simulator
from tests.pool.builders import pool
from tests.pool.lab import ATTESTED, CountingKube, Lab, begin, check_holdings

T = TypeVar("T")

NAMES = st.sampled_from(["ann", "bob", "cid"])
CLUSTERS = st.sampled_from(["cluster1", "cluster2", "cluster3"])
KINDS = st.sampled_from(list(OperationKind))
CRASHES = st.sampled_from([None, None, 1, 2, 3])
JUMPS = st.sampled_from([5, 30, 61, 700, 30_000])

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking: over HTTP that outlasts the test's timeout, and then nothing is shown at all."""

REFUSALS = (
    IllegalTransition,
    NoClusterAvailable,
    NotHolder,
    OperationInProgress,
    UnknownCluster,
    UnknownPool,
    UnknownSession,
)
"""What callers may be told; anything else is a fault."""


class Crash(BaseException):
    """The process dies here."""


class CrashingKube(CountingKube):
    """The real client; after so many answered writes its process is dead."""

    left: int | None = None

    async def request(self, method: str, path: str, *args: Any, **kwargs: Any) -> Object:
        if self.left == 0:
            raise Crash
        answer = await super().request(method, path, *args, **kwargs)
        if self.left is not None and method != "GET" and "/events" not in path:
            self.left -= 1
            if self.left == 0:
                raise Crash
        return answer


class World:
    """One event loop and one API server for all examples; each example has a namespace of its own."""

    numbers = itertools.count()

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.folder = tempfile.TemporaryDirectory()
        self.kubeconfig = Path(self.folder.name) / "kubeconfig"
        self.runner.run(self._start())

    async def _start(self) -> None:
        await self.stack.enter_async_context(Simulator(controllers=False, kubeconfig=self.kubeconfig))
        await self.stack.enter_async_context(Lab.open(self.kubeconfig))

    def close(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    async def lab(self, stack: AsyncExitStack) -> Lab:
        own = Settings(namespace=f"pool-{next(self.numbers)}")
        lab = await stack.enter_async_context(Lab.open(self.kubeconfig, own, install=False))
        await lab.kube.create(NAMESPACES, NAMESPACES.manifest(own.namespace))
        kube = await stack.enter_async_context(CrashingKube.connect(self.kubeconfig))
        assert isinstance(kube, CrashingKube)
        lab.kube = kube
        lab.state = lab.another(watching=None)
        return lab


class PoolMachine(RuleBasedStateMachine):
    """The rules are what people, flows and fate do; `look` is what must hold after each."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.stack = AsyncExitStack()
        self.lab = self.run(self.world.lab(self.stack))
        self.runs = itertools.count()
        self.handles: list[OperationHandle] = []
        self.owners: dict[tuple[str, int], str] = {}
        self.seen: dict[str, PooledCluster] = {}
        self.pool = self.run(self.lab.state.ensure_pool())
        self.dirty: set[str] = set()
        self.tainted: set[tuple[str, str]] = set()
        """Clusters and runs: what the run had restored could be used before its end."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.world.runner.run(work)

    def attempt(self, work: Coroutine[Any, Any, T], crash: int | None = None) -> T | None:
        """Do it, perhaps dying after so many writes; refusals are fine, faults are not."""
        kube = self.lab.kube
        assert isinstance(kube, CrashingKube)
        kube.left = crash
        self.lab.clock.forward(1)
        try:
            return self.run(work)
        except (*REFUSALS, Crash):
            return None
        finally:
            kube.left = None

    @initialize(size=st.integers(1, 2))
    def make(self, size: int) -> None:
        self.run(self.lab.pool(size))

    @rule(
        name=NAMES,
        ttl=st.sampled_from([None, 60, 100_000]),
        priority=st.integers(-1, 1),
        silence=st.sampled_from([None, None, 60]),
        crash=CRASHES,
    )
    def assign(self, name: str, ttl: int | None, priority: int, silence: int | None, crash: int | None) -> None:
        assign = self.lab.state.assign(name, ttl_seconds=ttl, priority=priority, heartbeat_timeout_seconds=silence)
        got = self.attempt(assign, crash)
        if got is not None:
            assert self.attempt(self.lab.state.assign(name)) == got

    @rule(name=NAMES)
    def a_session_comes_and_goes(self, name: str) -> None:
        """Without a hitch: the common case, so that long histories are had."""
        self.attempt(self.lab.state.assign(name))
        self.look()
        self.attempt(self.lab.state.release(name))

    @rule(crash=CRASHES)
    def resets_run(self, crash: int | None) -> None:
        for cluster in self.seen.values():
            if cluster.phase == "resetting" and cluster.status.golden and not cluster.status.assigned_session:
                self.attempt(self.lab.reset(cluster.name, f"run{next(self.runs)}"), crash)
                self.look()

    @rule(name=NAMES, epoch=st.sampled_from([None, None, 0]), crash=CRASHES)
    def release(self, name: str, epoch: int | None, crash: int | None) -> None:
        self.attempt(self.lab.state.release(name, epoch=epoch), crash)

    @rule(name=NAMES, seconds=st.sampled_from([60, 100_000]), crash=CRASHES)
    def extend(self, name: str, seconds: int, crash: int | None) -> None:
        self.attempt(self.lab.state.extend(name, seconds), crash)

    @rule(name=NAMES)
    def heartbeat(self, name: str) -> None:
        self.attempt(self.lab.state.heartbeat_session(name))

    @rule(crash=CRASHES)
    def end_due(self, crash: int | None) -> None:
        self.attempt(self.lab.end_due(), crash)

    @rule(crash=CRASHES)
    def serve_queue(self, crash: int | None) -> None:
        self.attempt(self.lab.state.serve_queue(), crash)

    @rule(seconds=JUMPS)
    def time_passes(self, seconds: float) -> None:
        self.lab.clock.forward(seconds)

    @rule(name=NAMES)
    def an_operator_deletes_the_session(self, name: str) -> None:
        self.run(self.lab.kube.delete(SESSIONS, name, self.lab.settings.namespace))

    @rule(name=CLUSTERS, cordoned=st.booleans())
    def an_operator_cordons(self, name: str, cordoned: bool) -> None:
        if name in self.seen:
            patch: Object = {"spec": {"cordoned": cordoned}}
            self.run(self.lab.kube.patch(POOLED_CLUSTERS, name, patch, self.lab.settings.namespace))

    @rule(size=st.integers(1, 3), crash=CRASHES)
    def the_pool_is_resized(self, size: int, crash: int | None) -> None:
        """As maintenance would: what is missing is made, what is too much and nobody holds is removed."""
        held = {cluster.name for cluster in self.seen.values() if cluster.phase == "locked"}
        wanted = plan(Observed.of(pool(size=size), [], self.seen.values()), PlanConfig(), self.lab.clock())
        for action in wanted:
            if isinstance(action, CreateMissing):
                self.attempt(self.lab.state.ensure_cluster(self.pool, action.cluster_id), crash)
            elif isinstance(action, RemoveSurplus):
                self.attempt(self._remove(action.cluster_id), crash)
            self.look()
        assert held <= self.seen.keys()

    async def _remove(self, name: str) -> None:
        await self.lab.state.delete_cluster(await self.lab.state.cluster(name))
        handle = await self.lab.begin(name, OperationKind.TEARDOWN, f"run{next(self.runs)}")
        await handle.remove()

    @rule(name=CLUSTERS, kind=KINDS, force=st.sampled_from([False, False, True]), crash=CRASHES)
    def begin(self, name: str, kind: OperationKind, force: bool, crash: int | None) -> None:
        before = self.seen.get(name)
        handle = self.attempt(self.lab.begin(name, kind, f"run{next(self.runs)}", force=force), crash)
        if handle is not None:
            assert force or before is None or before.phase != "locked"
            self.handles.append(handle)

    @rule(crash=CRASHES)
    def silent_runs_are_taken_over(self, crash: int | None) -> None:
        self.lab.clock.forward(self.lab.settings.operation_grace)
        for cluster in self.seen.values():
            if cluster.status.operation is not None:
                kind = cluster.status.operation.kind
                handle = self.attempt(self.lab.begin(cluster.name, kind, f"run{next(self.runs)}"), crash)
                self.handles += [handle] if handle is not None else []

    @rule(name=NAMES, crash=CRASHES)
    def reset_in_place(self, name: str, crash: int | None) -> None:
        for cluster in self.seen.values():
            if cluster.status.assigned_session == name:
                begin = self.lab.begin(cluster.name, OperationKind.RESET, f"run{next(self.runs)}", session_id=name)
                handle = self.attempt(begin, crash)
                self.handles += [handle] if handle is not None else []

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), how=st.sampled_from(["beat", "finish", "attest", "fail", "final", "remove"]), crash=CRASHES)
    def a_run_goes_on(self, data: st.DataObject, how: str, crash: int | None) -> None:
        handle = data.draw(st.sampled_from(self.handles))
        cluster = self.seen.get(handle.cluster_id)
        golden = cluster is not None and cluster.status.golden is not None
        work: Coroutine[Any, Any, Any]
        if how == "beat":
            work = handle.heartbeat()
        elif how == "remove" and handle.ownership.kind is OperationKind.TEARDOWN:
            work = handle.remove()
        elif how == "attest" and golden and handle.ownership.kind is not OperationKind.TEARDOWN:
            work = handle.finish(attested=ATTESTED)
        elif how in ("fail", "final"):
            work = handle.fail("Trouble", "of some kind", final=how == "final")
        else:
            work = handle.finish()
        before = self.seen
        operation = cluster.status.operation if cluster is not None else None
        owner = operation is not None and operation.run_id == handle.run_id
        try:
            done = self.attempt(work, crash)
            assert owner or done is None, f"{handle.run_id} wrote, though it does not own {handle.cluster_id}"
        except StaleOperation:
            self.look()
            assert self.seen == before

    @invariant()
    def look(self) -> None:
        sessions, clusters = self.run(self._read())
        for session in sessions:
            if session.phase == "Active":
                key = (session.status.assigned_cluster or "", session.status.epoch or 0)
                assert self.owners.setdefault(key, session.metadata.uid) == session.metadata.uid, f"{key} given twice"
        active = {session.metadata.uid for session in sessions if session.phase == "Active"}
        for cluster in clusters:
            self._look_at(cluster, active)
        for gone in self.seen.keys() - {cluster.name for cluster in clusters}:
            self.dirty.discard(gone)
            self.owners = {key: owner for key, owner in self.owners.items() if key[0] != gone}
        self.seen = {cluster.name: cluster for cluster in clusters}

    async def _read(self) -> tuple[list[Session], list[PooledCluster]]:
        return await self.lab.state.sessions(), await self.lab.state.clusters()

    def _look_at(self, cluster: PooledCluster, active: set[str]) -> None:
        status, before = cluster.status, self.seen.get(cluster.name)
        if before is not None:
            assert status.epoch >= before.status.epoch
            run = before.status.operation.run_id if before.status.operation else ""
            if status.last_reset != before.status.last_reset and (cluster.name, run) not in self.tainted:
                self.dirty.discard(cluster.name)
            kept = status.assigned_session_uid == before.status.assigned_session_uid
            if status.epoch > before.status.epoch and not kept:
                assert cluster.name not in self.dirty, f"{cluster.name} handed out as it was used"
        assert status.clean == (status.phase == "available")
        if status.clean:
            assert cluster.name not in self.dirty, f"{cluster.name} clean as it was used"
            assert status.golden is not None
        if status.assigned_session_uid in active:
            self.dirty.add(cluster.name)
            if status.operation is not None:
                self.tainted.add((cluster.name, status.operation.run_id))

    def teardown(self) -> None:
        self.run(self._come_to_rest())
        self.run(self.stack.aclose())

    async def _come_to_rest(self) -> None:
        """What maintenance does, until nothing is left to do."""
        state = self.lab.state
        self.lab.clock.forward(self.lab.settings.operation_grace)
        # A claim whose cluster is reset in place needs some: taken over, bound, expired, reset.
        for turn in range(6):
            await state.serve_queue()
            await self.lab.end_due()
            for cluster in await state.clusters():
                # One in place is its session's, which may not even be active yet: the run that died is taken over.
                begun = cluster.status.operation is not None or not cluster.status.assigned_session
                if cluster.removing and not cluster.status.assigned_session:
                    await (await begin(state, cluster.name, OperationKind.TEARDOWN, f"rest{turn}")).remove()
                elif cluster.phase == "resetting" and cluster.status.golden and begun:
                    await self._reset(cluster.name, f"rest{turn}")
        check_holdings(*await self._read())

    async def _reset(self, name: str, run: str) -> None:
        with suppress(OperationInProgress):
            await self.lab.reset(name, run)


def test_no_order_of_events_gets_the_pool_wrong() -> None:
    PoolMachine.world = World()
    try:
        examples = max(20, settings().max_examples // 5)
        run_state_machine_as_test(
            PoolMachine, settings=settings(max_examples=examples, stateful_step_count=50, deadline=None, phases=PHASES)
        )
    finally:
        PoolMachine.world.close()

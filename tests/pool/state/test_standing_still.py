"""A process that stands still before one of its calls, and goes on when the cluster and the ID are somebody else's.

Meanwhile what it works on ends, the cluster is reset, and a namesake of its session gets it. Whatever the process does
then, the namesake keeps what it has, and nothing has to mend that.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from pool.core.clusters import OperationKind
from pool.core.errors import PoolError
from pool.core.sessions import Session
from pool.core.settings import Settings
from pool.kube.client import Kube, Object
from pool.kube.resources import NAMESPACES, SESSIONS
from pool.state import PoolState
from simulator.app import Simulator
from tests.pool.lab import ATTESTED, Lab
from tests.pool.state.test_leasing import _locked, claimed

NUMBERS = itertools.count()


class StallingKube(Kube):
    """The real client; before its call number `at`, events left out, the world goes on."""

    at = 0
    calls = 0
    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def request(self, method: str, path: str, *args: Any, **kwargs: Any) -> Object:
        if "/events" not in path:
            self.calls += 1
            if self.calls == self.at and self.meanwhile is not None:
                await self.meanwhile()
        return await super().request(method, path, *args, **kwargs)


async def waits(lab: Lab) -> None:
    await claimed(lab, "alice")


async def is_locked_for(lab: Lab) -> None:
    await _locked(lab, "cluster1", await claimed(lab, "alice"))


async def holds_it(lab: Lab) -> None:
    await lab.state.assign("alice")


async def is_gone(lab: Lab) -> None:
    await lab.state.assign("alice")
    await lab.kube.delete(SESSIONS, "alice", lab.settings.namespace)


async def left(lab: Lab) -> None:
    await lab.state.assign("alice")
    await lab.state.release("alice")


async def assign(state: PoolState) -> None:
    await state.assign("alice")


async def help_out(state: PoolState) -> None:
    await state.serve_queue()


async def extend(state: PoolState) -> None:
    await state.extend("alice", 600)


async def expire(state: PoolState) -> None:
    await state.expire("alice")


async def reset(state: PoolState) -> None:
    async with state.operation("cluster1", OperationKind.RESET, "asleep") as work:
        await work.finish(attested=ATTESTED)


async def reset_in_place(state: PoolState) -> None:
    session = await state.session("alice")
    epoch = session.status.epoch
    async with state.operation("cluster1", OperationKind.RESET, "asleep", session_id="alice", epoch=epoch) as work:
        await work.finish(attested=ATTESTED)


async def _goes_to_a_namesake(lab: Lab) -> Session:
    """What the session has ends, its ID becomes free, the cluster is made clean, and the ID is used again."""
    await lab.silence()
    for session in await lab.state.sessions():
        if not session.phase.ended:
            await lab.state.release(session.name)
    await lab.state.serve_queue()
    for session in await lab.state.sessions():
        await lab.state.remove_ended_session(session)
    if (await lab.state.cluster("cluster1")).phase == "resetting":
        await lab.reset("cluster1")
    return await lab.state.assign("alice")


@pytest.mark.parametrize(
    ("before", "does"),
    [
        (waits, assign),
        (is_locked_for, assign),
        (waits, help_out),
        (is_locked_for, help_out),
        (is_gone, help_out),
        (holds_it, extend),
        (holds_it, expire),
        (holds_it, reset_in_place),
        (left, reset),
    ],
    ids=lambda one: one.__name__,
)
async def test_who_stood_still_takes_nothing_from_who_came_since(
    api_server: Simulator, before: Callable[[Lab], Awaitable[None]], does: Callable[[PoolState], Awaitable[None]]
) -> None:
    assert api_server.kubeconfig_path is not None
    async with Lab.open(api_server.kubeconfig_path):
        at = 0
        while await _stood_still(api_server.kubeconfig_path, at := at + 1, before, does):
            pass
        assert at > 2


async def _stood_still(
    kubeconfig: Path, at: int, before: Callable[[Lab], Awaitable[None]], does: Callable[[PoolState], Awaitable[None]]
) -> bool:
    """Whether it has so many calls."""
    settings = Settings(namespace=f"still-{next(NUMBERS)}")
    async with AsyncExitStack() as stack:
        lab = await stack.enter_async_context(Lab.open(kubeconfig, settings, install=False))
        await lab.kube.create(NAMESPACES, NAMESPACES.manifest(settings.namespace))
        await lab.pool(1)
        await before(lab)
        kube = await stack.enter_async_context(StallingKube.connect(kubeconfig))
        assert isinstance(kube, StallingKube)
        came: list[Session] = []

        async def meanwhile() -> None:
            came.append(await _goes_to_a_namesake(lab))

        kube.calls, kube.at, kube.meanwhile = 0, at, meanwhile
        with suppress(PoolError):
            await does(PoolState(kube, settings, now=lab.clock))
        if not came:
            return False
        now = await lab.state.session("alice")
        assert (now.metadata.uid, now.phase) == (came[0].metadata.uid, "Active"), f"stood still before call {at}"
        await lab.check()
        return True

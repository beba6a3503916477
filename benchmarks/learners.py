"""Learners of the soak: session after session, each with a look for what an earlier one left."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from datetime import timedelta

from benchmarks.promises import Story
from benchmarks.waits import TooLate
from demo.learner import connect_guest
from pool.core.errors import AlreadyExists, PoolError
from pool.core.lifecycle import SessionPhase
from pool.core.sessions import Session
from pool.kube.client import Kube
from pool.kube.resources import CONFIG_MAPS
from pool.kubevirt.cluster import Cluster
from pool.state import PoolState

LEARNERS = 14
TTL, WAIT = 60, 60
TURN = 400.0
"""Seconds that one learner's turn can take at most, with the host away for forty of them at any point."""
MARGIN = timedelta(seconds=15)
"""Nobody touches a cluster in the last seconds of a session: what is sent then may arrive in somebody else's."""
MARKER = CONFIG_MAPS.manifest("a-learner-was-here", "default", data={})


async def learn(number: int, kube: Kube, state: PoolState, story: Story, chance: random.Random, end: float) -> None:
    """Session after session until shortly before the end: some give back, some overstay. Raises TooLate."""
    turn = 0
    while time.monotonic() < end - TTL:
        turn += 1
        try:
            async with asyncio.timeout(TURN):
                await _turn(f"s{number}-{turn}", kube, state, story, chance)
        except TimeoutError:
            raise TooLate(f"session s{number}-{turn} was asked for, used and left: not within {TURN:g} s") from None


async def _turn(name: str, kube: Kube, state: PoolState, story: Story, chance: random.Random) -> None:
    stays, gives_back = chance.uniform(2, 30), chance.random() < 0.6
    try:
        session = await state.assign(name, ttl_seconds=TTL, wait_seconds=WAIT)
    except PoolError:
        await asyncio.sleep(1)
        return
    story.sessions += 1
    with suppress(PoolError):
        await _use(kube, state, session, story)
    await asyncio.sleep(stays)
    if gives_back:
        with suppress(PoolError):
            await state.release(name)


async def _use(kube: Kube, state: PoolState, session: Session, story: Story) -> None:
    """Leave a mark in the cluster, in which there must be none. Raises PoolError when it cannot be looked."""
    held = session.status.assigned_cluster or ""
    async with connect_guest(kube, Cluster.of(await state.cluster(held))) as guest:
        if session.status.expires_at is None or session.status.expires_at - kube.now() < MARGIN:
            return
        try:
            await guest.create(CONFIG_MAPS, MARKER, "default")
        except AlreadyExists:
            # Not its own: it looks once, and tries nothing again.
            now = next(one for one in await state.sessions() if one.name == session.name)
            if now.phase is SessionPhase.ACTIVE:
                story.broken.append(f"{session.name} found in {held} what an earlier session left")
    story.checked += 1

"""The host as commands use it: opened for one command, with less patience than long work has."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from cks_pool.options import Where
from pool.core.clusters import PooledCluster
from pool.core.errors import UnknownCluster, UnknownPool, UnknownSession
from pool.core.pools import Pool
from pool.core.sessions import Session
from pool.core.settings import settings_from_environment
from pool.work.opening import opened
from pool.work.steps import Host

PATIENCE = 10.0
"""Seconds for which a call that can pass is tried again: somebody waits in front of a screen."""
SHOWN = 20
"""Names that an error lists at most."""


@asynccontextmanager
async def host_at(where: Where, *, patience: float = PATIENCE, any_kinds: bool = False) -> AsyncIterator[Host]:
    """The host that the options name. Raises InvalidInput, KubeconfigError, ApiUnavailable; WrongVersion, unless
    `any_kinds`."""
    with where.applied():
        settings = settings_from_environment()
    with _silent_retries():
        async with opened(settings, patience=patience, any_kinds=any_kinds) as host:
            yield host


@contextmanager
def _silent_retries() -> Iterator[None]:
    """What is tried again is no line on a terminal: what comes of it in the end is."""
    log = logging.getLogger("stamina")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


async def pool_named(host: Host, name: str) -> Pool:
    """The Pool. Raises UnknownPool, which says what Pools there are."""
    try:
        return await host.state.pool(name)
    except UnknownPool as error:
        # A kind that is not installed is said as it is.
        names = await host.state.pool_names() if error.actual == "none" else []
        if not names:
            raise
        raise UnknownPool(error.what, expected=one_of(names), cure="name it by --pool") from error


async def cluster_named(host: Host, name: str) -> PooledCluster:
    """The cluster. Raises InvalidInput; UnknownCluster, which says what clusters there are."""
    try:
        return await host.state.cluster(name)
    except UnknownCluster as error:
        names = [one.name for one in await host.state.clusters()]
        raise UnknownCluster(error.what, expected=one_of(names), cure="cks-pool status shows them") from error


async def session_named(host: Host, name: str) -> Session:
    """The session. Raises InvalidInput; UnknownSession, which says what sessions there are."""
    try:
        return await host.state.session(name)
    except UnknownSession as error:
        names = [one.name for one in await host.state.sessions() if not one.phase.ended]
        raise UnknownSession(error.what, expected=one_of(names), cure="cks-pool sessions shows them") from error


def one_of(names: list[str]) -> str:
    """The names there are, in words."""
    more = len(names) - SHOWN
    shown = ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"one of {shown}" if names else "one that is there, and there is none"

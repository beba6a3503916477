"""The host opened: one connection, its watches and the pool's state on it, for whoever works with it.

It knows no Prefect: what a flow run adds (its tasks, its log, Prefect's events) is passed in.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from pool.core.settings import Settings
from pool.kube.client import Kube
from pool.kube.watching import Watching
from pool.state import PoolState
from pool.state.events import Listener
from pool.work.namespaces.kinds import check_kinds
from pool.work.steps import Host, RunStep, plainly

logger = logging.getLogger(__name__)


@asynccontextmanager
async def opened(
    settings: Settings,
    *,
    patience: float | None = None,
    listener: Listener | None = None,
    run_step: RunStep = plainly,
    warn: Callable[[str], None] = logger.warning,
    any_kinds: bool = False,
) -> AsyncIterator[Host]:
    """The host that the settings name, while entered.

    `patience`: seconds for which a call that can pass is tried again (None: Kube's own). `listener` is told each
    transition after it was written, `run_step` carries out the steps of long work, `warn` tells in a line whoever
    follows it. `any_kinds`: whatever is installed of our kinds, for who is to mend that. Raises KubeconfigError or
    ApiUnavailable when the host cluster cannot be reached, WrongVersion if its kinds do not do for this code.
    """
    connect = Kube.connect(
        settings.kubeconfig,
        context=settings.context,
        request_timeout=settings.request_timeout,
        patience=patience,
    )
    async with (
        connect as kube,
        Watching(kube) as watching,
        aclosing(PoolState(kube, settings, now=kube.now, watching=watching, events=listener)) as state,
    ):
        if not any_kinds:
            await check_kinds(kube)
        yield Host(settings, kube, watching, state, run_step=run_step, warn=warn)

"""Long work: flows in this process (`run`), or as runs that a worker takes (`reset`, `rebuild`, `maintain`)."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter

from cks_pool.completion import flows
from cks_pool.deployed import FLOWS
from cks_pool.errors import BadInput, Failed, complain
from cks_pool.formats import columns, say, short_seconds
from cks_pool.hosts import cluster_named, host_at, pool_named, session_named
from cks_pool.options import HERE, AnyPool, ClusterName, SessionName, Where
from cks_pool.parameters import as_typed
from cks_pool.prefect_api import carry_out, no_server_of_its_own, prefect_api
from pool.core.clusters import PooledCluster
from pool.core.errors import PoolError
from pool.core.lifecycle import ClusterPhase
from pool.work.upkeep import make_plan

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State
    from prefect.flows import Flow

NoWait = Annotated[bool, Parameter(name="--no-wait", help="Say where the run is to be seen, and leave it to it.")]
PLAN = ("POOL", "ACTION", "WHAT")


async def reset(
    cluster: Annotated[ClusterName | None, Parameter(help="The cluster's name; a session's own if left out.")] = None,
    /,
    *,
    session: Annotated[SessionName | None, Parameter(help="Reset in place: this session keeps its cluster.")] = None,
    force: Annotated[bool, Parameter(help="Take a held cluster from its session, which is ended.")] = False,
    no_wait: NoWait = False,
    where: Where = HERE,
) -> None:
    """Restore a cluster from its golden snapshots, and prove that it is clean."""
    async with host_at(where) as host:
        epoch = None
        if session is not None:
            holder = (await session_named(host, session)).status
            held, epoch = holder.assigned_cluster, holder.epoch
            if held is None:
                raise BadInput(f"session {session} has no cluster; cks-pool sessions shows which do")
            if cluster not in (None, held):
                raise BadInput(f"session {session} has {held}, not {cluster}; leave out the cluster's name")
            cluster = held
        if cluster is None:
            raise BadInput("no cluster is named; write its name, or --session ID for a reset in place")
        found = await cluster_named(host, cluster)
        if session is None and not force:
            _check_free(found, "--session resets it in place, --force takes it away")
        elif session is None:
            epoch = found.status.epoch
    # By the time the run begins the cluster may be another session's, or the same one's anew.
    asked = {"cluster_id": cluster, "session_id": session, "force": force, "epoch": epoch}
    await carry_out("reset-cluster", asked, wait=not no_wait)


async def rebuild(cluster: ClusterName, /, *, no_wait: NoWait = False, where: Where = HERE) -> None:
    """Make an idle or broken cluster anew from the golden image."""
    async with host_at(where) as host:
        _check_free(await cluster_named(host, cluster), "release that first, or cordon the cluster and wait")
    await carry_out("rebuild-cluster", {"cluster_id": cluster}, wait=not no_wait)


def _check_free(cluster: PooledCluster, cure: str) -> None:
    """Raises BadInput for a cluster that a session holds: the run would be refused as well, minutes later perhaps."""
    if cluster.phase is ClusterPhase.LOCKED:
        raise BadInput(f"{cluster.name} is held by session {cluster.status.assigned_session}; {cure}")


async def maintain(
    *,
    pool: AnyPool = None,
    dry_run: Annotated[bool, Parameter(name="--dry-run", help="Print the plan only; nothing is changed.")] = False,
    no_wait: NoWait = False,
    where: Where = HERE,
) -> None:
    """Have what the Pools need done now: size, health, expiry, stuck work, leftovers, the queue."""
    async with host_at(where) as host:
        names = [(await pool_named(host, pool)).name] if pool is not None else await host.state.pool_names()
        rows = []
        for name in names if dry_run else ():
            actions = await make_plan(host, await host.state.pool(name))
            rows += [(name, type(action).__name__, str(action)) for action in actions]
    if dry_run:
        say(columns(PLAN, rows) if rows else "nothing to do")
        return
    await carry_out("pool-maintenance", {"pool": pool}, wait=not no_wait)


def run(
    flow: Annotated[str, Parameter(help=f"One of {', '.join(FLOWS)}.", completer=flows)],
    /,
    *parameters: Annotated[str, Parameter(name="NAME=VALUE", help="The flow's parameters, values as YAML.")],
    where: Where = HERE,
) -> int:
    """Run a flow in this process, recorded by Prefect's server."""
    from flows.signals import Stopped, run_beside_signals

    if flow not in FLOWS:
        raise BadInput(f"no flow {flow}; there are {', '.join(FLOWS)}")
    try:
        with where.applied(), _progress(flow):
            say(run_beside_signals(lambda: _run(flow, parameters)))
    except Stopped as stopped:
        fate = "its run is Crashed; a cluster that it worked on is taken over by maintenance, or by running it again"
        complain(f"{flow} was stopped by {stopped}: {fate}")
        return 128 + stopped.number
    return 0


async def _run(name: str, texts: tuple[str, ...]) -> str:
    """Run the flow; returns what its state says. Raises BadInput, PoolError, Failed."""
    no_server_of_its_own()
    from prefect.flows import load_flow_from_entrypoint

    flow: Flow[..., Any] = load_flow_from_entrypoint(FLOWS[name], use_placeholder_flow=False)
    parameters = as_typed(texts)
    _check(flow, parameters)
    async with prefect_api():
        pass  # There is one: the engine would say so in sixty lines.
    state: State[Any] = await cast(Any, flow)(**parameters, return_state=True)
    if state.is_completed():
        return str(state.message or state.name)
    error = await state.aresult(raise_on_failure=False)
    if isinstance(error, PoolError):
        raise error
    raise Failed(f"{name} is {state.name}: {state.message}")


def _check(flow: Flow[..., Any], parameters: dict[str, Any]) -> None:
    from prefect.exceptions import ParameterTypeError, SignatureMismatchError
    from prefect.utilities.callables import get_call_parameters

    try:
        flow.validate_parameters(get_call_parameters(flow.fn, (), parameters))
    except (SignatureMismatchError, ParameterTypeError, TypeError) as error:
        raise BadInput(f"{flow.name}: {' '.join(str(error).split())}") from None


@contextmanager
def _progress(flow: str) -> Iterator[None]:
    """On a terminal, the newest line of the run's log in place of all of them; warnings stay."""
    if not sys.stderr.isatty():
        yield
        return
    no_server_of_its_own()
    from prefect.logging.configuration import setup_logging
    from rich.console import Console

    setup_logging()
    root = logging.getLogger()
    before = root.handlers
    with Console(stderr=True).status(flow) as status:
        root.handlers = [_Newest(flow, status)]
        try:
            yield
        finally:
            root.handlers = before


class _Newest(logging.Handler):
    """Shows what was logged last."""

    def __init__(self, flow: str, status: Any) -> None:
        super().__init__()
        self._flow, self._status, self._begun = flow, status, time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        from rich.markup import escape

        text = escape(record.getMessage())
        if record.levelno >= logging.WARNING:
            self._status.console.print(text)
        else:
            self._status.update(f"{self._flow} {short_seconds(time.monotonic() - self._begun)}  {text}")

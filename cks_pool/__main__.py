"""The `cks-pool` command: look at the pool, and run its flows from a shell.

Exit status: 0 done; 1 the flow failed; 2 bad input or a part that cannot be reached, with one line that names the cure;
130 and 143 a flow that was stopped by Ctrl-C or SIGTERM, with one line that says what becomes of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any, cast

import yaml

from pool.core.contract import ClusterPool, ClusterPoolStats
from pool.core.errors import PoolError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State
    from prefect.flows import Flow
    from pydantic_settings import BaseSettings

FLOWS = {
    "create-namespaces": "flows.namespaces:create_namespaces",
    "bootstrap-pool": "flows.bootstrap:bootstrap_pool",
    "create-golden-snapshots": "flows.golden:create_golden_snapshots",
    "reset-cluster": "flows.reset:reset_cluster",
    "assign-session": "flows.sessions:assign_session",
    "release-session": "flows.sessions:release_session",
    "extend-session": "flows.sessions:extend_session",
    "heartbeat-session": "flows.sessions:heartbeat_session",
    "pool-maintenance": "flows.maintenance:pool_maintenance",
    "pool-status": "flows.status:pool_status",
    "release-all-clusters": "flows.admin:release_all_clusters",
    "rebuild-cluster": "flows.admin:rebuild_cluster",
    "teardown-pool": "flows.admin:teardown_pool",
}


def main(argv: list[str] | None = None) -> int:
    """Entry point of the console script."""
    arguments = _parser().parse_args(argv)
    try:
        if "flow_run" in arguments:
            return _until_signal(arguments)
        return int(asyncio.run(arguments.command(arguments)))
    except (PoolError, BadInput) as error:
        print(f"cks-pool: {error}", file=sys.stderr)  # noqa: T201 - a command's output
        return 2


def _until_signal(arguments: argparse.Namespace) -> int:
    from flows.signals import Stopped, run_beside_signals

    try:
        return run_beside_signals(lambda: _run(arguments))
    except Stopped as stopped:
        fate = "its run is Crashed; a cluster that it worked on is taken over by maintenance, or by running it again"
        print(f"cks-pool: {arguments.flow} was stopped by {stopped}: {fate}", file=sys.stderr)  # noqa: T201
        return 128 + stopped.number


class BadInput(Exception):
    """The command line cannot be carried out as it is; the message names the cure."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("cks-pool", description="A pool of ready, disposable Kubernetes clusters.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="print a pool's clusters and counts")
    status.add_argument("--pool", default="default", metavar="NAME", help="which Pool (default: %(default)s)")
    status.add_argument("--json", action="store_true", help="the platform's JSON contract instead of a table")
    status.set_defaults(command=_status)
    settings = commands.add_parser("settings", help="print every setting with its default and meaning, as markdown")
    settings.set_defaults(command=_settings)
    run = commands.add_parser("run", help="run a flow in this process, recorded by the Prefect server")
    run.add_argument("flow", choices=FLOWS, metavar="FLOW", help=", ".join(FLOWS))
    run.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="the flow's parameters, values as YAML")
    run.set_defaults(command=_run, flow_run=True)
    return parser


async def _status(arguments: argparse.Namespace) -> int:
    from flows.runtime import connected
    from flows.tables import console_table

    async with connected() as host:
        pool = await host.state.pool(arguments.pool)
        clusters = await host.state.clusters(pool.name)
    stats = ClusterPoolStats.of(clusters)
    if arguments.json:
        content = {
            "clusters": [ClusterPool.of(cluster).model_dump(mode="json", by_alias=True) for cluster in clusters],
            "stats": stats.model_dump(mode="json", by_alias=True),
        }
        print(json.dumps(content, indent=2))  # noqa: T201
    else:
        console_table(clusters, stats)
    return 0


async def _settings(_arguments: argparse.Namespace) -> int:
    from pool.core.settings import Settings

    print(settings_table(Settings))  # noqa: T201
    return 0


def settings_table(settings: type[BaseSettings]) -> str:
    """The settings as a markdown table: environment variable, default, meaning."""
    prefix = settings.model_config.get("env_prefix", "")
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in settings.model_fields.items():
        default = "" if field.default in (None, "") else f"`{field.default}`"
        lines.append(f"| `{prefix}{name.upper()}` | {default} | {' '.join((field.description or '').split())} |")
    return "\n".join(lines)


async def _run(arguments: argparse.Namespace) -> int:
    # Prefect would start a throw-away server of its own in silence, whose runs nobody finds again.
    os.environ.setdefault("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false")
    parameters = dict(_parameter(text) for text in arguments.parameters)
    flow = _load(arguments.flow)
    _check(flow, parameters)
    await _require_server()
    state: State[Any] = await cast(Any, flow)(**parameters, return_state=True)
    if state.is_completed():
        print(state.message or state.name)  # noqa: T201
        return 0
    error = await state.aresult(raise_on_failure=False)
    if isinstance(error, PoolError):
        raise error
    print(f"cks-pool: {arguments.flow} is {state.name}: {state.message}", file=sys.stderr)  # noqa: T201
    return 1


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadInput(f"{text!r} is no parameter; write NAME=VALUE, for example cluster_id=cluster1")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise BadInput(f"the value of {name} is no YAML; quote it") from None


def _load(name: str) -> Flow[..., Any]:
    from prefect.flows import load_flow_from_entrypoint

    return load_flow_from_entrypoint(FLOWS[name], use_placeholder_flow=False)


def _check(flow: Flow[..., Any], parameters: dict[str, Any]) -> None:
    from prefect.exceptions import ParameterTypeError, SignatureMismatchError
    from prefect.utilities.callables import get_call_parameters

    try:
        flow.validate_parameters(get_call_parameters(flow.fn, (), parameters))
    except (SignatureMismatchError, ParameterTypeError, TypeError) as error:
        raise BadInput(f"{flow.name}: {' '.join(str(error).split())}") from None


async def _require_server() -> None:
    from prefect import get_client

    try:
        async with get_client() as client:
            problem = await client.api_healthcheck()
    except (ValueError, RuntimeError) as error:
        problem = error
    if problem is not None:
        raise BadInput("no Prefect server answers; start one (make up) and set PREFECT_API_URL to its /api address")


if __name__ == "__main__":
    raise SystemExit(main())

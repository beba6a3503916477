"""`logs`: what happened to a cluster, out of its Events on the host and its flow runs in Prefect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cks_pool.errors import BadInput, complain
from cks_pool.formats import columns, data, say
from cks_pool.hosts import cluster_named, host_at
from cks_pool.options import HERE, ClusterName, DataOutput, Where
from cks_pool.prefect_api import prefect_api, said
from pool.core.fields import rfc3339
from pool.kube.client import Object
from pool.kube.resources import EVENTS

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

HEAD = ("WHEN", "WHAT", "STATE", "MESSAGE")
RUNS = 200
"""The newest runs that are looked through: a parameter is nothing that Prefect's API filters by."""


@dataclass(frozen=True, order=True)
class Entry:
    """One thing that happened."""

    at: datetime
    what: str
    state: str
    message: str


async def logs(
    cluster: ClusterName,
    /,
    *,
    tail: Annotated[int, Parameter(help="How many entries at most.")] = 30,
    output: DataOutput = None,
    where: Where = HERE,
) -> None:
    """What happened to a cluster, the newest last."""
    async with host_at(where) as host:
        name = (await cluster_named(host, cluster)).name
        fields = f"involvedObject.kind=PooledCluster,involvedObject.name={name}"
        events = await host.kube.list(EVENTS, host.settings.namespace, fields=fields)
    try:
        runs = await _runs()
    except BadInput as away:
        complain(f"flow runs are left out: {away}")
        runs = []
    found = sorted([*of_events(events), *of_runs(runs, name)])[-max(1, tail) :]
    if output:
        say(data({"entries": [{**vars(entry), "at": rfc3339(entry.at)} for entry in found]}, output))
    elif found:
        say(columns(HEAD, [(f"{one.at:%Y-%m-%d %H:%M:%S}", one.what, one.state, one.message) for one in found]))
    else:
        say(f"nothing is known of {name} any more: Events are kept for an hour or so")


async def _runs() -> list[FlowRun]:
    async with prefect_api() as client:
        from prefect.client.schemas.sorting import FlowRunSort

        return await client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=RUNS)


def of_events(events: Iterable[Object]) -> list[Entry]:
    """The Events as entries; one that came again and again is told at its last time. Pure."""
    return [
        Entry(at, "event", str(event.get("reason", "")), " ".join(str(event.get("message", "")).split()))
        for event in events
        if (at := _when(event)) is not None
    ]


def _when(event: Object) -> datetime | None:
    given = (event.get("lastTimestamp"), event.get("eventTime"), event["metadata"].get("creationTimestamp"))
    text = next((one for one in given if one), None)
    return datetime.fromisoformat(text) if text else None


def of_runs(runs: Iterable[FlowRun], cluster: str) -> list[Entry]:
    """The runs that are about the cluster, as entries. Pure."""
    return [
        Entry(at, run.name, (run.state and run.state.name) or "Unknown", said(run))
        for run in runs
        if is_about(run.parameters, cluster) and (at := run.end_time or run.start_time or run.expected_start_time)
    ]


def is_about(parameters: Mapping[str, Any], cluster: str) -> bool:
    """Whether a run with these parameters is about this cluster."""
    return parameters.get("cluster_id") == cluster or cluster in (parameters.get("cluster_ids") or ())

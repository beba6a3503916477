"""`kubeconfig`: the way into a cluster, the pool's own or a session's."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import yaml
from cyclopts import Parameter

from cks_pool.errors import BadInput
from cks_pool.formats import say
from cks_pool.hosts import cluster_named, host_at, session_named
from cks_pool.kubeconfig_files import Config, default_file, merge_into, renamed
from cks_pool.options import HERE, ClusterName, SessionName, Where
from pool.core.clusters import PooledCluster
from pool.core.environment import from_environment
from pool.core.errors import NotFound
from pool.kube.resources import SECRETS
from pool.kubevirt.cluster import KUBECONFIG_SECRET, Cluster
from pool.kubevirt.ownership import owned

if TYPE_CHECKING:
    from pool.work.steps import Host


async def kubeconfig(
    cluster: Annotated[ClusterName | None, Parameter(help="The cluster, by name: with the pool's own rights.")] = None,
    /,
    *,
    session: Annotated[SessionName | None, Parameter(help="Of this session's cluster, ending with it.")] = None,
    merge: Annotated[bool, Parameter(help="Merge it into a kubeconfig file instead of printing it.")] = False,
    file: Annotated[Path | None, Parameter(help="That file; kubectl's own if left out. It means --merge.")] = None,
    server: Annotated[
        str | None, Parameter(help="The API's address, {cluster} in it; CKS_GATEWAY_KUBECONFIG_SERVER, or the Service.")
    ] = None,
    where: Where = HERE,
) -> None:
    """The way into a cluster: its kubeconfig, printed or merged."""
    if (cluster is None) == (session is None):
        raise BadInput("write either a cluster's name or --session ID")
    async with host_at(where) as host:
        address = _address() if server is None else server
        if session is not None:
            name, text = await _of_session(host, session, address)
        else:
            name, text = await _of_cluster(host, await cluster_named(host, cluster or ""), address)
    made = renamed(text, f"cks-{name}")
    if not (merge or file):
        say(yaml.safe_dump(made, sort_keys=False).rstrip())
        return
    path = file or default_file()
    merge_into(path, made)
    whose = f"session {session} in {name}" if session else f"the pool's own for {name}"
    say(
        f"context {made['current-context']} in {path} is {whose}: kubectl --context {made['current-context']} get nodes"
    )


def _address() -> str:
    from gateway.settings import GatewaySettings

    return from_environment(GatewaySettings).kubeconfig_server


async def _of_session(host: Host, session_id: str, address: str) -> tuple[str, str]:
    """The session's cluster, and a kubeconfig with a certificate made for it now."""
    from pool.work.session_access import kubeconfig_of

    session = await session_named(host, session_id)
    cluster = session.status.assigned_cluster
    if cluster is None or session.phase.ended:
        raise BadInput(f"session {session_id} is {session.phase} and has no cluster; cks-pool sessions shows which do")
    return cluster, await kubeconfig_of(host, session, address)


async def _of_cluster(host: Host, pooled: PooledCluster, address: str) -> tuple[str, str]:
    """The cluster, and the kubeconfig that the pool itself uses."""
    cluster = Cluster.of(pooled)
    try:
        found = owned(await host.kube.get(SECRETS, KUBECONFIG_SECRET, cluster.namespace), cluster)
    except NotFound:
        raise BadInput(f"{cluster.id} has no kubeconfig yet: it is {pooled.phase}; its bootstrap makes it") from None
    text = base64.b64decode(found["data"]["kubeconfig"]).decode()
    return cluster.id, _at(text, cluster, address) if address else text


def _at(text: str, cluster: Cluster, template: str) -> str:
    """The same for another address of the API; the certificate's name stays that of the Service."""
    made: Config = yaml.safe_load(text)
    url = template.replace("{cluster}", cluster.id).replace("{namespace}", cluster.namespace)
    made["clusters"][0]["cluster"] |= {"server": url, "tls-server-name": cluster.server_name}
    return yaml.safe_dump(made, sort_keys=False)

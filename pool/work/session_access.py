"""A session's own way into its cluster: a client certificate in its name, that ends with it.

Kubernetes cannot take a certificate back. A session that ends early leaves one that is good until its time would have
been over, as a learner who was root keeps a copy of the CA's key (ADR 0005): who must be kept out is kept out by the
network.
"""

from __future__ import annotations

import hashlib

from pool.core.errors import Forbidden, GuestUnhealthy, NotHolder
from pool.core.queue import holds
from pool.core.sessions import Session
from pool.guest import pki
from pool.guest.identity import identity_of
from pool.guest.kubeconfig import make_kubeconfig
from pool.kube.client import Kube
from pool.kube.resources import SECRETS
from pool.kubevirt.cluster import CA_SECRET, Cluster
from pool.kubevirt.ownership import owned
from pool.work.steps import Host

LONGEST_NAME = 64
"""Characters of a certificate's common name (X.509's upper bound for it)."""


async def kubeconfig_of(host: Host, session: Session, server: str) -> str:
    """A kubeconfig for the active session's cluster, YAML, with a certificate made for it now.

    `server` is a template for the API's address with `{cluster}` and `{namespace}`; empty: the Service within the host.
    Raises NotHolder if the cluster was taken from it meanwhile, GuestUnhealthy (its CA is unusable), NotOurs, ApiError.
    """
    pooled = await host.state.cluster(session.status.assigned_cluster or "")
    if not holds(pooled, session) or pooled.status.expires_at is None:
        raise NotHolder(f"session {session.name} holds no cluster any more", actual=pooled.phase)
    cluster = Cluster.of(pooled)
    ca = await _ca(host.kube, cluster)
    name = common_name(session.name)
    client = pki.make_client(ca, name, pki.CLUSTER_ADMINS, host.now(), until=pooled.status.expires_at)
    return make_kubeconfig(cluster, ca.certificate, client, user=name, server=address(cluster, server))


async def _ca(kube: Kube, cluster: Cluster) -> pki.KeyPair:
    """What signs the cluster's certificates. Raises GuestUnhealthy, NotOurs, FormerCluster, ApiError."""
    try:
        secret = await kube.find(SECRETS, CA_SECRET, cluster.namespace)
    except Forbidden as error:
        cure = "run create-namespaces, which lets the gateway read this one Secret of each cluster"
        raise Forbidden(error.status, error.reason, error.message, cure=cure) from error
    if secret is None:
        raise GuestUnhealthy(
            f"{cluster.id} has no CA", expected=f"Secret {cluster.namespace}/{CA_SECRET}", cure="rebuild the cluster"
        )
    return identity_of(owned(secret, cluster)).ca


def common_name(session_id: str) -> str:
    """The session's ID as a certificate can hold it: a longer one is cut, and told from others by a hash."""
    if len(session_id) <= LONGEST_NAME:
        return session_id
    mark = hashlib.sha256(session_id.encode()).hexdigest()[:12]
    return f"{session_id[: LONGEST_NAME - len(mark) - 1]}-{mark}"


def address(cluster: Cluster, template: str) -> str:
    """The URL of the cluster's API."""
    if not template:
        return f"https://{cluster.endpoint}"
    return template.replace("{cluster}", cluster.id).replace("{namespace}", cluster.namespace)

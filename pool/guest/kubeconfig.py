"""The pool's way into a guest cluster: a kubeconfig in a Secret."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

import yaml

from pool.core.errors import AlreadyExists, GuestUnhealthy
from pool.guest import pki
from pool.guest.identity import Identity
from pool.kube.client import Kube, Object
from pool.kube.resources import SECRETS
from pool.kubevirt.cluster import KUBECONFIG_SECRET, Cluster
from pool.kubevirt.ownership import owned

USER = "cks-pool"
RENEW_BEFORE = timedelta(days=60)
"""The pool's certificate is renewed this long before its end: a generation of clusters may not be touched for weeks."""


def make_kubeconfig(
    cluster: Cluster, ca_certificate: bytes, client: pki.KeyPair, *, user: str = USER, server: str = ""
) -> str:
    """A kubeconfig for the cluster, YAML, everything inline.

    `server`: the URL by which its API is reached; its Service's if left out. Another address is not in the certificate
    of the API server, so the file says which name is.
    """

    def inline(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    by_service = f"https://{cluster.endpoint}"
    host = {"server": server or by_service, "certificate-authority-data": inline(ca_certificate)}
    if host["server"] != by_service:
        host["tls-server-name"] = cluster.server_name
    keys = {"client-certificate-data": inline(client.certificate), "client-key-data": inline(client.key)}
    made = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster.id, "cluster": host}],
        "users": [{"name": user, "user": keys}],
        "contexts": [{"name": cluster.id, "context": {"cluster": cluster.id, "user": user}}],
        "current-context": cluster.id,
    }
    return yaml.safe_dump(made, sort_keys=False)


async def ensure_kubeconfig(kube: Kube, cluster: Cluster, identity: Identity, now: datetime) -> str:
    """The pool's kubeconfig for the cluster; made again when the CA is another one or the certificate ends soon.

    Raises NotOurs, FormerCluster.
    """
    found = await kube.find(SECRETS, KUBECONFIG_SECRET, cluster.namespace)
    if found is not None and usable(owned(found, cluster), identity.ca.certificate, now):
        return _text(found)
    client = pki.make_client(identity.ca, USER, pki.CLUSTER_ADMINS, now)
    text = make_kubeconfig(cluster, identity.ca.certificate, client)
    data = {"kubeconfig": base64.b64encode(text.encode()).decode()}
    wanted = SECRETS.manifest(KUBECONFIG_SECRET, cluster.namespace, labels=cluster.labels, type="Opaque", data=data)
    if found is not None:
        wanted["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        await kube.replace(SECRETS, wanted)
        return text
    try:
        await kube.create(SECRETS, wanted)
    except AlreadyExists:
        return _text(owned(await kube.get(SECRETS, KUBECONFIG_SECRET, cluster.namespace), cluster))
    return text


def usable(secret: Object, ca_certificate: bytes, now: datetime) -> bool:
    """Whether a kubeconfig Secret's client certificate is this CA's and does not end soon."""
    try:
        host, client, ca = _credentials(_text(secret))
    except (KeyError, ValueError, IndexError, TypeError, yaml.YAMLError):
        return False
    fits = bool(host) and ca == ca_certificate and pki.issued_by(client, ca_certificate)
    return fits and pki.ends(client.certificate) - now > RENEW_BEFORE


def credentials_of(secret: Object) -> tuple[pki.KeyPair, bytes]:
    """Client certificate and CA in a kubeconfig Secret. Raises GuestUnhealthy."""
    try:
        _, client, ca = _credentials(_text(secret))
    except (KeyError, ValueError, IndexError, TypeError, yaml.YAMLError) as error:
        raise GuestUnhealthy(
            f"Secret {secret['metadata']['namespace']}/{KUBECONFIG_SECRET} holds no kubeconfig",
            actual=type(error).__name__,
            cure="delete it and run bootstrap-pool, which makes it again",
        ) from error
    return client, ca


def _text(secret: Object) -> str:
    return base64.b64decode(secret["data"]["kubeconfig"]).decode()


def _credentials(kubeconfig: str) -> tuple[str, pki.KeyPair, bytes]:
    """Server, client certificate and CA of a kubeconfig made here."""
    parsed: dict[str, Any] = yaml.safe_load(kubeconfig)
    host, user = parsed["clusters"][0]["cluster"], parsed["users"][0]["user"]
    pair = pki.KeyPair(base64.b64decode(user["client-certificate-data"]), base64.b64decode(user["client-key-data"]))
    return host["server"], pair, base64.b64decode(host["certificate-authority-data"])

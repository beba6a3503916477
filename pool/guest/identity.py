"""A cluster's identity: everything secret its two VMs and the pool agree on, in one Secret.

One object, so one write: a crash leaves either no identity or a whole one, never a certificate beside another's key.
Whatever else needs part of it (cloud-init, the pool's kubeconfig) is derived from it and can be made again.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime

from pool.core.errors import AlreadyExists, GuestUnhealthy
from pool.guest import pki
from pool.kube.client import Kube, Object
from pool.kube.resources import SECRETS
from pool.kubevirt.cluster import CA_SECRET, Cluster, Role
from pool.kubevirt.ownership import owned

TOKEN_KEY = "bootstrap-token"


@dataclass(frozen=True)
class Identity:
    """A cluster's CA, bootstrap token and WireGuard private keys; never shown by repr."""

    ca: pki.KeyPair = field(repr=False)
    bootstrap_token: str = field(repr=False)
    wireguard: dict[Role, str] = field(repr=False)


def make_identity(now: datetime) -> Identity:
    """A new identity. The CA is named as kubeadm names its own."""
    keys = {role: pki.make_wireguard_key() for role in Role}
    return Identity(pki.make_ca("kubernetes", now), pki.make_bootstrap_token(), keys)


async def ensure_identity(kube: Kube, cluster: Cluster, now: datetime) -> Identity:
    """The cluster's identity: that of the existing Secret, else a new one.

    An existing one is never changed, whatever its age: the guests' disks carry it. Raises GuestUnhealthy
    when it cannot be read, NotOurs, FormerCluster.
    """
    secret = await kube.find(SECRETS, CA_SECRET, cluster.namespace)
    if secret is None:
        try:
            secret = await kube.create(SECRETS, secret_of(cluster, make_identity(now)))
        except AlreadyExists:
            # Another run was faster, or our own first try whose answer was lost: what is there counts.
            secret = await kube.get(SECRETS, CA_SECRET, cluster.namespace)
    return identity_of(owned(secret, cluster))


def secret_of(cluster: Cluster, identity: Identity) -> Object:
    """The Secret that holds an identity."""
    values = {
        "ca.crt": identity.ca.certificate,
        "ca.key": identity.ca.key,
        TOKEN_KEY: identity.bootstrap_token.encode(),
        **{_wireguard_key(role): key.encode() for role, key in identity.wireguard.items()},
    }
    data = {key: base64.b64encode(value).decode() for key, value in values.items()}
    return SECRETS.manifest(CA_SECRET, cluster.namespace, labels=cluster.labels, type="Opaque", data=data)


def identity_of(secret: Object) -> Identity:
    """The identity in a Secret. Raises GuestUnhealthy if something is missing or does not fit together."""
    where = f"Secret {secret['metadata']['namespace']}/{secret['metadata']['name']}"
    try:
        data = {key: base64.b64decode(value, validate=True) for key, value in secret.get("data", {}).items()}
        ca = pki.KeyPair(data["ca.crt"], data["ca.key"])
        pki.load(ca)
        keys = {role: data[_wireguard_key(role)].decode() for role in Role}
        return Identity(ca, data[TOKEN_KEY].decode(), keys)
    except (KeyError, ValueError, binascii.Error) as error:
        raise GuestUnhealthy(
            f"{where} holds no identity of a cluster",
            expected="ca.crt and ca.key that fit, a bootstrap token and two WireGuard keys",
            actual=f"{type(error).__name__}: {error}",
            cure="rebuild the cluster, which makes a new one",
        ) from error


def _wireguard_key(role: Role) -> str:
    return f"wireguard-{role.short}.key"

"""How a worker reaches its control plane, and what kubeadm join checks there."""

from __future__ import annotations

import base64
import ipaddress
from datetime import datetime

from simulator.guests.control_plane import ControlPlane
from simulator.guests.kubeadm import Join, Refused, hosts
from simulator.guests.neighbours import Neighbour, Neighbours
from simulator.guests.network import Peer
from simulator.guests.validity import EXPIRED


class Mistaken(Refused):
    """What trying again does not change."""


def join(worker: Neighbour, request: Join, neighbours: Neighbours, now: datetime) -> ControlPlane:
    """The control plane to join. Raises Refused with what is in the way, Mistaken for what does not go away."""
    serving = find_control_plane(worker, request.host, neighbours)
    if request.ca_hashes and serving.authority.spki_hash not in request.ca_hashes:
        raise Mistaken(
            f"cluster CA found in cluster-info ConfigMap is invalid: none of the public keys "
            f'"{serving.authority.spki_hash}" are pinned'
        )
    if serving.ends <= now:
        raise Refused(f"failed to verify certificate: {EXPIRED}: it ended at {serving.ends:%Y-%m-%dT%H:%M:%SZ}")
    check_token(serving, request.token, now)
    return serving


def find_control_plane(worker: Neighbour, host: str, neighbours: Neighbours) -> ControlPlane:
    """The API server that answers the worker at `host`. Raises Refused when it cannot be reached."""
    address = hosts(worker.disk.files).get(host, host)
    machine = _reach(worker, address, neighbours)
    if machine.control_plane is None:
        raise Refused(f'Get "https://{host}:6443": connect: connection refused')
    return machine.control_plane


def _reach(worker: Neighbour, address: str, neighbours: Neighbours) -> Neighbour:
    if _is_address(address):
        for peer in worker.network.peers:
            if peer.routes(address):
                return _through(worker, peer, address, neighbours)
    machine = neighbours.behind(address, worker.hardware.namespace)
    if machine is None:
        raise Refused(f"no route to {address}: neither a WireGuard peer nor a Service leads there")
    return machine


def _through(worker: Neighbour, peer: Peer, address: str, neighbours: Neighbours) -> Neighbour:
    """The machine at the other end of a WireGuard link; both ends must know each other's key."""
    host = peer.endpoint.rpartition(":")[0]
    other = neighbours.behind(host, worker.hardware.namespace)
    if other is None:
        raise Refused(f"WireGuard endpoint {peer.endpoint or '(none)'} leads to no running machine")
    if not other.network.public_key or other.network.public_key != peer.public_key:
        raise Refused(f"WireGuard handshake with {peer.endpoint} failed: its key is not the one configured for it")
    back = [one for one in other.network.peers if one.public_key == worker.network.public_key]
    if not back:
        raise Refused(f"WireGuard handshake with {peer.endpoint} failed: this node's key is unknown there")
    if address not in other.network.addresses:
        raise Refused(f"no route to host {address}: the peer has no such address")
    if not any(one.routes(own) for one in back for own in worker.network.addresses):
        raise Refused(f"WireGuard peer {peer.endpoint} has no route back: its AllowedIPs do not hold this node")
    return other


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_token(serving: ControlPlane, token: str, now: datetime) -> None:
    """Whether the cluster still knows the bootstrap token. Raises Refused."""
    id_, secret = token.split(".")
    data = serving.secret("kube-system", f"bootstrap-token-{id_}")
    known = base64.b64decode(data.get("token-secret", "")).decode()
    if known != secret:
        raise Refused("could not find a JWS signature in the cluster-info ConfigMap for token ID " + repr(id_))
    expiration = base64.b64decode(data.get("expiration", "")).decode()
    if expiration and datetime.fromisoformat(expiration) < now:
        raise Refused(f"the bootstrap token {id_} has expired")

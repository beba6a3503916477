"""Puts KubeVirt's side of the API into an API server."""

from __future__ import annotations

from simulator.api.server import ApiServer
from simulator.client import Client
from simulator.virtapi.admission import Webhooks
from simulator.virtapi.claims import ClaimAdmission
from simulator.virtapi.subresources import GROUP, VERSIONS, Subresources


def install(api: ApiServer, client: Client) -> None:
    """Webhooks, claim admission, and start, stop and restart of VMs."""
    api.admission += [Webhooks(client), ClaimAdmission(client)]
    handler = Subresources(client)
    for version in VERSIONS:
        api.aggregate(
            GROUP,
            version,
            "virtualmachines",
            handler,
            {name: {"kind": "VirtualMachine", "verbs": ["update"]} for name in ("start", "stop", "restart")},
        )

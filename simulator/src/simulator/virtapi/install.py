"""Puts KubeVirt's side of the API into an API server."""

from __future__ import annotations

from simulator.api.server import ApiServer
from simulator.client import Client
from simulator.virtapi.admission import Webhooks
from simulator.virtapi.claims import ClaimAdmission
from simulator.virtapi.clone_admission import CloneAdmission
from simulator.virtapi.mutation import mutate
from simulator.virtapi.restore_webhook import Restores
from simulator.virtapi.subresources import GROUP, VERSIONS, Subresources


def install(api: ApiServer, client: Client, restores: Restores | None = None) -> None:
    """Webhooks, claim admission, and start, stop and restart of VMs. `restores`: virt-api's cache of them; without one
    two restores of a VM can never get in together, as they can in life."""
    api.mutation.append(mutate)
    api.admission += [CloneAdmission(client), Webhooks(client, restores), ClaimAdmission(client)]
    handler = Subresources(client)
    for version in VERSIONS:
        api.aggregate(
            GROUP,
            version,
            "virtualmachines",
            handler,
            {name: {"kind": "VirtualMachine", "verbs": ["update"]} for name in ("start", "stop", "restart")},
        )

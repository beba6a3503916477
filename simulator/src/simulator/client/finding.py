"""An object that may not be there."""

from __future__ import annotations

from simulator.api.errors import ApiError
from simulator.client import GVR, Client, Obj


async def find(client: Client, gvr: GVR, name: str, namespace: str | None = None) -> Obj | None:
    """The object, or None if there is none of that name. Raises ApiError for anything else."""
    try:
        return await client.get(gvr, name, namespace)
    except ApiError as error:
        if error.code != 404:
            raise
        return None

"""CDI DataSources: names for golden images, looked up whenever a DataVolume is made of a template that has one.

(KubeVirt: pkg/storage/types/dv.go, GenerateDataVolumeFromTemplate.)
"""

from __future__ import annotations

from simulator.client import Client, Obj
from simulator.client.resources import DATA_SOURCES


async def with_source(client: Client, template: Obj, namespace: str) -> Obj:
    """The template with what its `sourceRef` means now in the place of that. Raises ApiError (404: no such source)."""
    reference = template["spec"].get("sourceRef")
    if reference is None:
        return template
    found = await client.get(DATA_SOURCES, reference["name"], reference.get("namespace") or namespace)
    spec = {key: value for key, value in template["spec"].items() if key != "sourceRef"}
    return {**template, "spec": {**spec, "source": found["spec"]["source"]}}

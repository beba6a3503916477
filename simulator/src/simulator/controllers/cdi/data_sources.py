"""CDI DataSources: names for golden images, looked up whenever a DataVolume is made of a template that has one.

(KubeVirt: pkg/storage/types/dv.go, GenerateDataVolumeFromTemplate.) A DataVolume that names one itself keeps the name,
and CDI looks it up each time it looks at the DataVolume. (CDI: pkg/controller/datavolume/clone-controller-base.go.)
"""

from __future__ import annotations

from simulator.client import Client, Obj
from simulator.client.resources import DATA_SOURCES


async def with_source(client: Client, template: Obj, namespace: str) -> Obj:
    """The template with what its `sourceRef` means now in the place of that. Raises ApiError (404: no such source)."""
    where = named(template, namespace)
    if where is None:
        return template
    return meant(template, await client.get(DATA_SOURCES, where[1], where[0]))


def named(volume: Obj, namespace: str) -> tuple[str, str] | None:
    """Namespace and name of the DataSource that a DataVolume of that namespace, or a template of one, has."""
    reference = volume["spec"].get("sourceRef")
    return (reference.get("namespace") or namespace, reference["name"]) if reference is not None else None


def meant(volume: Obj, source: Obj | None) -> Obj:
    """The DataVolume with what the DataSource means in the place of its name; without any if there is no such."""
    spec = {key: value for key, value in volume["spec"].items() if key != "sourceRef"}
    return {**volume, "spec": {**spec, "source": source["spec"]["source"] if source is not None else {}}}

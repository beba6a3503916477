"""Where a DataVolume's content may come from: other namespaces, with the right to, and what a DataSource means."""

from __future__ import annotations

import pytest

from tests.contract.lab import CDI, CORE, STORAGE, Lab, claims, core, volumes
from tests.contract.test_access import Joe, rule
from tests.contract.test_data_volumes import blank
from tests.contract.test_storage import data_volume, phase
from tests.http_api import Obj

pytestmark = pytest.mark.needs_controllers

DENIED = 'admission webhook "datavolume-mutate.cdi.kubevirt.io" denied the request: '


@pytest.fixture
async def joe(lab: Lab) -> Joe:
    """An account of the namespace, which may make DataVolumes in it."""
    await lab.api.create(core(lab.namespace, "serviceaccounts"), {"metadata": {"name": "joe"}})
    joe = Joe(lab.api, lab.namespace)
    await joe.granted("makes-volumes", rule("datavolumes", "create", "cdi.kubevirt.io"))
    return joe


def data_sources(namespace: str, name: str = "") -> str:
    return f"{CDI}/namespaces/{namespace}/datasources" + (f"/{name}" if name else "")


def data_source(name: str, source: Obj) -> Obj:
    kind = {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataSource"}
    return {**kind, "metadata": {"name": name}, "spec": {"source": source}}


def named(name: str, namespace: str, source: str) -> Obj:
    """A DataVolume of a DataSource."""
    volume = data_volume(name, {})
    del volume["spec"]["source"]
    volume["spec"]["sourceRef"] = {"kind": "DataSource", "namespace": namespace, "name": source}
    return volume


MAY_CLONE = rule("datavolumes/source", "create", "cdi.kubevirt.io")


@pytest.mark.parametrize(
    ("kind", "enough", "too_little"),
    [
        ("pvc", [MAY_CLONE, rule("pods", "create")], [rule("datavolumes", "create", "cdi.kubevirt.io")]),
        ("snapshot", [MAY_CLONE, rule("pods pvcs", "create")], [rule("pods", "create")]),
    ],
)
async def test_who_has_a_volume_cloned_from_another_namespace_may_do_so_there(
    lab: Lab, joe: Joe, kind: str, enough: list[Obj], too_little: list[Obj]
) -> None:
    async def asked(number: int, right: Obj) -> tuple[int, Obj, str]:
        there = f"{lab.namespace}-{number}"
        await lab.api.create(f"{CORE}/namespaces", {"metadata": {"name": there}})
        try:
            far = Joe(lab.api, there)
            far.subject = joe.subject
            await far.granted("cloner", right)
            volume = data_volume(f"clone-{number}", {kind: {"namespace": there, "name": "node"}})
            return (*await joe.call("POST", volumes(lab.namespace), volume), there)
        finally:
            await lab.api.discard(f"{CORE}/namespaces/{there}")

    for number, right in enumerate(enough):
        code, _, _ = await asked(number, right)
        assert code == 201
    for number, right in enumerate(too_little, start=len(enough)):
        code, answer, there = await asked(number, right)
        text = f"User {joe.name} has insufficient permissions in clone source namespace {there}"
        assert (code, answer["message"]) == (422, f"{DENIED} {text}")
        [cause] = answer["details"]["causes"]
        assert (cause["field"], cause["reason"]) == ("spec.source.PVC.namespace", "FieldValueInvalid")


async def test_in_its_own_namespace_nobody_needs_the_right_to_clone(lab: Lab, joe: Joe) -> None:
    volume = data_volume("clone", {"pvc": {"namespace": lab.namespace, "name": "node"}})
    code, _ = await joe.call("POST", volumes(lab.namespace), volume)
    assert code == 201


async def test_a_data_source_is_looked_up_for_a_data_volume_that_keeps_its_name(lab: Lab) -> None:
    await blank(lab, "source")
    source = {"pvc": {"namespace": lab.namespace, "name": "source"}}
    await lab.api.create(data_sources(lab.namespace), data_source("node", source))
    await lab.api.create(volumes(lab.namespace), named("clone", lab.namespace, "node"))
    done = await lab.api.until(volumes(lab.namespace, "clone"), phase("Succeeded"))
    assert done["spec"]["sourceRef"]["name"] == "node"
    assert "source" not in done["spec"]


async def test_a_data_volume_of_a_data_source_that_is_not_there_is_refused(lab: Lab) -> None:
    with pytest.raises(Exception, match=r'datasources\.cdi\.kubevirt\.io "nothing" not found'):
        await lab.api.create(volumes(lab.namespace), named("clone", lab.namespace, "nothing"))


async def test_the_right_to_clone_is_asked_for_where_the_data_sources_volume_is(lab: Lab, joe: Joe) -> None:
    await lab.api.create(
        data_sources(lab.namespace), data_source("far", {"pvc": {"namespace": "default", "name": "node"}})
    )
    code, answer = await joe.call("POST", volumes(lab.namespace), named("clone", lab.namespace, "far"))
    assert (code, answer["message"].rpartition(" ")[2]) == (422, "default")


async def test_a_snapshot_of_another_namespace_is_cloned(lab: Lab) -> None:
    await blank(lab, "source")
    [of, *_] = await lab.api.items(f"{STORAGE}/volumesnapshotclasses")
    spec = {"source": {"persistentVolumeClaimName": "source"}, "volumeSnapshotClassName": of["metadata"]["name"]}
    kind = {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot"}
    path = f"{STORAGE}/namespaces/{lab.namespace}/volumesnapshots"
    await lab.api.create(path, {**kind, "metadata": {"name": "node"}, "spec": spec})
    there = f"{lab.namespace}-clone"
    await lab.api.create(f"{CORE}/namespaces", {"metadata": {"name": there}})
    try:
        volume = data_volume("clone", {"snapshot": {"namespace": lab.namespace, "name": "node"}})
        await lab.api.create(volumes(there), volume)
        await lab.api.until(volumes(there, "clone"), phase("Succeeded"))
        assert await lab.api.find(claims(there, "clone")) is not None
    finally:
        await lab.api.discard(f"{CORE}/namespaces/{there}")
